//! Problems that do not fit one binding, one dispatch or one workspace. Small limits reach every branch; sizes past the real
//! limits prove that plans respect those.

use crate::harness::{
    Case, Data, assert_case, assert_case_with, assert_operation, assert_plans, candidates, checked_gpu, gpu,
    limited_gpu, noop_device, one_of_each_kernel, run, values,
};
use conv1d::reference::Oracle;
use conv1d::{
    Activation, Caps, Conv1d, ConvTranspose1d, DeviceClass, Error, Gpu, Operation, Padding, PaddingMode, Plan,
    PlanOptions, Residual, Role,
};
use std::sync::OnceLock;

/// A device whose bindings hold 704 values: beside the alignment, little more than a row.
pub(crate) fn tiny_bindings() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| limited_gpu(|limits| limits.max_storage_buffer_binding_size = 3072))
}

/// Each operand in turn is larger than a binding, along every axis along which it can be cut.
#[test]
fn tensors_larger_than_a_binding_are_cut() {
    let conv = |i, o, k| Conv1d::new(i, o, k);
    let cases = [
        ("batch", Case::new(conv(3, 4, 3), [40, 3, 20])),
        ("groups", Case::new(conv(12, 24, 3).groups(12), [2, 12, 200])),
        ("output rows", Case::new(conv(2, 30, 3), [2, 2, 100])),
        ("input rows: sums continue in the output", Case::new(conv(30, 2, 3).padding(Padding::Same), [2, 30, 100])),
        ("input and output rows", Case::new(conv(20, 20, 3), [2, 20, 100])),
        ("positions of one row", Case::new(conv(2, 2, 5).padding(Padding::Same), [2, 2, 2000])),
        ("positions, strided", Case::new(conv(1, 2, 5).stride(3), [1, 1, 3000])),
        ("positions, dilated", Case::new(conv(1, 1, 3).dilation(50).padding(Padding::Same), [1, 1, 2000])),
        (
            "positions, replicated ends",
            Case::new(conv(1, 1, 9).padding(Padding::both(4)).padding_mode(PaddingMode::Replicate), [2, 1, 1500]),
        ),
        (
            "positions, mirrored ends",
            Case::new(conv(1, 1, 9).padding(Padding::both(4)).padding_mode(PaddingMode::Reflect), [1, 1, 1500]),
        ),
        (
            "rows longer than a binding, of several channels, mostly padding",
            Case::new(conv(2, 1, 1).padding(Padding::Explicit { left: 590, right: 390 }), [1, 2, 420]),
        ),
        ("weight", Case::new(conv(16, 16, 11), [1, 16, 20])),
        ("weight of many groups", Case::new(conv(64, 64, 40).groups(64), [1, 64, 45])),
        ("transposed, positions", Case::new(ConvTranspose1d::new(2, 2, 6).stride(3), [1, 2, 600])),
        ("transposed, rows", Case::new(ConvTranspose1d::new(20, 12, 4).stride(2), [2, 20, 40])),
        ("depthwise, transposed", Case::new(ConvTranspose1d::new(9, 9, 4).groups(9).stride(2), [2, 9, 100])),
    ];
    for (name, case) in cases {
        println!("{name}");
        assert_case(tiny_bindings(), &case);
    }
}

