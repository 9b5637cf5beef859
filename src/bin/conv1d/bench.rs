//! `conv1d bench`: GPU against CPU, layer by layer, every result checked.

use crate::Outcome;
use crate::layers::{LayerSpec, Selection};
use crate::report::{Entry, LayerReport, Measured, Report};
use crate::trial::{Answers, Data};
use crate::tune;
use clap::{Args, ValueEnum};
use conv1d::{
    Bound, Buffers, Conv1d, Effort, Gpu, GpuOptions, Layer, Operation, Padding, Plan, PlanOptions, Role, Shapes,
    Tensor, Timer, Timing, cpu,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Operations
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fwd,dgrad,wgrad")]
    ops: Vec<Op>,
    /// Part of the adapter's name
    #[arg(long)]
    adapter: Option<String>,
    /// Only this kernel (direct), or one of its tiles (direct/4x4)
    #[arg(long)]
    kernel: Option<String>,
    /// Choose kernels by what `conv1d tune` measured
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
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

    pub(crate) fn operation(self) -> Operation {
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

pub(crate) fn run(options: &Options) -> Outcome {
    let specs = options.selection.layers()?;
    let mut gpu_options = GpuOptions::default();
    gpu_options.adapter.clone_from(&options.adapter);
    let gpu = Gpu::with_options(&gpu_options).map_err(|e| e.to_string())?;
    if let Some(path) = &options.tuning {
        tune::apply(&gpu, path)?;
    }
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
    if options.tuning.is_some() {
        let entries = || report.layers.iter().flat_map(|layer| &layer.entries);
        let tuned = entries().filter(|entry| entry.measured.as_ref().is_ok_and(|m| m.tuned)).count();
        say!("{tuned} of {} were in the tuning, which holds for the very same shapes only", entries().count());
    }
    Ok(report.all_kept())
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
        if options.selection.layers_file.is_some() {
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
        self.gpu.plan(layer, op.operation(), spec.input(), &options).map_err(|error| match error {
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
            tuned: runner.plan.candidates().first().is_some_and(|c| c.measured.is_some()),
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
            let start = Instant::now();
            (0..repeats).try_for_each(|_| once()).map(|()| start.elapsed())
        };
        conv1d::gpu::measure(self.effort, repeat).map_err(|e| e.to_string())
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
        Ok(Runner { timer: &bench.timer, plan, bound, output })
    }

    fn time(&self, effort: Effort) -> conv1d::Result<Timing> {
        self.timer.measure(&self.bound, effort)
    }
}
