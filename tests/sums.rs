//! Long sums over positions do not drift: they keep the bound of a chain that hardly grows with the number of terms.

use crate::harness::{Case, assert_promise, gpu, one_of_each_kernel};
use conv1d::reference::{Exact, longest_chain};
use conv1d::{Caps, Conv1d, DeviceClass, Operation, Padding, Plan, PlanOptions, Residual, Role};

/// Equal terms, the worst case of plain sums: many additions of a small term to a large sum round in the same direction.
fn equal_terms(terms: usize) -> (f32, Exact) {
    let term = 0.1 / terms as f32;
    let mut exact = Exact::default();
    exact.value = f64::from(term) * terms as f64;
    exact.magnitude = exact.value;
    exact.terms = terms as u64;
    exact.chain = longest_chain(exact.terms);
    (term, exact)
}

/// The weight gradient of taps that read no padding, and the bias gradient, of `length` equal terms.
fn assert_gradients(kernels: &[Plan], bias: &Plan, length: usize) {
    let (term, exact) = equal_terms(length);
    let dy = gpu().tensor(&vec![term; length], [1, 1, length]).unwrap();
    let got = gpu().execute(bias, &[(Role::OutputGradient, &dy)]).unwrap().read().unwrap();
    println!("sums over {length}: {} of the bound", exact.used(got[0]));
    assert_promise(&got, &[exact.with_chain(bias.chain())], "sums");
    let taps = kernels[0].shapes().weight[2];
    let x = gpu().tensor(&vec![1.0; length + taps - 1], [1, 1, length + taps - 1]).unwrap();
    for plan in kernels {
        let got = gpu().execute(plan, &[(Role::Input, &x), (Role::OutputGradient, &dy)]).unwrap().read().unwrap();
        println!("{plan}: {} of the bound", exact.used(got[0]));
        assert_promise(&got, &vec![exact.with_chain(plan.chain()); taps], &plan.to_string());
    }
}

#[test]
fn gradients_over_ten_million_positions() {
    let length = 10_000_000;
    let case = Case::new(Conv1d::new(1, 1, 3), [1, 1, length + 2]);
    let plan = |operation| gpu().plan(case.fused, operation, case.input, &PlanOptions::default()).unwrap();
    let kernels = one_of_each_kernel(gpu(), &case, Operation::WeightGradient);
    assert!(kernels.len() >= 4);
    assert_gradients(&kernels, &plan(Operation::BiasGradient), length);
}

/// In slices, since a binding of lavapipe holds 2^25 elements.
#[test]
fn gradients_over_2_to_the_27_positions() {
    let length = 1 << 27;
    let conv = Conv1d::new(1, 1, 2);
    let plan = |operation| gpu().plan(conv, operation, [1, 1, length + 1], &PlanOptions::default()).unwrap();
    assert_gradients(&[plan(Operation::WeightGradient)], &plan(Operation::BiasGradient), length);
}

#[cfg(feature = "cpu")]
#[test]
fn gradients_on_the_processor() {
    use conv1d::cpu;
    for length in [1_000_000, 10_000_000, 1 << 27] {
        let (term, exact) = equal_terms(length);
        let dy = vec![term; length];
        let got = cpu::bias_gradient(Conv1d::new(1, 1, 1), [1, 1, length], &dy).unwrap();
        println!("bias gradient over {length}: {} of the bound", exact.used(got[0]));
        assert_promise(&got, &[exact], "the bias gradient");
        // Few rows and many are multiplied in different ways.
        for rows in [1, 8].into_iter().filter(|rows| rows * length < 1 << 28) {
            let (x, dy) = (vec![1.0; length], vec![term; rows * length]);
            let got = cpu::weight_gradient(Conv1d::new(1, rows, 1), [1, 1, length], &x, &dy).unwrap();
            println!("weight gradient of {rows} rows over {length}: {} of the bound", exact.used(got[0]));
            assert_promise(&got, &vec![exact; rows], &format!("the weight gradient of {rows} rows"));
        }
    }
}