/// A tensor that cannot be cut is an error with the numbers in it: here a kernel whose row is longer than a binding.
#[test]
fn a_row_that_cannot_be_cut_is_an_error() {
    let conv = Conv1d::new(1, 1, 5000);
    let error = conv.plan(Operation::Forward, [1, 1, 6000], tiny_bindings().caps()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// Columns in many slices, down to one panel at a time, and splits of the weight gradient limited by the workspace.
#[test]
fn small_workspaces_are_enough() {
    let case = Case::new(Conv1d::new(6, 8, 5).groups(2).padding(Padding::Same), [3, 6, 300]);
    let up = Case::new(ConvTranspose1d::new(6, 4, 6).groups(2).stride(3), [3, 6, 100]);
    for kib in [20, 40, 80] {
        let options = PlanOptions::default().workspace_bytes(kib << 10);
        assert_case_with(gpu(), &case, &options);
        assert_case_with(gpu(), &up, &options);
        let plan = |operation| {
            let options = options.clone().kernel("im2col");
            Plan::new(case.layer, operation, case.input, gpu().caps(), &options).unwrap()
        };
        assert!(plan(Operation::Forward).workspace_bytes() <= kib << 10);
        assert!(plan(Operation::Forward).dispatches() > 4, "{}", plan(Operation::Forward));
        assert!(plan(Operation::WeightGradient).workspace_bytes() <= kib << 10);
    }
}

/// Without workspace there is a kernel for every operation but the gradient of copied padding, which is an error.
#[test]
fn no_workspace() {
    let none = PlanOptions::default().workspace_bytes(0);
    let conv = Conv1d::new(3, 4, 3).padding(Padding::both(2));
    assert_case_with(gpu(), &Case::new(conv, [2, 3, 700]), &none);
    let reflect = conv.padding_mode(PaddingMode::Reflect);
    let error = Plan::new(reflect, Operation::InputGradient, [2, 3, 700], gpu().caps(), &none).unwrap_err();
    assert_eq!(error, Error::TooLarge { what: "workspace in bytes", value: 2 * 3 * 4 * 4, limit: 0 });
    let forced = none.kernel("im2col");
    assert!(Plan::new(conv, Operation::Forward, [2, 3, 700], gpu().caps(), &forced).is_err());
}

/// More workgroups than one dimension of a dispatch holds, here 7, are spread over two dimensions.
#[test]
fn dispatches_fold() {
    let gpu = limited_gpu(|limits| limits.max_compute_workgroups_per_dimension = 7);
    assert_case(&gpu, &Case::new(Conv1d::new(3, 9, 3), [3, 3, 100]));
    assert_case(&gpu, &Case::new(ConvTranspose1d::new(3, 9, 3).stride(2), [2, 3, 40]));
    assert_case(
        &gpu,
        &Case::new(
            Conv1d::new(3, 3, 3).groups(3).padding(Padding::both(1)).padding_mode(PaddingMode::Circular),
            [2, 3, 90],
        ),
    );
}

/// Sizes past 65,535 in one dimension at a time; the other sizes are as small as possible. All values are ones, so that every
/// sum is a count, exact in any order: the bound of a sum of 70,000 random signs would hide a missing tail.
#[test]
fn past_65535_in_every_dimension() {
    const BEYOND: usize = 70_000;
    let cases = [
        ("batch", Case::new(Conv1d::new(1, 1, 2), [BEYOND, 1, 3])),
        ("length", Case::new(Conv1d::new(1, 2, 3).padding(Padding::Same), [1, 1, BEYOND])),
        ("input channels", Case::new(Conv1d::new(BEYOND, 1, 1), [1, BEYOND, 2])),
        ("output channels", Case::new(Conv1d::new(1, BEYOND, 1), [1, 1, 2])),
        ("groups", Case::new(Conv1d::new(BEYOND, BEYOND, 2).groups(BEYOND), [1, BEYOND, 3])),
        ("stride", Case::new(Conv1d::new(1, 1, 2).stride(BEYOND), [1, 1, BEYOND + 5])),
        ("dilation", Case::new(Conv1d::new(1, 1, 2).dilation(BEYOND), [1, 1, BEYOND + 5])),
        ("padding", Case::new(Conv1d::new(1, 1, 2).padding(Padding::both(BEYOND)), [1, 1, 5])),
        (
            "copied padding",
            Case::new(
                Conv1d::new(1, 1, 2).padding(Padding::both(BEYOND)).padding_mode(PaddingMode::Replicate),
                [1, 1, 5],
            ),
        ),
        ("transposed stride", Case::new(ConvTranspose1d::new(1, 1, 2).stride(BEYOND), [1, 1, 3])),
    ];
    for (name, case) in cases {
        println!("{name}");
        for operation in Operation::ALL {
            assert_counts(gpu(), &case, operation, &one_of_each_kernel(gpu(), &case, operation));
        }
    }
    // The input gradient of a long kernel has as many terms for every sample as taps: it is tested with few samples left.
    let kernel = Case::new(Conv1d::new(1, 1, BEYOND), [1, 1, BEYOND + 2]);
    for operation in [Operation::Forward, Operation::WeightGradient] {
        assert_counts(gpu(), &kernel, operation, &one_of_each_kernel(gpu(), &kernel, operation));
    }
    let cropped = ConvTranspose1d::new(1, 1, BEYOND).padding(Padding::both(BEYOND - 1));
    let cropped = Case::new(cropped, [1, 1, BEYOND + 1]);
    assert_counts(gpu(), &cropped, Operation::Forward, &one_of_each_kernel(gpu(), &cropped, Operation::Forward));
}

/// Blocks of positions that end beyond the largest `i32`, in padding that is not zero.
#[test]
fn blocks_that_end_beyond_31_bits() {
    let padding = Padding::Explicit { left: 0, right: 2_147_483_500 };
    for mode in [PaddingMode::Constant(1.0), PaddingMode::Replicate] {
        let conv = Conv1d::new(1, 1, 3).stride(37_000).dilation(37_000).padding(padding).padding_mode(mode);
        let case = Case::new(conv, [1, 1, 100]);
        let plans = one_of_each_kernel(gpu(), &case, Operation::Forward);
        assert!(plans.iter().any(|plan| plan.variant().kernel == "window"));
        assert_plans(gpu(), &case, &plans, &Data::new(&case));
    }
}

/// Sums longer than the loop iterations that a software driver allows an invocation, for each operation; with the shaders'
/// checks on and off, since they change which loops the driver unrolls.
#[test]
fn long_sums_are_complete() {
    let depth_and_taps = Case::new(Conv1d::new(300, 9, 300), [1, 300, 301]);
    // Cropped to the few outputs that all taps of their phase reach.
    let crop = Padding::both(599);
    let depth_and_taps_of_phases = Case::new(ConvTranspose1d::new(300, 9, 600).stride(2).padding(crop), [1, 300, 301]);
    let positions = Case::new(Conv1d::new(1, 9, 2), [1, 1, 150_000]);
    let bias = Case::new(Conv1d::new(1, 1, 1), [1, 1, 5_000_000]);
    for gpu in [gpu(), checked_gpu()] {
        let check = |case: &Case, operation, workspace_bytes| {
            let options = PlanOptions::default().workspace_bytes(workspace_bytes);
            assert_counts(gpu, case, operation, &candidates(gpu, case, operation, &options));
        };
        check(&depth_and_taps, Operation::Forward, 256 << 20);
        check(&depth_and_taps_of_phases, Operation::Forward, 256 << 20);
        // So little workspace that the sum over positions is split rarely or never.
        check(&positions, Operation::WeightGradient, 0);
        check(&positions, Operation::WeightGradient, 20 << 10);
        check(&bias, Operation::BiasGradient, 0);
    }
}

/// With ones for all values, every plan counts its terms exactly.
fn assert_counts(gpu: &Gpu, case: &Case, operation: Operation, plans: &[Plan]) {
    let mut data = Data::new(case);
    for values in [&mut data.x, &mut data.w, &mut data.b, &mut data.dy] {
        values.fill(1.0);
    }
    let exact = data.exact(case, operation, true);
    for (plan, got) in plans.iter().zip(run(gpu, plans, &data, true)) {
        let got = got.output;
        let wrong = got.iter().zip(&exact).position(|(&got, exact)| f64::from(got) != exact.value);
        if let Some(index) = wrong {
            panic!("{case:?} {operation:?} {}: {} of {}", plan.variant(), got[index], exact[index].value);
        }
    }
}

/// Input and output past the 128 MiB that WebGPU promises for one binding, on a device that has no more.
#[test]
fn past_one_real_binding() {
    let gpu = limited_gpu(|limits| {
        limits.max_storage_buffer_binding_size = 128 << 20;
        limits.max_buffer_size = 256 << 20;
    });
    let length = 9_000_001;
    let conv = Conv1d::new(4, 4, 3).groups(4).padding(Padding::Same);
    let (x, w) = (values(1, 4 * length), values(2, 12));
    let plan = conv.plan(Operation::Forward, [1, 4, length], gpu.caps()).unwrap();
    assert!(plan.dispatches() > 1, "{plan}");
    let upload = |values: &[f32], shape: [usize; 3]| gpu.tensor(values, shape).unwrap();
    let y = gpu.conv1d(&conv, &upload(&x, [1, 4, length]), &upload(&w, [4, 1, 3]), None).unwrap().read().unwrap();
    let oracle = Oracle::new(conv, [1, 4, length]).unwrap();
    // The ends of every row, and elements in prime steps, which reach all residues and so the seams of all cuts.
    let ends = (0..4).flat_map(|c| [c * length, c * length + 1, (c + 1) * length - 1]);
    for index in (0..4 * length).step_by(9973).chain(ends) {
        let exact = oracle.forward_at(&x, &w, None, index).unwrap();
        assert!(exact.used(y[index]) <= 1.0, "element {index}: {} for {exact:?}", y[index]);
    }
}

/// A plan for a device with larger limits is refused before anything is created.
#[test]
fn plans_for_greater_devices_are_refused() {
    let conv = Conv1d::new(4, 4, 3);
    let greater = tiny_bindings().caps().with(|caps| caps.max_binding_bytes = u64::MAX);
    let plan = conv.plan(Operation::Forward, [1, 4, 100], &greater).unwrap();
    let error = tiny_bindings().prepare(&plan).unwrap_err();
    assert!(matches!(error, Error::DeviceLimit { limit: "max_storage_buffer_binding_size", .. }), "{error}");
    let patient = tiny_bindings().caps().with(|caps| caps.max_iterations = u32::MAX);
    if patient != *tiny_bindings().caps() {
        let plan = conv.plan(Operation::Forward, [1, 4, 100], &patient).unwrap();
        let error = tiny_bindings().prepare(&plan).unwrap_err();
        assert!(matches!(error, Error::DeviceLimit { limit: "loop iterations", .. }), "{error}");
    }
    let lesser = conv.plan(Operation::Forward, [1, 4, 100], tiny_bindings().caps()).unwrap();
    assert!(gpu().prepare(&lesser).is_ok());
}

/// The noop backend checks what wgpu checks of pipelines, bindings and dispatches on a device with WebGPU's own limits.
#[test]
fn everything_is_valid_with_the_default_limits() {
    let (device, queue) = noop_device(wgpu::Limits::default());
    let gpu = Gpu::from_device(device, queue).unwrap();
    assert_eq!(gpu.caps().max_binding_bytes, 128 << 20);
    let case = Case::new(
        Conv1d::new(6, 9, 5).groups(3).stride(2).padding(Padding::Same).padding_mode(PaddingMode::Circular),
        [3, 6, 20_000],
    );
    for operation in Operation::ALL {
        for plan in candidates(&gpu, &case, operation, &PlanOptions::default()) {
            let prepared = gpu.prepare(&plan).unwrap();
            let tensor = |role: Role| gpu.zeros(role.shape(plan.shapes())).unwrap();
            let tensors: Vec<_> =
                plan.inputs().into_iter().chain([plan.output()]).map(|role| (role, tensor(role))).collect();
            let buffers =
                tensors.iter().fold(conv1d::Buffers::new(), |all, (role, t)| all.with(*role, t.buffer().slice(..)));
            gpu.run(&prepared.bind(&buffers).unwrap()).unwrap();
        }
    }
}

/// A device whose limits are too low is refused at once, with an error that names the limit.
#[test]
fn devices_that_can_do_too_little_are_refused() {
    let open = |limits: wgpu::Limits| {
        let (device, queue) = noop_device(limits);
        Gpu::from_device(device, queue)
    };
    let refused = |limits: wgpu::Limits| open(limits).unwrap_err();
    let limit = |limit, available, needed| Error::DeviceLimit { limit, available, needed };
    let buffers = "max_storage_buffers_per_shader_stage";
    assert_eq!(refused(wgpu::Limits::downlevel_defaults()), limit(buffers, 4, 8));
    assert_eq!(refused(wgpu::Limits::downlevel_webgl2_defaults()), limit(buffers, 0, 8));
    let narrow = wgpu::Limits { max_compute_invocations_per_workgroup: 127, ..wgpu::Limits::default() };
    assert_eq!(refused(narrow), limit("max_compute_invocations_per_workgroup", 127, 128));
    let poor = wgpu::Limits { max_compute_workgroup_storage_size: 16_380, ..wgpu::Limits::default() };
    assert_eq!(refused(poor), limit("max_compute_workgroup_storage_size", 16_380, 16_384));
    assert!(open(least()).is_ok());
}

/// The lowest limits that are accepted.
fn least() -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffers_per_shader_stage: 8,
        max_compute_invocations_per_workgroup: 128,
        max_compute_workgroup_storage_size: 16 << 10,
        max_storage_buffer_binding_size: 1024,
        max_storage_textures_per_shader_stage: 0,
        max_sampled_textures_per_shader_stage: 0,
        ..wgpu::Limits::default()
    }
}

