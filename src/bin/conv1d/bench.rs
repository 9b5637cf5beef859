//! `conv1d bench`: GPU against CPU, layer by layer, every result checked.

use crate::Outcome;
use crate::layers::{self, LayerSpec};
use crate::measure::{Effort, Timing, measure, timed};
use crate::report::{Entry, LayerReport, Measured, Report};
use crate::trial::{Answers, Data};
use clap::{Args, ValueEnum};
use conv1d::{
    Bound, Buffers, Conv1d, Gpu, GpuOptions, Layer, Operation, Padding, Plan, PlanOptions, Role, Shapes, Tensor, cpu,
    wgpu,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Layers to run, exactly as they are, instead of the built-in suite
    #[arg(long, value_name = "FILE")]
    layers_file: Option<PathBuf>,
    /// Only layers whose name contains one of these
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
    /// Operations
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fwd,dgrad,wgrad")]
    ops: Vec<Op>,
    /// Part of the adapter's name
    #[arg(long)]
    adapter: Option<String>,
    /// Only this kernel (direct), or one of its tiles (direct/4x4)
    #[arg(long)]
    kernel: Option<String>,
    /// Leave the CPU out
    #[arg(long)]
    no_cpu: bool,
    /// Write the results here, as they come
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seconds for the built-in suite; layers too slow for it are shrunk and marked
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    budget: u64,
}

/// An operation by the name that frameworks give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Op {
    Fwd,
    Dgrad,
    Wgrad,
}

impl Op {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Fwd => "fwd",
            Op::Dgrad => "dgrad",
            Op::Wgrad => "wgrad",
        }
    }

    fn operation(self) -> Operation {
        match self {
            Op::Fwd => Operation::Forward,
            Op::Dgrad => Operation::InputGradient,
            Op::Wgrad => Operation::WeightGradient,
        }
    }
}

/// Multiply-adds of the oracle that check one result: about a tenth of a second.
const ORACLE_TERMS: f64 = 10e6;
/// Elements that are checked of a result at least, however many terms each has.
const FEWEST_ELEMENTS: usize = 16;
/// Runs of one submission at most.
const MOST_REPEATS: u32 = 1000;

