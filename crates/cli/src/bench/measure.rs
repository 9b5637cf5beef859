//! Measures layers on the GPU and on the CPU, and checks every result.

use super::results::{
    Candidate, Latency, LayerResult, Measured, Meta, Outcome, Rates, Reached, Results, Row, Sides, Times, best_ms,
};
use super::sweep::Job;
use super::{Options, latency};
use crate::layers::Op;
use crate::{adapters, interrupt, tune};
use conv1d::suite::{Answers, Data, LayerSpec, Runner};
use conv1d::timing::{Run, measure, measure_in_turn};
use conv1d::{Conv1d, Effort, Error, Gpu, Operation, Padding, Plan, PlanOptions, Timer, Timing, cpu};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// Multiply-adds that the oracle spends on the check of one result: about a tenth of a second.
const ORACLE_TERMS: u64 = 10_000_000;
/// Effort of each measurement of the roofline.
const ROOFLINE: Effort = Effort { total: Duration::from_millis(700), ..Effort::FULL };
/// Shortest sample, even with a small time budget.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(20);
/// Effort of each sample of the machine's steadiness.
const STEADINESS: Effort = Effort { samples: 1, fewest: 1, sample: Duration::from_millis(50), total: Duration::ZERO };
/// Candidates that take less than this multiple of the fastest time are measured again, at most `MOST_FINALISTS` of them:
/// each holds its workspace.
const FINALIST: f64 = 1.5;
const MOST_FINALISTS: usize = 4;
/// Share of a row's time that each side's samples may take. The rest is for data, compilation, the check, and shapes that run
/// slower than the pilot predicts.
const SAMPLES_SHARE: f64 = 1.0 / 3.0;

/// The reason that a measurement failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The user pressed Ctrl-C.
    Interrupted,
    /// The device was lost; another can be opened.
    Lost(String),
    /// The requested kernel does not support this operation.
    Unsuitable(String),
    Failed(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::DeviceLost { .. } => Trouble::Lost(error.to_string()),
            Error::Unsupported { .. } => Trouble::Unsuitable(error.to_string()),
            error => Trouble::Failed(error.to_string()),
        }
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Interrupted => "interrupted".to_owned(),
            Trouble::Lost(message) | Trouble::Unsuitable(message) | Trouble::Failed(message) => message,
        }
    }
}

type Attempt<T> = Result<T, Trouble>;

/// A device and its timer.
struct Device {
    gpu: Gpu,
    timer: Timer,
}

impl Device {
    fn open(options: &Options) -> Attempt<Device> {
        let gpu = adapters::open(options.adapter.as_deref(), false)?;
        if let Some(path) = &options.tuning {
            tune::apply(&gpu, path).map_err(Trouble::Failed)?;
        }
        Ok(Device { timer: Timer::new(&gpu), gpu })
    }

    /// FLOP per second of a layer that is easy for a device.
    fn pilot(&self) -> Attempt<f64> {
        let (conv, input) = (Conv1d::new(64, 64, 3).padding(Padding::Same), [1, 64, 2048]);
        let data = Data::new(&conv.shapes(input)?);
        let runner = Runner::new(&self.gpu, conv.plan(Operation::Forward, input, self.gpu.caps())?, &data)?;
        let timing = self.time(&runner, Effort::within(Duration::from_millis(300)))?;
        Ok(conv.cost(input)?.flops as f64 / timing.seconds())
    }

    /// Times a runner on the device.
    fn time(&self, runner: &Runner, effort: Effort) -> Attempt<Timing> {
        measure(effort, |repeats| self.run(runner, repeats))
    }

    fn run(&self, runner: &Runner, repeats: u32) -> Attempt<Duration> {
        if interrupt::requested() {
            return Err(Trouble::Interrupted);
        }
        Ok(self.timer.run(&runner.bound, repeats)?)
    }
}

/// State shared by all layers.
pub(super) struct Bench<'a> {
    options: &'a Options,
    device: Device,
    effort: Effort,
    /// Largest FLOP count of a layer; a larger layer is shrunk to it.
    most_flops: f64,
}