/// The device with the lowest limits can run every operation. Kernels that bind more than it allows are passed over.
#[test]
fn the_least_device_can_do_everything() {
    let least = limited_gpu(|limits| {
        let alignment = limits.min_storage_buffer_offset_alignment;
        *limits = wgpu::Limits { min_storage_buffer_offset_alignment: alignment, ..least() };
    });
    let conv = Conv1d::new(3, 5, 4).padding(Padding::Same);
    assert_case(&least, &Case::new(conv, [2, 3, 40]));
    assert_case(&least, &Case::new(ConvTranspose1d::new(3, 5, 4).stride(2), [2, 3, 40]));
    let fused = conv.activation(Activation::Gelu).residual(Residual::BeforeActivation);
    assert_case(&least, &Case::new(fused, [2, 3, 40]));
}

/// Kernels that bind more storage buffers than the device allows are passed over, as long as one kernel remains.
#[test]
fn few_storage_buffers() {
    let plan = |buffers| {
        let few = Caps::WEBGPU.with(|caps| caps.max_storage_buffers = buffers);
        Conv1d::new(3, 5, 4).plan(Operation::Forward, [2, 3, 40], &few)
    };
    assert!(plan(4).unwrap().candidates().iter().all(|candidate| candidate.refused.is_none()));
    assert_eq!(plan(3).unwrap().variant().kernel, "texels");
    let error = plan(1).unwrap_err();
    assert!(matches!(error, Error::DeviceLimit { limit: "max_storage_buffers_per_shader_stage", available: 1, .. }));
}

