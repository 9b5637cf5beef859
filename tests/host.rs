//! The host layer: the caller's buffers, offsets and passes; tensors; errors of devices.

use crate::harness::{gpu, limited_gpu, values};
use conv1d::{
    Activation, Buffers, Conv1d, ConvTranspose1d, Effort, Error, Gpu, GpuOptions, Operation, Padding, PaddingMode,
    PlanOptions, Residual, Role, Shader, Tensor, Timer, Tuning, Wanted, Workspace, wgpu,
};
use std::time::Duration;

/// One bound operation, recorded for one input and then for another.
#[test]
fn recording_into_a_callers_pass() {
    let conv = Conv1d::new(3, 5, 3).padding(Padding::Same);
    let options = PlanOptions::default().kernel("im2col");
    let plan = conv1d::Plan::new(conv, Operation::Forward, [2, 3, 40], gpu().caps(), &options).unwrap();
    let prepared = gpu().prepare(&plan).unwrap();
    let workspace = Workspace::new(gpu(), &[&plan]).unwrap();
    assert_eq!(workspace.bytes(), plan.workspace_bytes());
    let (first, second) = (values(1, 240), values(2, 240));
    let w = gpu().tensor(&values(3, 45), [5, 3, 3]).unwrap();
    let x = gpu().tensor(&first, [2, 3, 40]).unwrap();
    let y = gpu().zeros([2, 5, 40]).unwrap();
    let buffers = Buffers::new()
        .with(Role::Input, x.buffer().slice(..))
        .with(Role::Weight, w.buffer().slice(..))
        .with(Role::Output, y.buffer().slice(..));
    let bound = prepared.bind_with(&buffers, &workspace).unwrap();
    let submit = |record: &dyn Fn(&mut wgpu::ComputePass<'_>)| {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu().queue().submit([encoder.finish()]);
    };
    let expected = |x: &[f32]| {
        let x = gpu().tensor(x, [2, 3, 40]).unwrap();
        gpu().forward(conv, &[(Role::Input, &x), (Role::Weight, &w)], &options).unwrap().read().unwrap()
    };
    submit(&|pass| bound.record(pass));
    assert_eq!(y.read().unwrap(), expected(&first));
    gpu().queue().write_buffer(x.buffer(), 0, bytemuck::cast_slice(&second));
    submit(&|pass| bound.record(pass));
    assert_eq!(y.read().unwrap(), expected(&second));
}

#[test]
fn wrong_buffers_are_refused() {
    let conv = Conv1d::new(1, 1, 3);
    let plan = conv.plan(Operation::Forward, [1, 1, 10], gpu().caps()).unwrap();
    let prepared = gpu().prepare(&plan).unwrap();
    let (x, w, y) = (gpu().zeros([10]).unwrap(), gpu().zeros([3]).unwrap(), gpu().zeros([20]).unwrap());
    let buffers = Buffers::new()
        .with(Role::Input, x.buffer().slice(..))
        .with(Role::Weight, w.buffer().slice(..))
        .with(Role::Output, y.buffer().slice(..));
    assert!(prepared.bind(&buffers).is_ok());
    let refused = |buffers: &Buffers<'_>| prepared.bind(buffers).unwrap_err();

    let missing = Buffers::new().with(Role::Input, x.buffer().slice(..)).with(Role::Output, y.buffer().slice(..));
    assert_eq!(refused(&missing), Error::MissingBuffer { role: "the weight" });
    let unused = buffers.with(Role::OutputGradient, w.buffer().slice(..));
    assert_eq!(refused(&unused), Error::UnusedBuffer { role: "the output gradient" });
    let short = buffers.with(Role::Output, y.buffer().slice(52..));
    assert_eq!(refused(&short), Error::BufferTooSmall { role: "the output", got: 28, needed: 32 });
    let misaligned = buffers.with(Role::Output, y.buffer().slice(2..));
    assert_eq!(refused(&misaligned), Error::BufferMisaligned { role: "the output", offset: 2 });
    // The output is the first 32 bytes.
    let beside = buffers.with(Role::Input, y.buffer().slice(32..));
    assert!(prepared.bind(&beside).is_ok());
    let aliased = buffers.with(Role::Input, y.buffer().slice(28..));
    assert_eq!(refused(&aliased), Error::Aliased { first: "the input", second: "the output" });
    let usage = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 40,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let no_storage = buffers.with(Role::Input, usage.slice(..));
    assert_eq!(refused(&no_storage), Error::BufferUsage { role: "the input", usage: "STORAGE" });
    // Two inputs may share a buffer: autocorrelation does.
    let shared = buffers.with(Role::Weight, x.buffer().slice(28..));
    assert!(prepared.bind(&shared).is_ok());
}