pub(crate) fn run(options: &Options) -> Outcome {
    let specs = suite(options)?;
    let mut gpu_options = GpuOptions::default();
    gpu_options.adapter.clone_from(&options.adapter);
    let gpu = Gpu::with_options(&gpu_options).map_err(|e| e.to_string())?;
    let bench = Bench::new(&gpu, options, specs.len())?;
    let mut report = Report::new(&gpu, bench.timer.name());
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    report.print_head();

    let bar = ProgressBar::new((specs.len() * options.ops.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    for spec in &specs {
        report.layers.push(bench.layer(spec, &bar));
        if let Some(path) = &options.json {
            report.write(path)?;
        }
    }
    bar.finish_and_clear();
    if report.layers.iter().all(|layer| layer.entries.is_empty()) {
        return Err("the kernel suits none of the operations".into());
    }
    report.print_table();
    Ok(report.all_kept())
}

/// The layers asked for.
fn suite(options: &Options) -> Result<Vec<LayerSpec>, String> {
    let mut specs = match &options.layers_file {
        Some(path) => layers::from_file(path)?,
        None => layers::built_in()?,
    };
    if specs.is_empty() {
        return Err("there are no layers in the file".into());
    }
    if !options.only.is_empty() {
        specs.retain(|spec| options.only.iter().any(|part| spec.name.contains(part.as_str())));
    }
    if specs.is_empty() {
        return Err(format!("no layer's name contains {}", options.only.join(" or ")));
    }
    Ok(specs)
}

/// What is the same for all layers.
struct Bench<'a> {
    gpu: &'a Gpu,
    options: &'a Options,
    timer: Timer,
    effort: Effort,
    /// FLOPs that a layer is shrunk to.
    most_flops: f64,
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu, options: &'a Options, layers: usize) -> Result<Self, String> {
        let timer = Timer::new(gpu);
        if options.layers_file.is_some() {
            return Ok(Bench { gpu, options, timer, effort: Effort::FULL, most_flops: f64::INFINITY });
        }
        // A third of a row's time for each side's samples; the rest is data, compilation, the check, and what shapes that
        // suit neither side take longer than the pilot says.
        let row = options.budget as f64 / (layers * options.ops.len()).max(1) as f64;
        let effort = Effort::within(Duration::from_secs_f64(row / 3.0));
        let mut bench = Bench { gpu, options, timer, effort, most_flops: f64::INFINITY };
        bench.most_flops = bench.pilot()? * row / 3.0 / 7.0;
        Ok(bench)
    }

    /// FLOP per second that a layer of any shape can be expected to reach: a quarter of what an easy one does.
    fn pilot(&self) -> Result<f64, String> {
        let conv = Conv1d::new(64, 64, 3).padding(Padding::Same);
        let input = [1, 64, 2048];
        let cost = conv.cost(input).map_err(|e| e.to_string())?;
        let shapes = conv.shapes(input).map_err(|e| e.to_string())?;
        let data = Data::new(&shapes);
        let plan = conv.plan(Operation::Forward, input, self.gpu.caps()).map_err(|e| e.to_string())?;
        let runner = Runner::new(self, plan, &data).map_err(|e| e.to_string())?;
        let timing = runner.time(Effort::within(Duration::from_millis(300))).map_err(|e| e.to_string())?;
        Ok(cost.flops as f64 / timing.seconds() / 4.0)
    }

    fn layer(&self, spec: &LayerSpec, bar: &ProgressBar) -> LayerReport {
        let run = spec.shrunk(self.most_flops);
        let shrunk_to = (run != *spec).then(|| run.input());
        let l_out = run.layer().map_or(0, |(_, shapes)| shapes.output[2]);
        let mut report =
            LayerReport { name: spec.name.clone(), gflop: run.flops() / 1e9, l_out, shrunk_to, entries: Vec::new() };
        for &op in &self.options.ops {
            bar.set_message(format!("{} {}", spec.name, op.name()));
            bar.inc(1);
            // What cannot be planned is not worth its data.
            let measured = match self.plan(&run, op) {
                Err(Failure::Unsuitable(reason)) => {
                    bar.println(format!("skipped {} {}: {reason}", spec.name, op.name()));
                    continue;
                }
                Err(Failure::Other(message)) => Err(message),
                Ok(plan) => self.measure(&run, op, plan),
            };
            report.entries.push(Entry { op, measured });
        }
        report
    }

    fn plan(&self, spec: &LayerSpec, op: Op) -> Result<Plan, Failure> {
        let (layer, _) = spec.layer().map_err(Failure::Other)?;
        let mut options = PlanOptions::default();
        options.kernel.clone_from(&self.options.kernel);
        Plan::new(layer, op.operation(), spec.input(), self.gpu.caps(), &options).map_err(|error| match error {
            conv1d::Error::Unsupported { .. } if options.kernel.is_some() => Failure::Unsuitable(error.to_string()),
            error => Failure::Other(error.to_string()),
        })
    }

    fn measure(&self, spec: &LayerSpec, op: Op, plan: Plan) -> Result<Measured, String> {
        let text = |e: conv1d::Error| e.to_string();
        let (layer, shapes) = spec.layer()?;
        let (input, operation) = (spec.input(), op.operation());
        let data = Data::new(&shapes);
        let runner = Runner::new(self, plan, &data).map_err(text)?;
        let got = runner.output.read().map_err(text)?;
        let bound_used = self.check(layer, input, operation, &data, &got).map_err(text)?;
        let gpu = runner.time(self.effort).map_err(text)?;
        let cpu = if self.options.no_cpu { None } else { Some(self.time_cpu(layer, input, op, &data, &shapes)?) };
        Ok(Measured {
            flops: spec.flops(),
            bytes: bytes(&runner.plan.inputs(), runner.plan.output(), &shapes),
            kernel: runner.plan.choice().to_string(),
            gpu,
            cpu,
            bound_used,
        })
    }

    /// The largest share of the bound: of all elements where the oracle is quick, else of as many as it can do.
    fn check(
        &self,
        layer: Layer,
        input: [usize; 3],
        operation: Operation,
        data: &Data,
        got: &[f32],
    ) -> conv1d::Result<f64> {
        let flops = layer.cost(input)?.flops as f64;
        let terms = flops / 2.0 / got.len().max(1) as f64;
        let elements = (ORACLE_TERMS / terms.max(1.0)) as usize;
        Answers::new(layer, input, operation, data)?.largest_share(got, elements.max(FEWEST_ELEMENTS))
    }

    fn time_cpu(
        &self,
        layer: Layer,
        input: [usize; 3],
        op: Op,
        data: &Data,
        shapes: &Shapes,
    ) -> Result<Timing, String> {
        let role = match op {
            Op::Fwd => Role::Output,
            Op::Dgrad => Role::InputGradient,
            Op::Wgrad => Role::WeightGradient,
        };
        let mut out = vec![0.0; role.shape(shapes).iter().product()];
        let mut once = || match op {
            Op::Fwd => cpu::forward_into(layer, input, &data.x, &data.w, data.b.as_deref(), &mut out),
            Op::Dgrad => cpu::input_gradient_into(layer, input, &data.w, &data.dy, &mut out),
            Op::Wgrad => cpu::weight_gradient_into(layer, input, &data.x, &data.dy, &mut out),
        };
        once().map_err(|e| e.to_string())?;
        let repeat = |repeats| {
            let (result, taken) = timed(|| (0..repeats).try_for_each(|_| once()));
            result.map(|()| taken)
        };
        measure(self.effort, repeat).map_err(|e| e.to_string())
    }
}

