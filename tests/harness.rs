//! Shared by the tests: one device, and functions that run every kernel on a case, surrounded by poisoned memory.

pub(crate) use crate::case::{Case, Data, assert_promise, values};
use conv1d::reference::Exact;
use conv1d::{Activation, Buffers, Candidate, DeviceClass, Gpu, Operation, Plan, PlanOptions, Role, Tensor, Workspace};
use std::sync::OnceLock;

/// The device of all tests. Without an adapter the tests fail with a message that says how to get one.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = Gpu::new().unwrap_or_else(|e| panic!("{e}"));
        println!("adapter: {:?}", gpu.adapter_info());
        gpu
    })
}

/// The same device with shaders that check every index.
pub(crate) fn checked_gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::from_device_checked(gpu().device().clone(), gpu().queue().clone()).unwrap())
}

/// A device of the same adapter with lower limits.
pub(crate) fn limited_gpu(limits: impl FnOnce(&mut wgpu::Limits)) -> Gpu {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let name = gpu().adapter_info().name;
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let adapter = adapters.into_iter().find(|a| a.get_info().name == name).unwrap();
    let mut required_limits = adapter.limits();
    limits(&mut required_limits);
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_device(device, queue).unwrap()
}

/// The noop backend with chosen limits: everything but execution.
pub(crate) fn noop_device(limits: wgpu::Limits) -> (wgpu::Device, wgpu::Queue) {
    wgpu::Device::noop(&wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() })
}

/// Guard words before and after every tensor in its buffer. Odd, so that no tensor starts at a multiple of an alignment.
const GUARD: usize = 67;
/// The guard word: a NaN, which spoils every sum that reads it.
const GUARD_BITS: u32 = 0x7fc0_beef;
/// The word that fills outputs and workspace before a run.
const POISON_BITS: u32 = 0x7fc0_dead;

fn guarded(gpu: &Gpu, values: &[f32]) -> Tensor {
    let guard = [f32::from_bits(GUARD_BITS); GUARD];
    let all = [&guard[..], values, &guard[..]].concat();
    gpu.tensor(&all, [all.len()]).unwrap()
}

fn inside(tensor: &Tensor) -> wgpu::BufferSlice<'_> {
    tensor.buffer().slice((GUARD * 4) as u64..((tensor.len() - GUARD) * 4) as u64)
}

/// All variants that the planner could choose for an operation, planned for every class of device: each class has its
/// own walks over positions and splits of sums. Plans with the same dispatches appear once.
pub(crate) fn candidates(gpu: &Gpu, case: &Case, operation: Operation, options: &PlanOptions) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for class in [DeviceClass::Software, DeviceClass::Integrated, DeviceClass::Discrete, DeviceClass::Unknown] {
        // Only the class changes: the limits stay those of the device that runs the plans.
        let caps = gpu.caps().with(|caps| caps.class = class);
        let plan = |options: &PlanOptions| Plan::new(case.fused, operation, case.input, &caps, options);
        let chosen = plan(options).unwrap_or_else(|e| panic!("{case:?} {operation:?}: {e}"));
        let force = |c: &Candidate| plan(&options.clone().kernel(c.variant.to_string()));
        for plan in chosen.candidates().iter().filter_map(|c| force(c).ok()) {
            if !plans.iter().any(|known| known.same_dispatches(&plan)) {
                plans.push(plan);
            }
        }
    }
    plans
}

/// One variant of every kernel, the planner's choice among them: for tests of sizes, one variant is as good as another.
pub(crate) fn one_of_each_kernel(gpu: &Gpu, case: &Case, operation: Operation) -> Vec<Plan> {
    let mut plans = candidates(gpu, case, operation, &PlanOptions::default());
    let mut kernels = Vec::new();
    plans.retain(|p| {
        let new = !kernels.contains(&p.variant().kernel);
        kernels.push(p.variant().kernel);
        new
    });
    plans
}