impl<'a> Bench<'a> {
    /// Opens the device and divides the time budget among this many layers.
    pub(super) fn new(options: &'a Options, layers: usize) -> Result<Self, String> {
        let device = Device::open(options)?;
        let mut bench = Bench { options, device, effort: Effort::FULL, most_flops: f64::INFINITY };
        if options.selection.layers_file.is_none() {
            let rows = layers.max(1) * options.op.len().max(1);
            let row = options.budget as f64 / rows as f64 * SAMPLES_SHARE;
            let sample = Duration::from_secs_f64(row / 8.0).clamp(SHORTEST_SAMPLE, Effort::FULL.sample);
            bench.effort = Effort { sample, fewest: 3, ..Effort::within(Duration::from_secs_f64(row)) };
            // A tuning applies only to layers at full size.
            if options.tuning.is_none() {
                // A layer of any shape is expected to reach a quarter of the rate of an easy one.
                bench.most_flops = bench.device.pilot()? / 4.0 * row / 7.0;
            }
        }
        Ok(bench)
    }

    /// Measures the rooflines; returns results without layers.
    pub(super) fn begin(&self) -> Result<Results, String> {
        let Device { gpu, timer, .. } = &self.device;
        let gpu_rates = Rates::new(gpu.roofline(ROOFLINE).map_err(|e| e.to_string())?);
        let cpu_rates = (!self.options.no_cpu).then(|| Rates::new(cpu::roofline(ROOFLINE)));
        Ok(Results {
            meta: Meta::new(gpu, timer.name()),
            roofline: Sides { gpu: gpu_rates, cpu: cpu_rates },
            steadiness: Sides { gpu: Times::default(), cpu: (!self.options.no_cpu).then(Times::default) },
            latency: Vec::new(),
            interrupted: false,
            results: Vec::new(),
        })
    }

    pub(super) fn latency(&self) -> Result<Vec<Latency>, String> {
        latency::measure(&self.device.gpu, self.options.adapter.as_deref()).map_err(|e| e.to_string())
    }

    /// Measures a layer and adds it to the results. A failed row holds the error; after a lost device, a new one is opened.
    pub(super) fn layer(&mut self, job: &Job, results: &mut Results, bar: &ProgressBar) -> Attempt<()> {
        let run = match job.input {
            Some([n, _, l]) => LayerSpec { n, l, ..job.spec.clone() },
            None => job.spec.shrunk(self.most_flops),
        };
        let shapes = run.layer().map(|(_, shapes)| shapes);
        let mut layer = LayerResult {
            name: job.spec.name.clone(),
            gflop: run.flops() / 1e9,
            l_out: shapes.map_or(0, |shapes| shapes.output[2]),
            input: run.input(),
            shrunk_to: (run != job.spec).then(|| run.input()),
            sweep: job.point.clone(),
            ops: [].into(),
            cpu: [].into(),
        };
        let mut interrupted = Ok(());
        for &op in &self.options.op {
            bar.set_message(format!("{} {}", job.spec.name, op.name()));
            bar.inc(1);
            // Plans first: without a plan, no data is needed.
            let plan = match self.plan(&run, op, self.options.kernel.clone()) {
                Err(Trouble::Unsuitable(reason)) if self.options.kernel.is_some() => {
                    bar.println(format!("skipped {} {}: {reason}", job.spec.name, op.name()));
                    continue;
                }
                plan => plan,
            };
            let measured = plan.and_then(|plan| self.measure(&run, op, plan, &results.roofline));
            let row = match measured {
                Ok((measured, cpu)) => {
                    layer.cpu.extend(cpu.map(|cpu| (op, cpu)));
                    Row::Measured(Box::new(measured))
                }
                Err(Trouble::Interrupted) => {
                    interrupted = Err(Trouble::Interrupted);
                    break;
                }
                Err(trouble) => {
                    if matches!(trouble, Trouble::Lost(_))
                        && let Ok(device) = Device::open(self.options)
                    {
                        self.device = device;
                    }
                    Row::Failed { error: trouble.into() }
                }
            };
            layer.ops.insert(op, row);
        }
        if !layer.ops.is_empty() {
            results.results.push(layer);
        }
        interrupted.and_then(|()| self.steadiness(&mut results.steadiness))
    }

    /// Adds a sample of the steadiness of both sides.
    fn steadiness(&self, steadiness: &mut Sides<Times>) -> Attempt<()> {
        if interrupt::requested() {
            return Err(Trouble::Interrupted);
        }
        let add = |times: &mut Times, flops: f64| {
            let samples = times.samples_ms.iter().map(|ms| ms / 1e3).chain([1e9 / flops]);
            *times = Times::new(&Timing::new(samples.collect()));
        };
        add(&mut steadiness.gpu, self.device.gpu.peak_flops(STEADINESS)?);
        if let Some(times) = &mut steadiness.cpu {
            add(times, cpu::peak_flops(STEADINESS));
        }
        Ok(())
    }