/// The chain of every plan of every kernel and class, without a device, for sums of nearly 2^32 terms too.
#[test]
fn chains_are_as_short_as_promised() {
    let layers = [
        (Conv1d::new(1, 1, 3), [1, 1, 1 << 27]),
        (Conv1d::new(1, 1, 1), [1 << 12, 1, (1 << 20) - 1]),
        (Conv1d::new(3, 5, 7).stride(2).padding(Padding::Same), [9, 3, 100_000]),
        (Conv1d::new(64, 64, 5).dilation(3), [64, 64, 65_536]),
        (Conv1d::new(512, 512, 3).padding(Padding::Same), [256, 512, 4096]),
        (Conv1d::new(2048, 2048, 9), [1, 2048, 4000]),
        (Conv1d::new(16, 16, 4).groups(16), [100_000, 16, 171]),
        (Conv1d::new(1, 2, 65_536).padding(Padding::Full), [1, 1, 1 << 20]),
        (Conv1d::new(1, 1, 65_536).padding(Padding::both(1 << 17)), [3, 1, 20]),
        (Conv1d::new(2, 2, 3), [1, 2, 600]),
    ];
    let mut longest = 0;
    for (layer, input) in layers {
        let positions = (input[0] * layer.shapes(input).unwrap().output[2]) as u64;
        for class in [DeviceClass::Software, DeviceClass::Integrated, DeviceClass::Discrete, DeviceClass::Unknown] {
            for operation in [Operation::WeightGradient, Operation::BiasGradient] {
                let caps = Caps::of(class);
                let plan = |options| Plan::new(layer, operation, input, &caps, &options);
                let chosen = plan(PlanOptions::default()).unwrap_or_else(|e| panic!("{layer:?} {input:?}: {e}"));
                let all = chosen.candidates().iter().map(|c| PlanOptions::default().kernel(c.variant.to_string()));
                for plan in all.filter_map(|options| plan(options).ok()) {
                    assert!(plan.chain() <= longest_chain(positions), "{plan}: {} of {positions}", plan.chain());
                    longest = longest.max(plan.chain());
                }
            }
        }
    }
    println!("the longest chain is {longest}");
    assert!(longest > 0);
}

/// Forward passes and input gradients add their terms in any order.
#[test]
fn the_chain_of_other_sums_is_the_number_of_terms() {
    let plan =
        |layer: Conv1d, operation| Plan::new(layer, operation, [2, 6, 90], &Caps::WEBGPU, &PlanOptions::default());
    let chain = |layer, operation| plan(layer, operation).unwrap().chain();
    let layer = Conv1d::new(6, 8, 5).stride(2).padding(Padding::Same);
    assert_eq!(chain(layer, Operation::Forward), 30);
    // Eight rows, and three of five taps in the first of two phases.
    assert_eq!(chain(layer, Operation::InputGradient), 24);
    let residual = layer.residual(Residual::BeforeActivation);
    let plan = Plan::new(residual, Operation::Forward, [2, 6, 90], &Caps::WEBGPU, &PlanOptions::default());
    assert_eq!(plan.unwrap().chain(), 31);
}

/// A workspace without room for the partial sums of so many terms.
#[test]
fn chains_that_would_be_too_long_are_refused() {
    let conv = Conv1d::new(1, 1, 3);
    let plan = |length: usize| {
        let options = PlanOptions::default().workspace_bytes(0).kernel("direct/1x1");
        gpu().plan(conv, Operation::WeightGradient, [1, 1, length], &options)
    };
    let chain = plan(200_000).unwrap().chain();
    assert!(chain <= longest_chain(200_000), "{chain}");
    let error = plan(10_000_000).unwrap_err().to_string();
    assert!(
        error.starts_with("additions that a term passes through (a larger workspace makes it fewer) is "),
        "{error}"
    );
}