#[test]
fn a_workspace_of_another_plan_is_refused() {
    let conv = Conv1d::new(3, 5, 3);
    let options = PlanOptions::default().kernel("im2col");
    let plan = |l| conv1d::Plan::new(conv, Operation::Forward, [1, 3, l], gpu().caps(), &options).unwrap();
    let small = Workspace::new(gpu(), &[&plan(10)]).unwrap();
    let prepared = gpu().prepare(&plan(1000)).unwrap();
    let (x, w, y) = (gpu().zeros([3000]).unwrap(), gpu().zeros([45]).unwrap(), gpu().zeros([5000]).unwrap());
    let buffers = Buffers::new()
        .with(Role::Input, x.buffer().slice(..))
        .with(Role::Weight, w.buffer().slice(..))
        .with(Role::Output, y.buffer().slice(..));
    assert!(matches!(prepared.bind_with(&buffers, &small).unwrap_err(), Error::BufferTooSmall { .. }));
    let none = Workspace::new(gpu(), &[]).unwrap();
    assert!(matches!(prepared.bind_with(&buffers, &none).unwrap_err(), Error::BufferTooSmall { got: 0, .. }));
    // Textures are memory like any other.
    let options = PlanOptions::default().kernel("texels");
    let plan = |l| conv1d::Plan::new(conv, Operation::Forward, [1, 3, l], gpu().caps(), &options).unwrap();
    let small = Workspace::new(gpu(), &[&plan(10)]).unwrap();
    assert_eq!(small.bytes(), plan(10).workspace_bytes());
    let prepared = gpu().prepare(&plan(1 << 17)).unwrap();
    let (x, y) = (gpu().zeros([3 << 17]).unwrap(), gpu().zeros([5 << 17]).unwrap());
    let buffers = buffers.with(Role::Input, x.buffer().slice(..)).with(Role::Output, y.buffer().slice(..));
    assert!(matches!(prepared.bind_with(&buffers, &small).unwrap_err(), Error::BufferTooSmall { .. }));
}

/// Inputs without a batch give the same values, in shapes without a batch.
#[test]
fn inputs_without_a_batch() {
    let tensor = |seed, shape: &[usize]| gpu().tensor(&values(seed, shape.iter().product()), shape).unwrap();
    let batched = |t: &Tensor| t.reshape([&[1], t.shape()].concat()).unwrap();
    let read = |t: &Tensor| t.read().unwrap();
    let conv = Conv1d::new(4, 6, 3).groups(2).padding(Padding::Same).padding_mode(PaddingMode::Reflect);
    let up = ConvTranspose1d::new(4, 6, 5).stride(3);
    let (x, w, b) = (tensor(1, &[4, 20]), tensor(2, &[6, 2, 3]), tensor(3, &[6]));
    let y = gpu().conv1d(&conv, &x, &w, Some(&b)).unwrap();
    assert_eq!(y.shape(), [6, 20]);
    assert_eq!(read(&y), read(&gpu().conv1d(&conv, &batched(&x), &w, Some(&b)).unwrap()));
    let gradients = gpu().conv1d_backward(&conv, &x, &w, &y, Wanted::ALL).unwrap();
    let expected = gpu().conv1d_backward(&conv, &batched(&x), &w, &batched(&y), Wanted::ALL).unwrap();
    assert_eq!(gradients.input.as_ref().unwrap().shape(), [4, 20]);
    for (got, expected) in
        [(gradients.input, expected.input), (gradients.weight, expected.weight), (gradients.bias, expected.bias)]
    {
        assert_eq!(read(&got.unwrap()), read(&expected.unwrap()));
    }
    // A shape with a batch of one differs from a shape without a batch.
    assert!(gpu().conv1d_backward(&conv, &x, &w, &batched(&y), Wanted::ALL).is_err());

    let w = tensor(4, &[4, 6, 5]);
    let y = gpu().conv_transpose1d(&up, &x, &w, None).unwrap();
    assert_eq!(y.shape(), [6, 62]);
    assert_eq!(read(&y), read(&gpu().conv_transpose1d(&up, &batched(&x), &w, None).unwrap()));
    let gradients = gpu().conv_transpose1d_backward(&up, &x, &w, &y, Wanted::NONE.input(true)).unwrap();
    assert_eq!(gradients.input.unwrap().shape(), [4, 20]);

    let fused = conv.activation(Activation::Gelu).residual(Residual::AfterActivation);
    let (z, r, w) = (gpu().zeros([6, 20]).unwrap(), tensor(5, &[6, 20]), tensor(2, &[6, 2, 3]));
    let roles = [(Role::Input, &x), (Role::Weight, &w), (Role::Residual, &r), (Role::PreActivation, &z)];
    let y = gpu().forward(fused, &roles, &PlanOptions::default()).unwrap();
    let saved = [(Role::Input, &x), (Role::Weight, &w), (Role::PreActivation, &z), (Role::OutputGradient, &y)];
    let gradients = gpu().backward(fused, &saved, Wanted::ALL, &PlanOptions::default()).unwrap();
    assert_eq!((gradients.input.unwrap().shape(), gradients.residual.unwrap().shape()), (&[4, 20][..], &[6, 20][..]));
    let plan = fused.plan(Operation::Forward, [4, 20], gpu().caps()).unwrap();
    assert_eq!((plan.shapes().output, plan.shapes().output.ncl()), (fused.shapes([4, 20]).unwrap().output, [1, 6, 20]));
}

