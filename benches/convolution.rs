//! Benchmarks for developers of the library: forward, gradients, planning, recording. `conv1d bench` is for users.

use conv1d::{
    Bound, Buffers, Conv1d, ConvTranspose1d, Gpu, Layer, Operation, Padding, Plan, PlanOptions, Tensor, wgpu,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Name, layer and input shape: each kind of layer once, small enough for a software adapter.
fn layers() -> Vec<(&'static str, Layer, [usize; 3])> {
    vec![
        ("dense 64 to 64, K 3", Conv1d::new(64, 64, 3).padding(Padding::Same).into(), [4, 64, 512]),
        ("depthwise 256, K 31", Conv1d::new(256, 256, 31).groups(256).padding(Padding::Same).into(), [1, 256, 512]),
        ("dilated 32 to 32, K 2", Conv1d::new(32, 32, 2).dilation(128).padding(Padding::Causal).into(), [1, 32, 8192]),
        ("filter 1 to 1, K 255", Conv1d::new(1, 1, 255).padding(Padding::Same).into(), [1, 1, 65_536]),
        (
            "upsampling 64 to 32, K 16",
            ConvTranspose1d::new(64, 32, 16).stride(8).padding(Padding::both(4)).into(),
            [1, 64, 256],
        ),
    ]
}

/// An operation bound to buffers of its own.
struct Bench {
    bound: Bound,
    _tensors: Vec<Tensor>,
}

impl Bench {
    fn new(gpu: &Gpu, layer: Layer, input: [usize; 3], operation: Operation) -> conv1d::Result<Self> {
        Bench::with(gpu, layer, input, operation, &PlanOptions::default())
    }

    fn with(
        gpu: &Gpu,
        layer: Layer,
        input: [usize; 3],
        operation: Operation,
        options: &PlanOptions,
    ) -> conv1d::Result<Self> {
        let plan = Plan::new(layer, operation, input, gpu.caps(), options)?;
        let mut buffers = Buffers::new();
        let roles: Vec<_> = plan.inputs().iter().copied().chain([plan.output()]).collect();
        let tensors: Vec<Tensor> =
            roles.iter().map(|role| gpu.zeros(role.shape(plan.shapes()))).collect::<conv1d::Result<_>>()?;
        for (role, tensor) in roles.iter().zip(&tensors) {
            buffers = buffers.with(*role, tensor.buffer().slice(..));
        }
        Ok(Bench { bound: gpu.prepare(&plan)?.bind(&buffers)?, _tensors: tensors })
    }

    fn run(&self, gpu: &Gpu) {
        gpu.run(&self.bound).expect("it ran before");
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
    }
}

fn operations(criterion: &mut Criterion) {
    let gpu = Gpu::new().unwrap_or_else(|e| panic!("{e}"));
    for operation in [Operation::Forward, Operation::InputGradient, Operation::WeightGradient] {
        let mut group = criterion.benchmark_group(operation.name());
        group.sample_size(10);
        for (name, layer, input) in layers() {
            let bench = Bench::new(&gpu, layer, input, operation).expect(name);
            let flops = layer.cost(input).expect(name).flops;
            group.throughput(Throughput::Elements(flops));
            group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| bench.run(&gpu)));
        }
        group.finish();
    }

    // Every kernel in its fastest tile by prediction, side by side.
    let mut group = criterion.benchmark_group("kernels, forward");
    group.sample_size(10);
    for (name, layer, input) in layers() {
        for kernel in conv1d::kernels() {
            let options = PlanOptions::default().kernel(kernel);
            if let Ok(bench) = Bench::with(&gpu, layer, input, Operation::Forward, &options) {
                group.bench_function(BenchmarkId::new(kernel, name), |b| b.iter(|| bench.run(&gpu)));
            }
        }
    }
    group.finish();

    // How time grows with the length.
    let mut group = criterion.benchmark_group("length, forward of 64 to 64, K 3");
    group.sample_size(10);
    let conv = Conv1d::new(64, 64, 3).padding(Padding::Same);
    for length in [256, 1024, 4096, 16_384] {
        let input = [1, 64, length];
        let bench = Bench::new(&gpu, conv.into(), input, Operation::Forward).expect("it fits every device");
        group.throughput(Throughput::Elements(conv.cost(input).expect("a good shape").flops));
        group.bench_function(BenchmarkId::from_parameter(length), |b| b.iter(|| bench.run(&gpu)));
    }
    group.finish();

    let mut group = criterion.benchmark_group("recording");
    for (name, layer, input) in layers() {
        let bench = Bench::new(&gpu, layer, input, Operation::Forward).expect(name);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                bench.bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
                black_box(encoder);
            });
        });
    }
    group.finish();
}

/// Overhead of a single small layer beside its arithmetic.
fn latency(criterion: &mut Criterion) {
    let (conv, input) = (Conv1d::new(8, 32, 5).padding(Padding::Same), [1, 8, 100]);
    let gpu = Gpu::new().unwrap_or_else(|e| panic!("{e}"));
    let bench = Bench::new(&gpu, conv.into(), input, Operation::Forward).expect("it fits every device");
    let mut group = criterion.benchmark_group("latency of 8 to 32, K 5, 100 samples");
    group.bench_function("round trip", |b| b.iter(|| bench.run(&gpu)));
    group.sample_size(10);
    group.bench_function("first call on a new device", |b| {
        b.iter_batched(
            || Gpu::new().expect("there was one"),
            |gpu| {
                let bench = Bench::new(&gpu, conv.into(), input, Operation::Forward).expect("it fits every device");
                bench.run(&gpu);
                bench
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("planning");
    for (name, layer, input) in layers() {
        for operation in [Operation::Forward, Operation::InputGradient, Operation::WeightGradient] {
            group.bench_function(BenchmarkId::new(operation.name(), name), |b| {
                let caps = conv1d::Caps::WEBGPU;
                b.iter(|| Plan::new(black_box(layer), operation, input, &caps, &PlanOptions::default()));
            });
        }
    }
    group.finish();
}

#[cfg(feature = "cpu")]
fn processor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward on the processor");
    group.sample_size(10);
    for (name, layer, input) in layers() {
        let shapes = layer.shapes(input).expect(name);
        let zeros = |shape: &[usize]| vec![0.0_f32; shape.iter().product()];
        let (x, w, mut y) = (zeros(&shapes.input), zeros(&shapes.weight), zeros(&shapes.output));
        group.throughput(Throughput::Elements(layer.cost(input).expect(name).flops));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| conv1d::cpu::forward_into(layer, input, &x, &w, None, &mut y));
        });
    }
    group.finish();
}

#[cfg(not(feature = "cpu"))]
fn processor(_: &mut Criterion) {}

criterion_group!(benches, operations, latency, planning, processor);
criterion_main!(benches);