fn bytes(inputs: &[Role], output: Role, shapes: &Shapes) -> f64 {
    let roles = inputs.iter().chain([&output]);
    roles.map(|role| role.shape(shapes).iter().product::<usize>() as f64 * 4.0).sum()
}

/// Why there is no plan.
enum Failure {
    /// The kernel that was asked for is not for this operation.
    Unsuitable(String),
    Other(String),
}

/// A bound operation with its buffers, run once.
struct Runner<'a> {
    gpu: &'a Gpu,
    timer: &'a Timer,
    plan: Plan,
    bound: Bound,
    output: Tensor,
}

impl<'a> Runner<'a> {
    fn new(bench: &'a Bench<'a>, plan: Plan, data: &Data) -> conv1d::Result<Self> {
        let gpu = bench.gpu;
        let tensors = data.upload(gpu, &plan)?;
        let output = gpu.zeros(plan.output().shape(plan.shapes()))?;
        let buffers = tensors.iter().fold(Buffers::new(), |all, (role, t)| all.with(*role, t.buffer().slice(..)));
        let bound = gpu.prepare(&plan)?.bind(&buffers.with(plan.output(), output.buffer().slice(..)))?;
        gpu.run(&bound)?;
        Ok(Runner { gpu, timer: &bench.timer, plan, bound, output })
    }

    fn time(&self, effort: Effort) -> conv1d::Result<Timing> {
        measure(effort, |repeats| {
            let mut taken = Duration::ZERO;
            let mut left = repeats;
            while left > 0 {
                let now = left.min(MOST_REPEATS);
                taken += self.timer.time(self.gpu, &self.bound, now)?;
                left -= now;
            }
            Ok(taken)
        })
    }
}

/// What times the GPU: its own time stamps around a pass, or the clock around a submission and the wait for it.
struct Timer {
    stamps: Option<Stamps>,
}

struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Two numbers of 64 bits, read back as four words.
    words: Tensor,
    nanoseconds: f64,
}

impl Stamps {
    fn new(gpu: &Gpu) -> conv1d::Result<Self> {
        let set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let resolved = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let nanoseconds = gpu.queue().get_timestamp_period().into();
        Ok(Stamps { set, resolved, words: gpu.zeros([4])?, nanoseconds })
    }

    fn elapsed(&self) -> conv1d::Result<Duration> {
        let words: Vec<u64> = self.words.read()?.iter().map(|word| word.to_bits().into()).collect();
        let stamp = |index: usize| words[2 * index] | words[2 * index + 1] << 32;
        let ticks = stamp(1).saturating_sub(stamp(0)) as f64;
        Ok(Duration::from_secs_f64(ticks * self.nanoseconds * 1e-9))
    }
}

impl Timer {
    fn new(gpu: &Gpu) -> Timer {
        // A software adapter has the same clock as the program, and its stamps leave out the start of its threads.
        let software = gpu.adapter_info().device_type == wgpu::DeviceType::Cpu;
        let has_stamps = gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Timer { stamps: if has_stamps && !software { Stamps::new(gpu).ok() } else { None } }
    }

    fn name(&self) -> &'static str {
        if self.stamps.is_some() { "GPU time stamps" } else { "submission to completion" }
    }

    fn time(&self, gpu: &Gpu, bound: &Bound, repeats: u32) -> conv1d::Result<Duration> {
        let lost = |message: String| conv1d::Error::DeviceLost { message };
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let timestamp_writes = self.stamps.as_ref().map(|stamps| wgpu::ComputePassTimestampWrites {
                query_set: &stamps.set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            (0..repeats).for_each(|_| bound.record(&mut pass));
        }
        if let Some(stamps) = &self.stamps {
            encoder.resolve_query_set(&stamps.set, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, stamps.words.buffer(), 0, 16);
        }
        let commands = encoder.finish();
        let (waited, taken) = timed(|| {
            gpu.queue().submit([commands]);
            gpu.device().poll(wgpu::PollType::wait_indefinitely())
        });
        waited.map_err(|e| lost(e.to_string()))?;
        match &self.stamps {
            None => Ok(taken),
            Some(stamps) => stamps.elapsed(),
        }
    }
}
