//! Where WGSL leaves a device free: what holds all the same.

use crate::harness::{Case, Data, Written, assert_plans, assert_promise, gpu, one_of_each_kernel, run};
use conv1d::reference::Exact;
use conv1d::{Conv1d, ConvTranspose1d, Operation, Padding};

/// The bounds hold for rounding to nearest. What other devices do is tested in `src/gpu/arithmetic.rs`.
#[test]
fn this_device_rounds_to_nearest() {
    let arithmetic = gpu().arithmetic().unwrap();
    println!("{arithmetic}");
    assert!(arithmetic.rounds_to_nearest, "{arithmetic}");
    assert!(arithmetic.division <= 2.5, "{arithmetic}");
}

/// Inputs, products and sums below the smallest normal number may each be flushed to zero, by any kernel.
#[test]
fn subnormals_cost_a_smallest_normal_number_a_term() {
    let case = Case::new(Conv1d::new(6, 9, 5).padding(Padding::Same).stride(2), [2, 6, 150]);
    for [input, weight, gradient] in [[1e-38, 1.0, 1e-38], [1e-20, 1e-19, 1e-19], [1e-3, 1e-37, 1.0]] {
        let mut data = Data::new(&case);
        for (tensor, scale) in [(&mut data.x, input), (&mut data.w, weight), (&mut data.dy, gradient)] {
            tensor.iter_mut().for_each(|v| *v *= scale);
        }
        data.b.iter_mut().for_each(|v| *v *= input * weight);
        for operation in Operation::ALL {
            assert_plans(gpu(), &case, &one_of_each_kernel(gpu(), &case, operation), &data);
        }
    }
}

/// An infinity or a NaN reaches no element without a term that holds it. The bound of all other elements holds.
///
/// Without padding, and in the operand whose partner at places beyond the ends is finite: there, zero times an infinity is NaN, as the
/// contract says.
#[test]
fn infinities_and_nans_stay_where_they_belong() {
    let cases = [
        Case::new(Conv1d::new(6, 9, 5).stride(2), [3, 6, 151]),
        Case::new(Conv1d::new(8, 8, 3).groups(4).dilation(3), [2, 8, 90]),
        Case::new(ConvTranspose1d::new(6, 4, 5).groups(2).stride(3), [2, 6, 60]),
    ];
    for case in cases {
        for operation in Operation::ALL {
            for special in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                let mut data = Data::new(&case);
                let tensor = match operation {
                    Operation::Forward => &mut data.x,
                    _ => &mut data.dy,
                };
                let at = tensor.len() / 2 + 7;
                tensor[at] = special;
                let exact = data.exact(&case, operation, false);
                let plans = one_of_each_kernel(gpu(), &case, operation);
                for (plan, Written { output, .. }) in plans.iter().zip(run(gpu(), &plans, &data, false)) {
                    let what = format!("{plan}, {special}");
                    let (mut finite, mut reached) = (Vec::new(), 0);
                    for (&got, &exact) in output.iter().zip(&exact) {
                        if exact.value.is_finite() {
                            finite.push((got, exact));
                        } else {
                            reached += 1;
                            assert!(!got.is_finite() || !gpu().arithmetic().unwrap().keeps_infinities, "{what}: {got}");
                        }
                    }
                    assert!(reached > 0 && !finite.is_empty(), "{what}");
                    let (got, exact): (Vec<f32>, Vec<Exact>) = finite.into_iter().unzip();
                    assert_promise(&got, &exact, &what);
                }
            }
        }
    }
}