/// Runs plans of one operation of one case, one after another, and returns what each wrote. Inputs and outputs have guard
/// words around them; outputs and workspace are poisoned.
pub(crate) fn run(gpu: &Gpu, plans: &[Plan], data: &Data, bias: bool) -> Vec<Written> {
    let Some(first) = plans.first() else { return Vec::new() };
    let inputs: Vec<(Role, Tensor)> = first
        .inputs()
        .into_iter()
        .filter(|&role| bias || role != Role::Bias)
        .map(|role| (role, guarded(gpu, data.of(role))))
        .collect();
    let length = first.output().shape(first.shapes()).iter().product::<usize>();
    let poison = vec![f32::from_bits(POISON_BITS); length];
    let tensors = || -> Vec<Tensor> { plans.iter().map(|_| guarded(gpu, &poison)).collect() };
    let (outputs, optional) = (tensors(), first.optional_output().map(|role| (role, tensors())));

    let workspace = Workspace::new(gpu, &plans.iter().collect::<Vec<_>>()).unwrap();
    for buffer in workspace.buffers() {
        let poison = vec![POISON_BITS; (buffer.size() / 4) as usize];
        gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(&poison));
    }
    for texture in workspace.textures() {
        let poison = vec![POISON_BITS; (texture.width() * texture.height() * 4) as usize];
        let layout = wgpu::TexelCopyBufferLayout { bytes_per_row: Some(texture.width() * 16), ..Default::default() };
        gpu.queue().write_texture(texture.as_image_copy(), bytemuck::cast_slice(&poison), layout, texture.size());
    }
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    for (index, (plan, output)) in plans.iter().zip(&outputs).enumerate() {
        let mut buffers = Buffers::new().with(plan.output(), inside(output));
        if let Some((role, tensors)) = &optional {
            buffers = buffers.with(*role, inside(&tensors[index]));
        }
        for (role, tensor) in &inputs {
            buffers = buffers.with(*role, inside(tensor));
        }
        let prepared = gpu.prepare_for(plan, &buffers.roles()).unwrap_or_else(|e| panic!("{plan}: {e}"));
        let bound = prepared.bind_with(&buffers, &workspace).unwrap_or_else(|e| panic!("{plan}: {e}"));
        bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    }
    gpu.queue().submit([encoder.finish()]);
    let read = |(plan, output): (&Plan, &Tensor)| {
        let all = output.read().unwrap();
        let (before, rest) = all.split_at(GUARD);
        let (values, after) = rest.split_at(length);
        let intact = before.iter().chain(after).all(|v| v.to_bits() == GUARD_BITS);
        assert!(intact, "guard words around the output were overwritten\n{plan}");
        let unwritten = values.iter().position(|v| v.to_bits() == POISON_BITS);
        assert_eq!(unwritten, None, "an element of the output was not written\n{plan}");
        values.to_vec()
    };
    let written = |(index, (plan, output))| Written {
        output: read((plan, output)),
        pre_activation: optional.as_ref().map(|(_, tensors)| read((plan, &tensors[index]))),
    };
    plans.iter().zip(&outputs).enumerate().map(written).collect()
}

/// The tensors that a plan wrote.
pub(crate) struct Written {
    pub(crate) output: Vec<f32>,
    pub(crate) pre_activation: Option<Vec<f32>>,
}

/// Every operation of a case, by every kernel in every variant that the planner could choose, keeps the promise.
pub(crate) fn assert_case(gpu: &Gpu, case: &Case) {
    assert_case_with(gpu, case, &PlanOptions::default());
}

/// Like [`assert_case`], planned with options.
pub(crate) fn assert_case_with(gpu: &Gpu, case: &Case, options: &PlanOptions) {
    let data = Data::new(case);
    for operation in Operation::ALL {
        assert_operation(gpu, case, operation, &data, options);
    }
}

/// One operation of a case, by every kernel in every variant, keeps the promise.
pub(crate) fn assert_operation(gpu: &Gpu, case: &Case, operation: Operation, data: &Data, options: &PlanOptions) {
    let plans = candidates(gpu, case, operation, options);
    assert!(!plans.is_empty(), "{case:?} {operation:?}: no kernel");
    assert_plans(gpu, case, &plans, data);
}

/// Plans of one operation keep the promise.
pub(crate) fn assert_plans(gpu: &Gpu, case: &Case, plans: &[Plan], data: &Data) {
    let Some(operation) = plans.first().map(Plan::operation) else { return };
    // Some cases have a bias and some have none.
    let bias = case.input[2].is_multiple_of(2);
    let exact = data.exact(case, operation, bias);
    for (plan, got) in plans.iter().zip(run(gpu, plans, data, bias)) {
        let what = format!("{case:?} {operation:?} {}", plan.variant());
        // A gradient through an activation rounds each term twice more.
        let through = operation != Operation::Forward && case.fused.activation != Activation::Identity;
        let chain = plan.chain() + 2 * u64::from(through);
        let exact: Vec<Exact> = exact.iter().map(|exact| exact.with_chain(chain)).collect();
        assert_promise(&got.output, &exact, &what);
        if let Some(z) = got.pre_activation {
            assert_promise(&z, &data.exact_pre_activation(case, bias), &format!("{what}, pre-activation"));
        }
    }
}