    fn plan(&self, spec: &LayerSpec, op: Op, kernel: Option<String>) -> Attempt<Plan> {
        let (layer, _) = spec.layer()?;
        let mut options = PlanOptions::default();
        options.kernel = kernel;
        Ok(self.device.gpu.plan(layer, op.operation(), spec.input(), &options)?)
    }

    fn measure(
        &self,
        spec: &LayerSpec,
        op: Op,
        plan: Plan,
        rates: &Sides<Rates>,
    ) -> Attempt<(Measured, Option<Reached>)> {
        let (layer, shapes) = spec.layer()?;
        let input = spec.input();
        let data = Data::new(&shapes);
        let runner = Runner::new(&self.device.gpu, plan, &data)?;
        let bound_used = self.check(spec, op, &data, &runner)?;
        let mut gpu = |repeats| self.device.run(&runner, repeats);
        let (gpu, cpu) = if self.options.no_cpu {
            (measure(self.effort, gpu)?, None)
        } else {
            let mut out = vec![0.0; op.output().shape(&shapes).iter().product()];
            processor(layer, input, op, &data, &mut out, 1)?;
            let mut cpu = |repeats| processor(layer, input, op, &data, &mut out, repeats);
            let mut timings = measure_in_turn(self.effort, &mut [&mut gpu, &mut cpu])?;
            let cpu = timings.pop();
            (timings.pop().unwrap_or_default(), cpu)
        };
        let (flops, bytes) = (spec.flops(), runner.bytes());
        let measured = Measured {
            reached: Reached::new(&gpu, flops, bytes, rates.gpu),
            kernel: runner.plan.variant().to_string(),
            bound_used,
            tuned: runner.plan.candidates().first().is_some_and(|c| c.measured.is_some()),
            kernels: if self.options.all_kernels { self.kernels(spec, op, &runner.plan, &data)? } else { Vec::new() },
        };
        let cpu = cpu.zip(rates.cpu).map(|(timing, rates)| Reached::new(&timing, flops, bytes, rates));
        Ok((measured, cpu))
    }

    /// Measures all candidates of the planner. Those near the fastest, and the planner's choice, are measured again, sample by
    /// sample in turn.
    fn kernels(&self, spec: &LayerSpec, op: Op, plan: &Plan, data: &Data) -> Attempt<Vec<Candidate>> {
        let count = plan.candidates().len().max(1) as u32;
        let effort = Effort { total: self.effort.total / count, ..self.effort };
        let mut kernels = Vec::new();
        for candidate in plan.candidates() {
            let kernel = candidate.variant.to_string();
            let outcome = match self.candidate(spec, op, &kernel, data, effort) {
                Ok((timing, bound_used)) => Outcome::Measured { times: Times::new(&timing), bound_used },
                Err(Trouble::Unsuitable(error) | Trouble::Failed(error)) => Outcome::Failed { error },
                Err(trouble) => return Err(trouble),
            };
            kernels.push(Candidate { kernel, predicted_ms: candidate.predicted.seconds() * 1e3, outcome });
        }
        let best = best_ms(&kernels).unwrap_or(f64::INFINITY);
        let chosen = plan.variant().to_string();
        let mut finalists: Vec<&mut Candidate> = kernels
            .iter_mut()
            .filter(|c| c.times().is_some_and(|t| t.ms < best * FINALIST || c.kernel == chosen))
            .collect();
        let ms = |c: &Candidate| c.times().map_or(f64::INFINITY, |t| if c.kernel == chosen { 0.0 } else { t.ms });
        finalists.sort_by(|a, b| ms(a).total_cmp(&ms(b)));
        finalists.truncate(MOST_FINALISTS);
        let runner = |c: &&mut Candidate| -> Attempt<Runner> {
            Ok(Runner::new(&self.device.gpu, self.plan(spec, op, Some(c.kernel.clone()))?, data)?)
        };
        let runners = finalists.iter().map(runner).collect::<Attempt<Vec<Runner>>>()?;
        let mut runs: Vec<_> = runners.iter().map(|runner| |repeats| self.device.run(runner, repeats)).collect();
        let mut runs: Vec<Run<'_, Trouble>> = runs.iter_mut().map(|run| run as Run<'_, Trouble>).collect();
        for (finalist, timing) in finalists.into_iter().zip(measure_in_turn(self.effort, &mut runs)?) {
            if let Outcome::Measured { times, .. } = &mut finalist.outcome {
                *times = Times::new(&timing);
            }
        }
        Ok(kernels)
    }

    fn candidate(&self, spec: &LayerSpec, op: Op, kernel: &str, data: &Data, effort: Effort) -> Attempt<(Timing, f64)> {
        let plan = self.plan(spec, op, Some(kernel.to_owned()))?;
        let runner = Runner::new(&self.device.gpu, plan, data)?;
        let bound_used = self.check(spec, op, data, &runner)?;
        Ok((self.device.time(&runner, effort)?, bound_used))
    }

    /// Checks a result: the largest share of the bound that an element uses.
    fn check(&self, spec: &LayerSpec, op: Op, data: &Data, runner: &Runner) -> Attempt<f64> {
        let answers = Answers::new(spec.layer()?.0, spec.input(), op.operation(), data)?;
        // JSON has no infinity.
        Ok(answers.largest_share_within(&runner.output.read()?, ORACLE_TERMS)?.min(f64::MAX))
    }
}