/// A role that is given twice is an error that names it.
#[test]
fn a_role_is_given_once() {
    let conv = Conv1d::new(1, 1, 3);
    let (x, w, y) = (gpu().zeros([1, 1, 9]).unwrap(), gpu().zeros([1, 1, 3]).unwrap(), gpu().zeros([1, 1, 7]).unwrap());
    let options = PlanOptions::default();
    let forward = gpu().forward(conv, &[(Role::Input, &x), (Role::Weight, &w), (Role::Input, &x)], &options);
    assert_eq!(forward.unwrap_err(), Error::GivenTwice { role: "the input" });
    let roles = [(Role::Input, &x), (Role::Weight, &w), (Role::OutputGradient, &y), (Role::Weight, &w)];
    let backward = gpu().backward(conv, &roles, Wanted::ALL, &options);
    assert_eq!(backward.unwrap_err().to_string(), "the weight is given twice");
}

/// A tensor over a buffer of the caller's, and a read into memory of the caller's.
#[test]
fn tensors_over_other_memory() {
    let buffer = |size, usage| {
        gpu().device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    use wgpu::BufferUsages as Usage;
    let all = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    let memory = buffer(48, all);
    let x = gpu().tensor_over(memory.clone(), [1, 1, 9]).unwrap();
    x.write(&values(1, 9)).unwrap();
    let w = gpu().tensor(&[0.0, 1.0, 0.0], [1, 1, 3]).unwrap();
    let y = gpu().conv1d(&Conv1d::new(1, 1, 3), &x, &w, None).unwrap();
    let mut got = [f32::NAN; 7];
    y.read_into(&mut got).unwrap();
    assert_eq!(got, values(1, 9)[1..8]);
    let wrong = Error::DataLength { tensor: "the slice", got: 6, expected: 7 };
    assert_eq!(y.read_into(&mut got[..6]).unwrap_err(), wrong);
    assert_eq!(got, values(1, 9)[1..8]);
    let small = gpu().tensor_over(memory, [13]).unwrap_err();
    assert_eq!(small, Error::BufferTooSmall { role: "the tensor", got: 48, needed: 52 });
    let usage = gpu().tensor_over(buffer(16, Usage::STORAGE | Usage::COPY_SRC), [1]).unwrap_err();
    assert_eq!(usage, Error::BufferUsage { role: "the tensor", usage: "COPY_DST" });
}

#[test]
fn wrong_tensors_are_refused() {
    let conv = Conv1d::new(2, 4, 3);
    let tensor = |shape: &[usize]| gpu().zeros(shape).unwrap();
    let (x, w, dy) = (tensor(&[1, 2, 9]), tensor(&[4, 2, 3]), tensor(&[1, 4, 7]));
    let error = gpu().conv1d(&conv, &x, &tensor(&[4, 3, 2]), None).unwrap_err();
    assert_eq!(error.to_string(), "the weight has the shape [4, 3, 2], expected [4, 2, 3]");
    let error = gpu().conv1d(&conv, &x, &w, Some(&tensor(&[2]))).unwrap_err();
    assert_eq!(error.to_string(), "the bias has the shape [2], expected [4]");
    assert!(gpu().conv1d(&conv, &tensor(&[9, 2]), &w, None).is_err());
    assert!(gpu().conv1d(&conv, &tensor(&[18]), &w, None).is_err());
    assert!(gpu().conv1d_backward(&conv, &x, &w, &x, Wanted::ALL).is_err());
    // A tensor that the gradient does not read must have the right shape too.
    let only_input = Wanted::NONE.input(true);
    assert!(gpu().conv1d_backward(&conv, &tensor(&[1, 2, 10]), &w, &dy, only_input).is_err());
    let none = gpu().conv1d_backward(&conv, &x, &w, &dy, Wanted::NONE).unwrap();
    assert!(none.input.is_none() && none.weight.is_none() && none.bias.is_none());
    assert!(gpu().tensor(&[1.0; 5], [2, 3]).is_err());
    assert!(gpu().zeros([usize::MAX, 2]).is_err());
    assert!(x.reshape([17]).is_err());
    let other = limited_gpu(|_| ());
    assert_eq!(other.conv1d(&conv, &x, &w, None).unwrap_err(), Error::WrongDevice { tensor: "the input" });
}

#[test]
fn empty_tensors() {
    let conv = Conv1d::new(2, 4, 3).padding(Padding::both(1)).padding_mode(PaddingMode::Circular);
    let (x, w) = (gpu().tensor(&[], [0, 2, 9]).unwrap(), gpu().tensor(&values(1, 24), [4, 2, 3]).unwrap());
    let y = gpu().conv1d(&conv, &x, &w, None).unwrap();
    assert_eq!((y.shape(), y.read().unwrap()), (&[0, 4, 9][..], vec![]));
    let gradients = gpu().conv1d_backward(&conv, &x, &w, &y, Wanted::ALL).unwrap();
    assert!(gradients.input.unwrap().read().unwrap().is_empty());
    assert_eq!(gradients.weight.unwrap().read().unwrap(), [0.0; 24]);
    assert_eq!(gradients.bias.unwrap().read().unwrap(), [0.0; 4]);
}

/// A NaN in the input reaches exactly the outputs whose window holds it: memory beyond an edge is not read, and padding is
/// not multiplied.
#[test]
fn nan_reaches_only_what_sees_it() {
    let conv = Conv1d::new(2, 3, 4).stride(2).dilation(3).padding(Padding::both(5));
    let (at, length) = (31_usize, 70_usize);
    let mut x = values(1, 2 * length);
    x[length + at] = f32::NAN;
    let x = gpu().tensor(&x, [1, 2, length]).unwrap();
    let w = gpu().tensor(&values(2, 24), [3, 2, 4]).unwrap();
    for kernel in ["direct/8x4", "direct/1x1", "im2col"] {
        let tensors = [(Role::Input, &x), (Role::Weight, &w)];
        let y = gpu().forward(conv, &tensors, &PlanOptions::default().kernel(kernel)).unwrap();
        let l_out = y.shape()[2];
        for (index, value) in y.read().unwrap().into_iter().enumerate() {
            let sees = (0..4).any(|k| (index % l_out) * 2 + k * 3 == at + 5);
            assert_eq!(value.is_nan(), sees, "{kernel}, output {index}");
        }
    }
}

#[test]
fn adapters_are_chosen_by_name() {
    let name = gpu().adapter_info().name;
    let part = name.split_whitespace().next().unwrap().to_uppercase();
    assert!(Gpu::with_options(&GpuOptions::default().adapter(part)).is_ok());
    let error = Gpu::with_options(&GpuOptions::default().adapter("no such adapter")).unwrap_err();
    assert!(matches!(&error, Error::NoAdapter { found, .. } if found.contains(&name)), "{error}");
}

/// A lost device is an error of every call, also while work is queued, and also if the program opened the device itself.
#[test]
fn a_lost_device_is_told_by_every_call() {
    for (gpu, queued) in
        [(Gpu::new().unwrap(), 0), (limited_gpu(|_| ()), 0), (Gpu::new().unwrap(), 3), (limited_gpu(|_| ()), 3)]
    {
        let conv = Conv1d::new(16, 16, 33);
        let shape = [4, 16, 4000];
        let x = gpu.tensor(&values(1, 4 * 16 * 4000), shape).unwrap();
        let w = gpu.tensor(&values(2, 16 * 16 * 33), [16, 16, 33]).unwrap();
        let y = gpu.zeros([4, 16, 3968]).unwrap();
        let plan = conv.plan(Operation::Forward, shape, gpu.caps()).unwrap();
        let buffers = Buffers::new()
            .with(Role::Input, x.buffer().slice(..))
            .with(Role::Weight, w.buffer().slice(..))
            .with(Role::Output, y.buffer().slice(..));
        let prepared = gpu.prepare(&plan).unwrap();
        let bound = prepared.bind(&buffers).unwrap();
        let submission = gpu.submit(&bound).unwrap();
        let timer = Timer::new(&gpu);
        timer.run(&bound, 1).unwrap();
        (0..queued).for_each(|_| gpu.run(&bound).unwrap());
        gpu.device().destroy();

        let lost = |result: conv1d::Result<()>| assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
        lost(y.write(&values(3, y.len())));
        lost(gpu.run(&bound));
        lost(gpu.zeros([4]).map(drop));
        lost(y.copy_from(&gpu_tensor(&x, y.shape())));
        lost(submission.wait());
        lost(y.read().map(drop));
        lost(y.read_into(&mut vec![0.0; y.len()]));
        lost(gpu.tensor(&[1.0], [1]).map(drop));
        lost(gpu.conv1d(&conv, &x, &w, None).map(drop));
        lost(gpu.prepare(&plan).map(drop));
        lost(prepared.bind(&buffers).map(drop));
        lost(Workspace::new(&gpu, &[&plan]).map(drop));
        lost(gpu.prepare_shader(&Shader::new("empty", "@compute @workgroup_size(1) fn empty() {}")).map(drop));
        lost(pollster::block_on(gpu.settled()));
        lost(Gpu::from_device(gpu.device().clone(), gpu.queue().clone()).map(drop));
        let effort = Effort::within(Duration::from_millis(1));
        lost(timer.measure(&bound, effort).map(drop));
        lost(gpu.roofline(effort).map(drop));
        let mut tuning = Tuning::new(&gpu);
        lost(gpu.tune(&mut tuning, conv, Operation::Forward, shape, effort).map(drop));
        assert!(tuning.is_empty());
    }
}

/// The first elements of a tensor, in another shape.
fn gpu_tensor(tensor: &Tensor, shape: &[usize]) -> Tensor {
    tensor.gpu().tensor_over(tensor.buffer().clone(), shape).unwrap()
}

/// Polls a future and counts a heartbeat in turn, until the future is ready or `most_beats` are counted. Returns the value of
/// the future, if it was ready, and the number of beats.
fn beside_a_heartbeat<T>(future: impl Future<Output = T>, most_beats: u64) -> (Option<T>, u64) {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut beats = 0;
    while beats < most_beats {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return (Some(value), beats);
        }
        beats += 1;
        std::thread::yield_now();
    }
    (None, beats)
}