/// A browser's device may be llvmpipe, which silently leaves loops after 65,535 iterations: a plan for a device of unknown
/// class is complete there too.
#[test]
fn unknown_devices_get_complete_sums() {
    let conv = Conv1d::new(300, 9, 300);
    let plan = conv.plan(Operation::Forward, [1, 300, 301], &Caps::WEBGPU).unwrap();
    assert_eq!(plan.caps().class, DeviceClass::Unknown);
    let x = gpu().tensor(&vec![1.0; 300 * 301], [1, 300, 301]).unwrap();
    let w = gpu().tensor(&vec![1.0; 9 * 300 * 300], [9, 300, 300]).unwrap();
    for candidate in plan.candidates() {
        let options = PlanOptions::default().kernel(candidate.variant.to_string());
        let plan = Plan::new(conv, Operation::Forward, [1, 300, 301], &Caps::WEBGPU, &options).unwrap();
        let y = gpu().execute(&plan, &[(Role::Input, &x), (Role::Weight, &w)]).unwrap().read().unwrap();
        assert!(y.iter().all(|&y| y == 90_000.0), "{plan}: {y:?}");
    }
}

/// A larger case of each kind, with every kernel.
#[test]
fn larger_cases() {
    for case in [
        Case::new(Conv1d::new(33, 47, 7).stride(2).padding(Padding::Same), [3, 33, 501]),
        Case::new(ConvTranspose1d::new(40, 24, 16).stride(8).padding(Padding::both(4)), [2, 40, 61]),
        Case::new(Conv1d::new(64, 64, 31).groups(64).padding(Padding::Same), [2, 64, 257]),
    ] {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            assert_operation(gpu(), &case, operation, &data, &PlanOptions::default());
        }
    }
}
