//! Long sums over positions do not drift: they keep the bound of a chain that hardly grows with the number of terms.

use crate::harness::{Case, Data, assert_operation, assert_plans, assert_promise, gpu, one_of_each_kernel};
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

/// A weight gradient over 10^7 positions needs partial sums, and a workspace of 0 bytes has no room for them.
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
        error.starts_with(
            "additions that a term passes through (a larger workspace, or larger bindings, make it fewer) is "
        ),
        "{error}"
    );
}

/// A tensor that is cut by channels: each range of channels has the partial sums of the workspace to itself.
#[test]
fn bias_gradients_of_channels_in_slices() {
    for (input, bytes) in [([1, 2, 20_000], 1 << 16), ([3, 2, 20_000], 1 << 16), ([1, 2, 20_000_000], 128 << 20)] {
        let caps = gpu().caps().with(|caps| caps.max_binding_bytes = bytes);
        let case = Case::new(Conv1d::new(input[1], input[1], 1).groups(input[1]), input);
        let plan = Plan::new(case.fused, Operation::BiasGradient, input, &caps, &PlanOptions::default()).unwrap();
        assert!(plan.dispatches() > 2, "{plan}");
        let mut data = Data::new(&case);
        // The channels differ, so that no sum passes for another.
        let rows = data.dy.chunks_mut(input[2]).enumerate();
        rows.for_each(|(row, values)| values.iter_mut().for_each(|v| *v = v.abs() + (row % 2) as f32));
        assert_plans(gpu(), &case, &[plan], &data);
    }
}

/// Sums that need more splits than a binding or the workspace holds: the second pass runs several times.
#[test]
fn sums_in_rounds() {
    let caps = |change: fn(&mut Caps)| gpu().caps().with(change);
    let cases = [
        // A workspace for a split of two outputs.
        (Conv1d::new(2, 3, 2), [3, 2, 200_001], *gpu().caps(), 64),
        // Slices of few positions.
        (Conv1d::new(2, 2, 6).stride(4), [3, 2, 20_164], caps(|caps| caps.max_binding_bytes = 3072), 1 << 20),
        // Few iterations.
        (Conv1d::new(8, 4, 1).stride(2).groups(4), [60, 8, 2454], caps(|caps| caps.max_iterations = 80), 1 << 20),
    ];
    let mut rounds = 0;
    for (layer, input, caps, workspace) in cases {
        let case = Case::new(layer, input);
        let data = Data::new(&case);
        for operation in [Operation::WeightGradient, Operation::BiasGradient] {
            let plan =
                |options: PlanOptions| Plan::new(layer, operation, input, &caps, &options.workspace_bytes(workspace));
            let chosen = plan(PlanOptions::default()).unwrap_or_else(|e| panic!("{case:?} {operation:?}: {e}"));
            let names = chosen.candidates().iter().map(|c| c.variant.to_string());
            let plans: Vec<Plan> = names.filter_map(|name| plan(PlanOptions::default().kernel(name)).ok()).collect();
            rounds += plans.iter().filter(|plan| plan.to_string().contains("sums") || plan.order().is_none()).count();
            assert_plans(gpu(), &case, &plans, &data);
        }
    }
    assert!(rounds > 0);
}

/// Where most taps meet no sample, the blocks of the others do not count.
#[test]
fn sums_of_kernels_longer_than_the_input() {
    for (layer, input) in [
        (Conv1d::new(1, 1, 48_000).padding(Padding::Full), [64, 1, 16_000]),
        (Conv1d::new(1, 1, 1000).padding(Padding::Full), [100_000, 1, 100]),
        (Conv1d::new(4, 4, 4096).padding(Padding::Full), [4096, 4, 64]),
        (Conv1d::new(128, 1, 66_617).dilation(8).padding(Padding::Full), [8, 128, 20_098]),
        (Conv1d::new(1, 1, 65_536).padding(Padding::both(1 << 17)), [1000, 1, 20]),
        (Conv1d::new(1, 1, 200_000), [1, 1, 50_000_000]),
        (Conv1d::new(1, 1, 1_000_000), [1, 1, 16_000_000]),
    ] {
        for class in [DeviceClass::Integrated, DeviceClass::Discrete] {
            let options = PlanOptions::default();
            let plan = Plan::new(layer, Operation::WeightGradient, input, &Caps::of(class), &options);
            let plan = plan.unwrap_or_else(|e| panic!("{layer:?} {input:?}: {e}"));
            println!("{class:?}: {plan}, chain {}", plan.chain());
            let direct = layer.kernel_size <= 1 + input[2] || plan.variant().kernel == "direct";
            assert!(direct, "{plan:#}");
        }
    }
    // And they are right.
    let case = Case::new(Conv1d::new(2, 3, 600).padding(Padding::Full), [300, 2, 20]);
    let data = Data::new(&case);
    let options = PlanOptions::default().kernel("direct");
    assert_operation(gpu(), &case, Operation::WeightGradient, &data, &options);
}

/// Limits that no device has are no reason to panic.
#[test]
fn no_iterations_at_all() {
    for iterations in [0, 1, 2, 7] {
        let caps = Caps::WEBGPU.with(|caps| caps.max_iterations = iterations);
        for operation in Operation::ALL {
            let _ = Plan::new(Conv1d::new(2, 3, 5), operation, [2, 2, 5000], &caps, &PlanOptions::default());
        }
    }
}