/// Queues work that takes a device a while.
fn long_work(gpu: &Gpu) -> Tensor {
    let (x, w) =
        (gpu.tensor(&values(1, 4 * 16 * 4000), [4, 16, 4000]), gpu.tensor(&values(2, 16 * 16 * 33), [16, 16, 33]));
    let (x, w) = (x.unwrap(), w.unwrap());
    let y = || gpu.conv1d(&Conv1d::new(16, 16, 33), &x, &w, None).unwrap();
    (0..4).for_each(|_| drop(y()));
    y()
}

/// Futures that wait for the device let other futures of their thread run, and no caller has to poll the device.
#[test]
fn waiting_blocks_no_executor() {
    let gpu = Gpu::new().unwrap();
    let expected = long_work(&gpu).read().unwrap();
    let y = long_work(&gpu);
    let (values, beats) = beside_a_heartbeat(y.read_async(), u64::MAX);
    assert_eq!(values.unwrap().unwrap(), expected);
    assert!(beats > 0, "reading let nothing else run");

    let y = long_work(&gpu);
    let mut values = vec![0.0; expected.len()];
    let (read, beats) = beside_a_heartbeat(y.read_into_async(&mut values), u64::MAX);
    read.unwrap().unwrap();
    assert_eq!(values, expected);
    assert!(beats > 0, "reading into a slice let nothing else run");

    let shape = [4, 16, 4000];
    let plan = Conv1d::new(16, 16, 33).plan(Operation::Forward, shape, gpu.caps()).unwrap();
    let (x, w, y) = (gpu.zeros(shape).unwrap(), gpu.zeros([16, 16, 33]).unwrap(), gpu.zeros([4, 16, 3968]).unwrap());
    let buffers =
        Buffers::new().with(Role::Input, x.slice()).with(Role::Weight, w.slice()).with(Role::Output, y.slice());
    let bound = gpu.prepare(&plan).unwrap().bind(&buffers).unwrap();
    let submission = gpu.submit(&bound).unwrap();
    let (waited, beats) = beside_a_heartbeat(submission.wait_async(), u64::MAX);
    waited.unwrap().unwrap();
    assert!(beats > 0, "waiting for a submission let nothing else run");

    let timer = Timer::new(&gpu);
    let plan = Conv1d::new(16, 16, 33).plan(Operation::Forward, [4, 16, 4000], gpu.caps()).unwrap();
    let (x, w, y) =
        (gpu.zeros([4, 16, 4000]).unwrap(), gpu.zeros([16, 16, 33]).unwrap(), gpu.zeros([4, 16, 3968]).unwrap());
    let buffers = Buffers::new()
        .with(Role::Input, x.buffer().slice(..))
        .with(Role::Weight, w.buffer().slice(..))
        .with(Role::Output, y.buffer().slice(..));
    let bound = gpu.prepare(&plan).unwrap().bind(&buffers).unwrap();
    let (time, beats) = beside_a_heartbeat(timer.run_async(&bound, 3), u64::MAX);
    assert!(time.unwrap().unwrap() > Duration::ZERO);
    assert!(beats > 0, "timing let nothing else run");
}

