//! Recording a convolution into the encoder of a program that already uses wgpu, beside its own pass: the program keeps its
//! device, its buffers and its submission.
//!
//! An envelope follower: the program's own pass rectifies a signal, a moving average (a convolution) smooths it, and the
//! program's pass scales the result, all in one submission. Signal and envelope are ranges of larger buffers.

use conv1d::{Buffers, Conv1d, Gpu, Operation, Padding, Role, wgpu};

/// The program's own shader: `values[i] = factor * |values[i]|` for a range of a buffer.
const RECTIFY: &str = "
struct Range { first: u32, count: u32, factor: f32 }
@group(0) @binding(0) var<uniform> range: Range;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn rectify(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < range.count) {
        values[range.first + id.x] = range.factor * abs(values[range.first + id.x]);
    }
}
";

const SAMPLES: usize = 10_000;
/// First elements of the tensors in their buffers; any multiple of 4 bytes will do.
const SIGNAL_AT: usize = 123;
const ENVELOPE_AT: usize = 5;
const WINDOW: usize = 101;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The program's own device, as it would be without this library.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;

    // The convolution, planned and compiled once.
    let gpu = Gpu::from_device(device.clone(), queue.clone())?;
    let average = Conv1d::new(1, 1, WINDOW).padding(Padding::Same);
    let plan = average.plan(Operation::Forward, [1, 1, SAMPLES], gpu.caps())?;
    println!("{plan}");
    let prepared = gpu.prepare(&plan)?;

    // The program's buffers.
    let samples: Vec<f32> = (0..SAMPLES).map(|i| (i as f32 * 0.3).sin() * (i as f32 * 0.001).cos()).collect();
    let signal = buffer(&device, (SIGNAL_AT + SAMPLES + 7) * 4);
    let envelope = buffer(&device, (ENVELOPE_AT + SAMPLES) * 4);
    let taps = buffer(&device, WINDOW * 4);
    queue.write_buffer(&signal, (SIGNAL_AT * 4) as u64, bytemuck::cast_slice(&samples));
    queue.write_buffer(&taps, 0, bytemuck::cast_slice(&[1.0 / WINDOW as f32; WINDOW]));

    let bound = prepared.bind(
        &Buffers::new()
            .with(Role::Input, part(&signal, SIGNAL_AT, SAMPLES))
            .with(Role::Weight, taps.slice(..))
            .with(Role::Output, part(&envelope, ENVELOPE_AT, SAMPLES)),
    )?;
    let own = Rectifier::new(&device);
    let rectify = own.bind(&device, &signal, SIGNAL_AT, 1.0);
    let scale = own.bind(&device, &envelope, ENVELOPE_AT, std::f32::consts::FRAC_PI_2);

    // One encoder, one pass, one submission for all of it.
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        own.record(&mut pass, &rectify);
        bound.record(&mut pass);
        own.record(&mut pass, &scale);
    }
    queue.submit([encoder.finish()]);

    let got = read(&device, &queue, &envelope, ENVELOPE_AT)?;
    let expected = on_the_processor(&samples);
    let error = got.iter().zip(&expected).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max);
    println!("envelope in the middle: {:.4}, largest error {error:.1e}", got[SAMPLES / 2]);
    if error > 1e-5 {
        return Err(format!("the envelope is off by {error}").into());
    }
    Ok(())
}

fn buffer(device: &wgpu::Device, bytes: usize) -> wgpu::Buffer {
    use wgpu::BufferUsages as Usage;
    device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes as u64,
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}

fn part(buffer: &wgpu::Buffer, first: usize, count: usize) -> wgpu::BufferSlice<'_> {
    buffer.slice((first * 4) as u64..((first + count) * 4) as u64)
}

/// The program's own pipeline.
struct Rectifier {
    pipeline: wgpu::ComputePipeline,
}

impl Rectifier {
    fn new(device: &wgpu::Device) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(RECTIFY.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Rectifier { pipeline }
    }

    fn bind(&self, device: &wgpu::Device, values: &wgpu::Buffer, first: usize, factor: f32) -> wgpu::BindGroup {
        let range = [first as u32, SAMPLES as u32, factor.to_bits(), 0];
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: true,
        });
        if let Ok(mut view) = uniform.get_mapped_range_mut(..) {
            view.copy_from_slice(bytemuck::cast_slice(&range));
        }
        uniform.unmap();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: values.as_entire_binding() },
            ],
        })
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>, bindings: &wgpu::BindGroup) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bindings, &[]);
        pass.dispatch_workgroups((SAMPLES as u32).div_ceil(64), 1, 1);
    }
}

fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    from: &wgpu::Buffer,
    first: usize,
) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: (SAMPLES * 4) as u64,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(from, (first * 4) as u64, &staging, 0, (SAMPLES * 4) as u64);
    queue.submit([encoder.finish()]);
    let (sender, receiver) = std::sync::mpsc::channel();
    staging.map_async(wgpu::MapMode::Read, .., move |mapped| drop(sender.send(mapped)));
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;
    Ok(bytemuck::pod_collect_to_vec(&staging.get_mapped_range(..)?))
}

fn on_the_processor(samples: &[f32]) -> Vec<f64> {
    let half = WINDOW / 2;
    let window = |i: usize| &samples[i.saturating_sub(half)..(i + half + 1).min(samples.len())];
    let mean = |i: usize| window(i).iter().map(|s| f64::from(s.abs())).sum::<f64>() / WINDOW as f64;
    (0..samples.len()).map(|i| mean(i) * std::f64::consts::FRAC_PI_2).collect()
}
