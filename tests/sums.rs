//! Long sums over positions do not drift: they keep the bound of a chain that hardly grows with the number of terms.

use crate::harness::{Case, assert_promise, gpu, one_of_each_kernel};
use conv1d::reference::{Exact, longest_chain};
use conv1d::{Conv1d, Operation, Plan, PlanOptions, Role};

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
    for length in [1_000_000, 10_000_000] {
        let (term, exact) = equal_terms(length);
        let dy = vec![term; length];
        let got = cpu::bias_gradient(Conv1d::new(1, 1, 1), [1, 1, length], &dy).unwrap();
        println!("bias gradient over {length}: {} of the bound", exact.used(got[0]));
        assert_promise(&got, &[exact], "the bias gradient");
        // Few rows and many are multiplied in different ways.
        for rows in [1, 8] {
            let (x, dy) = (vec![1.0; length], vec![term; rows * length]);
            let got = cpu::weight_gradient(Conv1d::new(1, rows, 1), [1, 1, length], &x, &dy).unwrap();
            println!("weight gradient of {rows} rows over {length}: {} of the bound", exact.used(got[0]));
            assert_promise(&got, &vec![exact; rows], &format!("the weight gradient of {rows} rows"));
        }
    }
}