/// A dropped read stops waiting, and leaves nothing behind that disturbs the next read.
#[test]
fn a_dropped_read_is_over() {
    let gpu = Gpu::new().unwrap();
    let expected = long_work(&gpu).read().unwrap();
    let y = long_work(&gpu);
    let (late, _) = beside_a_heartbeat(y.read_async(), 1);
    assert!(late.is_none(), "the work was finished at once: too little work for this test");
    assert_eq!(y.read().unwrap(), expected);
    // Reads of several threads and executors, side by side.
    let reads: Vec<_> = (0..4)
        .map(|n| {
            let y = y.clone();
            std::thread::spawn(move || if n % 2 == 0 { y.read() } else { pollster::block_on(y.read_async()) })
        })
        .collect();
    assert!(reads.into_iter().all(|read| read.join().unwrap().unwrap() == expected));
}

/// A device refuses the resources of another one. Otherwise it would panic, or use the wrong memory.
#[test]
fn devices_do_not_mix() {
    let (gpu, other) = (Gpu::new().unwrap(), Gpu::new().unwrap());
    let plan = Conv1d::new(1, 1, 3).plan(Operation::Forward, [1, 1, 16], gpu.caps()).unwrap();
    let tensors = |gpu: &Gpu| [16, 3, 14].map(|length| gpu.tensor(&vec![1.0; length], [length]).unwrap());
    let (own, foreign) = (tensors(&gpu), tensors(&other));
    let prepared = gpu.prepare(&plan).unwrap();
    let buffers = |[x, w, y]: [&Tensor; 3]| {
        let roles = [(Role::Input, x), (Role::Weight, w), (Role::Output, y)];
        let bind = |workspace: &Workspace| {
            let all = Buffers::new();
            let all = roles.iter().fold(all, |all, (role, t)| all.with(*role, t.buffer().slice(..)));
            prepared.bind_with(&all, workspace)
        };
        (bind(&Workspace::new(&gpu, &[&plan]).unwrap()), bind(&Workspace::new(&other, &[&plan]).unwrap()))
    };
    let wrong = |what| Error::WrongDevice { tensor: what };
    let (bound, strange) = buffers([&own[0], &own[1], &own[2]]);
    assert_eq!(strange.unwrap_err(), wrong("the workspace"));
    let bound = bound.unwrap();
    assert_eq!(other.run(&bound).unwrap_err(), wrong("the bound operation"));
    assert_eq!(Timer::new(&other).run(&bound, 1).unwrap_err(), wrong("the bound operation"));
    gpu.run(&bound).unwrap();
    assert_eq!(own[2].read().unwrap(), [3.0; 14]);
    for strange in [[&foreign[0], &own[1], &own[2]], [&own[0], &own[1], &foreign[2]]] {
        assert!(buffers(strange).0.is_err());
    }
}

#[test]
fn out_of_memory_is_an_error() {
    let limit = gpu().caps().max_buffer_bytes as usize;
    assert!(matches!(gpu().zeros([limit / 4 + 1]).unwrap_err(), Error::TooLarge { .. }));
}
