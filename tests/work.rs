//! The work of plans, counted in dispatches and multiply-adds. Nothing here needs a device.

use conv1d::{Caps, Conv1d, ConvTranspose1d, DeviceClass, Layer, Operation, Padding, Plan, PlanOptions};

const CLASSES: [DeviceClass; 4] =
    [DeviceClass::Software, DeviceClass::Integrated, DeviceClass::Discrete, DeviceClass::Unknown];

/// The plans for every class of device.
fn plans(layer: impl Into<Layer>, operation: Operation, input: [usize; 3]) -> Vec<Plan> {
    let layer = layer.into();
    let plan = |class| Plan::new(layer, operation, input, &Caps::of(class), &PlanOptions::default()).unwrap();
    CLASSES.into_iter().map(plan).collect()
}

/// A weight that is larger than one binding is cut along its outer axis, be it an axis of the output or of the sum.
#[test]
fn large_weights_are_cut_into_few_parts() {
    let up = ConvTranspose1d::new(2048, 1024, 20).stride(10).padding(Padding::both(5));
    let conv = Conv1d::new(2048, 2048, 9).padding(Padding::both(4));
    for plan in plans(up, Operation::Forward, [1, 2048, 22])
        .into_iter()
        .chain(plans(up, Operation::InputGradient, [1, 2048, 22]))
        .chain(plans(conv, Operation::InputGradient, [1, 2048, 40]))
        .chain(plans(conv, Operation::Forward, [1, 2048, 40]))
        .chain(plans(Conv1d::new(3000, 3000, 16), Operation::InputGradient, [1, 3000, 40]))
    {
        // Two to eight bindings, each with up to three dispatches: packing, staging, sums. llvmpipe's loops halve them again.
        assert!(plan.dispatches() <= 48, "{plan}");
    }
}

/// Every variant of every kernel, not only the planner's choice: cutting does not depend on the kernel.
#[test]
fn large_weights_are_cut_alike_by_every_kernel() {
    let conv = Conv1d::new(2048, 2048, 9).padding(Padding::both(4));
    for class in [DeviceClass::Discrete, DeviceClass::Integrated] {
        let plan = |options: &PlanOptions| {
            Plan::new(conv, Operation::InputGradient, [1, 2048, 40], &Caps::of(class), options).unwrap()
        };
        for candidate in plan(&PlanOptions::default()).candidates() {
            let plan = plan(&PlanOptions::default().kernel(candidate.variant.to_string()));
            assert!(plan.dispatches() <= 8, "{}: {} dispatches", plan.variant(), plan.dispatches());
        }
    }
}

/// The predicted cost of a variant is that of the slices into which a tensor is cut, not that of the whole tensor.
#[test]
fn variants_are_chosen_for_slices() {
    // 320 MB of output: slices of one channel.
    let conv = Conv1d::new(1, 4, 7).padding(Padding::Explicit { left: 6, right: 0 });
    for plan in plans(conv, Operation::Forward, [1, 1, 20_000_000]) {
        let tile = plan.variant().tile.to_string();
        assert!(tile.starts_with("1x") && tile.matches('x').count() == 1, "{plan}");
    }
}

/// Number of products of a convolution that exist: those of taps that meet a sample.
fn products(conv: &Conv1d, length: usize) -> u64 {
    let (left, _) = conv.padding_amounts(length).unwrap();
    let positions = conv.output_shape([1, conv.in_channels, length]).unwrap()[2];
    let count = |k: usize| {
        let offset = (k * conv.dilation) as i64 - left as i64;
        let from = (-offset).max(0).unsigned_abs().div_ceil(conv.stride as u64);
        let to = (length as i64 - offset).max(0).unsigned_abs().div_ceil(conv.stride as u64).min(positions as u64);
        to.saturating_sub(from)
    };
    let each: u64 = (0..conv.kernel_size).map(count).sum();
    each * conv.filters()
}

/// The input gradient of a kernel nearly as long as the input took 54 dispatches and 8.6e9 multiply-adds.
#[test]
fn a_short_gradient_is_not_padded() {
    for plan in plans(Conv1d::new(1, 2, 65_536), Operation::InputGradient, [1, 1, 65_700]) {
        assert!(plan.dispatches() <= 2 && plan.multiply_adds() < 50_000_000, "{plan}");
    }
}

/// Work grows with the products that exist, not with the padding.
#[test]
fn padding_is_not_multiplied_out() {
    for (conv, length) in [
        (Conv1d::new(1, 2, 65_536), 65_700),
        (Conv1d::new(1, 1, 200_000).padding(Padding::Full), 3),
        (Conv1d::new(3, 2, 50_000).padding(Padding::Full).stride(3), 100),
        (Conv1d::new(2, 2, 30_000).padding(Padding::Full).dilation(5), 700),
        (Conv1d::new(4, 4, 20_000).padding(Padding::Full).groups(4), 40),
    ] {
        let exist = products(&conv, length);
        for operation in [Operation::Forward, Operation::InputGradient, Operation::WeightGradient] {
            for plan in plans(conv, operation, [1, conv.in_channels, length]) {
                let done = plan.multiply_adds();
                assert!(done >= exist, "{done} of {exist}: {plan}");
                // A tile of at most 64 taps or positions computes that many more products around each sample.
                let beside = exist / length as u64 * 1024;
                assert!(done <= 2 * exist + beside, "{done} for {exist}: {plan}");
                // llvmpipe's limit of loop iterations cuts sums of many products.
                assert!(plan.dispatches() <= 12 || plan.caps().max_iterations < u32::MAX, "{plan}");
            }
        }
    }
}

/// An unfused layer binds only its input, its weight, its bias and its output: not even a table of its single phase.
#[test]
fn unused_operands_are_not_bound() {
    let layer = Conv1d::new(6, 8, 3).padding(Padding::Same);
    for class in CLASSES {
        let caps = Caps::of(class).with(|caps| caps.max_storage_buffers = 4);
        let plan = |options: &PlanOptions| Plan::new(layer, Operation::Forward, [2, 6, 100], &caps, options).unwrap();
        for candidate in plan(&PlanOptions::default()).candidates() {
            let plan = plan(&PlanOptions::default().kernel(candidate.variant.to_string()));
            for (name, text) in plan.shaders().unwrap() {
                let bindings = text.matches("var<storage").count();
                assert!(bindings <= 4, "{name} of {plan} binds {bindings} buffers");
            }
        }
    }
}