/// Runs an operation `repeats` times on the CPU; returns the total time.
fn processor(
    layer: impl Into<conv1d::Layer>,
    input: [usize; 3],
    op: Op,
    data: &Data,
    out: &mut [f32],
    repeats: u32,
) -> Attempt<Duration> {
    if interrupt::requested() {
        return Err(Trouble::Interrupted);
    }
    let layer = layer.into();
    let start = Instant::now();
    for _ in 0..repeats {
        match op {
            Op::Fwd => cpu::forward_into(layer, input, &data.x, &data.w, data.b.as_deref(), out),
            Op::Dgrad => cpu::input_gradient_into(layer, input, &data.w, &data.dy, out),
            Op::Wgrad => cpu::weight_gradient_into(layer, input, &data.x, &data.dy, out),
        }?;
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &[&str]) -> Options {
        let all = ["bench", "--budget", "1", "--no-cpu"].iter().chain(line);
        Line::try_parse_from(all).unwrap().options
    }

    fn job() -> Job {
        let spec = serde_json::from_value(serde_json::json!({
            "name": "small", "n": 1, "c_in": 3, "l": 20, "c_out": 4, "k": 3, "stride": 1, "pad_left": 1, "pad_right": 1,
            "dilation": 1, "groups": 1
        }));
        Job { spec: spec.unwrap(), point: None, input: None }
    }

    /// Measures the layer; returns for each of its operations whether it was measured.
    fn measured(bench: &mut Bench<'_>, results: &mut Results) -> Vec<bool> {
        drop(bench.layer(&job(), results, &ProgressBar::hidden()));
        let layer = results.results.last().unwrap();
        Op::ALL.into_iter().filter(|op| layer.ops.contains_key(op)).map(|op| layer.measured(op).is_some()).collect()
    }

    #[test]
    fn a_lost_device_is_one_row() {
        let options = options(&[]);
        let mut bench = Bench::new(&options, 1).unwrap();
        let mut results = bench.begin().unwrap();
        assert!(results.roofline.gpu.gflops > 0.0 && results.roofline.gpu.gbps > 0.0);
        bench.device.gpu.device().destroy();
        assert_eq!(measured(&mut bench, &mut results), [false, true, true]);
        assert!(results.failures()[0].contains("lost"), "{:?}", results.failures());
        assert_eq!(measured(&mut bench, &mut results), [true; 3]);
        assert_eq!(results.failures().len(), 1);
    }

    #[test]
    fn every_kernel_is_measured_and_checked() {
        let options = options(&["--all-kernels", "--op", "fwd"]);
        let mut bench = Bench::new(&options, 1).unwrap();
        let mut results = bench.begin().unwrap();
        assert_eq!(measured(&mut bench, &mut results), [true]);
        let row = results.results[0].measured(Op::Fwd).unwrap();
        let names: Vec<&str> = row.kernels.iter().filter_map(|c| c.kernel.split('/').next()).collect();
        assert!(["direct", "im2col", "tiled", "texels", "window"].iter().all(|k| names.contains(k)), "{names:?}");
        assert!(row.kernels.iter().all(|c| c.times().is_some()), "{:?}", row.kernels);
        assert!(row.behind_best().is_some_and(|times| times >= 1.0));
    }

    #[test]
    fn a_kernel_that_does_not_suit_is_left_out() {
        let options = options(&["--kernel", "window"]);
        let mut bench = Bench::new(&options, 1).unwrap();
        let mut results = bench.begin().unwrap();
        // `window` does not support the weight gradient.
        assert_eq!(measured(&mut bench, &mut results), [true; 2]);
    }
}
