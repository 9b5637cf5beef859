//! `conv1d planner`: the planner's choices beside the best variants, by the counts of all their dispatches and device models.

use crate::layers::{Op, Selection};
use crate::{Outcome, devices};
use clap::Args;
use conv1d::models::{Estimate, MODELS, Model};
use conv1d::paper::Paper;
use conv1d::paper::simt::{Counts, Workgroups};
use conv1d::suite::LayerSpec;
use conv1d::{Candidate, Caps, Operation, Plan, PlanOptions, Prediction};
use std::sync::Mutex;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Models of devices; all if none is named
    #[arg(long, value_delimiter = ',', value_parser = devices::model, value_name = "NAME,...")]
    devices: Vec<&'static Model>,
    /// Workgroups of each dispatch that are run
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    workgroups: u32,
    /// Print every row, not only those where the choice is slower
    #[arg(long)]
    all: bool,
    /// Print the parts of the times of every variant, by the counts and as predicted
    #[arg(long)]
    variants: bool,
}

/// A choice of the planner may take this much longer than the best variant.
const TOLERATED: f64 = 1.15;

/// Variants that are predicted to take this many times as long as the choice are not counted. Predictions are off by a factor of 1.1 to
/// 1.2 in the mean, and hardly ever by 2.
const HOPELESS: f64 = 6.0;

/// A layer and an operation on a device.
struct Row {
    device: &'static str,
    layer: String,
    operation: Operation,
    chosen: Timed,
    best: Timed,
}

/// A variant with its time by the counts, and the time that the planner predicted for it.
#[derive(Clone)]
struct Timed {
    variant: String,
    seconds: f64,
    predicted: f64,
    bound: String,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.chosen.seconds / self.best.seconds
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut devices = if options.devices.is_empty() { MODELS.to_vec() } else { options.devices.clone() };
    devices.sort_by_key(|device| MODELS.iter().position(|model| model == device));
    devices.dedup();
    let layers = options.selection.layers()?.into_iter();
    let work: Vec<(LayerSpec, Operation)> =
        layers.flat_map(|layer| Op::ALL.map(|op| (layer.clone(), op.operation()))).collect();
    let paper = Paper::default().workgroups(Workgroups::Sample(options.workgroups));
    let (next, rows, errors) = (Mutex::new(work.into_iter()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let lines: Mutex<Vec<String>> = Mutex::default();
    let one = || {
        loop {
            let Some((layer, operation)) = next.lock().ok().and_then(|mut next| next.next()) else { return };
            match compare(&layer, operation, &devices, &paper, options.variants) {
                Ok((new, more)) => {
                    drop(rows.lock().map(|mut rows| rows.extend(new)));
                    drop(lines.lock().map(|mut lines| lines.extend(more)));
                }
                Err(error) => drop(errors.lock().map(|mut errors| errors.push(format!("{}: {error}", layer.name)))),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(one))));
    if let Some(error) = errors.into_inner().unwrap_or_default().into_iter().next() {
        return Err(error);
    }
    let mut lines = lines.into_inner().unwrap_or_default();
    if !lines.is_empty() {
        lines.sort();
        say!(
            "device, layer, operation, variant; microseconds by the counts (in parentheses as predicted) of arithmetic, of"
        );
        say!(
            "what other causes take longer, of the other dispatches; then the causes. Variants predicted at over {HOPELESS} times the"
        );
        say!("choice are left out.");
        lines.iter().for_each(|line| say!("{line}"));
    }
    let rows = rows.into_inner().unwrap_or_default();
    Ok(print(&devices, rows, options.all))
}

/// The choice and the best variant of an operation on each device.
fn compare(
    layer: &LayerSpec,
    operation: Operation,
    devices: &[&'static Model],
    paper: &Paper,
    variants: bool,
) -> Result<(Vec<Row>, Vec<String>), String> {
    let (geometry, _) = layer.layer().map_err(|e| e.to_string())?;
    let mut counted: Vec<(Plan, u32, Vec<Counts>)> = Vec::new();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for &device in devices {
        let caps = Caps::of_model(device);
        let plan = |options: &PlanOptions| Plan::new(geometry, operation, layer.input(), &caps, options);
        let chosen = plan(&PlanOptions::default()).map_err(|e| e.to_string())?;
        let mut times = Vec::new();
        let predicted = |candidate: &Candidate| candidate.predicted.seconds();
        let choice = chosen.candidates().iter().find(|candidate| candidate.variant == chosen.variant());
        let most = HOPELESS * choice.map_or(f64::INFINITY, predicted);
        for candidate in chosen.candidates().iter().filter(|candidate| predicted(candidate) <= most) {
            let Ok(plan) = plan(&PlanOptions::default().kernel(candidate.variant.to_string())) else { continue };
            let subgroup = device.subgroup.value;
            let known = counted.iter().find(|(other, lanes, _)| *lanes == subgroup && other.same_dispatches(&plan));
            let counts = match known {
                Some((.., counts)) => counts.clone(),
                None => {
                    let run = plan.on_paper(&paper.clone().subgroup(subgroup)).map_err(|e| e.to_string())?;
                    let counts: Vec<Counts> = run.dispatches.into_iter().map(|d| d.report.counts).collect();
                    counted.push((plan.clone(), subgroup, counts.clone()));
                    counts
                }
            };
            let estimates: Vec<_> = counts.iter().map(|counts| counts.estimate(device)).collect();
            if variants {
                let chosen = plan.variant() == chosen.variant();
                lines.extend(variant_line(device, layer, &plan, candidate.predicted, &counts, chosen));
            }
            let longest = estimates.iter().max_by(|a, b| a.seconds().total_cmp(&b.seconds()));
            times.push(Timed {
                variant: candidate.variant.to_string(),
                seconds: estimates.iter().map(Estimate::seconds).sum(),
                predicted: candidate.predicted.seconds(),
                bound: longest.map_or("", |estimate| estimate.bound()).to_owned(),
            });
        }
        let best = times.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds)).cloned();
        let choice = times.iter().find(|timed| timed.variant == chosen.variant().to_string()).cloned();
        if let (Some(best), Some(chosen)) = (best, choice) {
            rows.push(Row { device: device.name, layer: layer.name.clone(), operation, chosen, best });
        }
    }
    Ok((rows, lines))
}

/// The parts of a variant's time: arithmetic, other causes and dispatches beside the main one, each by the counts and, in parentheses, as
/// predicted; then the causes of the main dispatch.
fn variant_line(
    device: &Model,
    layer: &LayerSpec,
    plan: &Plan,
    predicted: Prediction,
    counts: &[Counts],
    chosen: bool,
) -> Option<String> {
    let estimates: Vec<Estimate> = counts.iter().map(|counts| counts.estimate(device)).collect();
    let work = |counts: &Counts| counts.lanes.multiply_adds + counts.lanes.floats;
    let most = counts.iter().zip(&estimates).max_by(|a, b| work(a.0).total_cmp(&work(b.0)));
    let (_, main) = most?;
    let sums = main.arithmetic.max(main.issue);
    let rest: f64 = estimates.iter().map(|e| e.seconds() - e.launch).sum::<f64>() - (main.seconds() - main.launch);
    let pair = |counted: f64, predicted: f64| format!("{:.1} ({:.1})", counted * 1e6, predicted * 1e6);
    let causes = main.parts().map(|(name, seconds)| format!("{name} {:.1}", seconds * 1e6)).join(", ");
    Some(format!(
        "{:<13} {:<22} {:<15} {:<13} {:<18} {:<18} {:<18} {causes}{}",
        device.name,
        layer.name,
        plan.operation().name(),
        plan.variant().to_string(),
        pair(sums, predicted.sums),
        pair(main.seconds() - main.launch - sums, predicted.loads),
        pair(rest, predicted.packing),
        if chosen { ", chosen" } else { "" }
    ))
}

/// Prints the rows in which the choice is slower, and how many there are. True if nine in ten choices are within the tolerance.
fn print(devices: &[&'static Model], mut rows: Vec<Row>, all: bool) -> bool {
    rows.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    if rows.iter().any(|row| all || row.ratio() > TOLERATED) {
        say!("microseconds by the counts (in parentheses as predicted): the choice, the best variant, their ratio");
    } else {
        say!("no choice takes over {:.0} % longer than the best variant", 100.0 * (TOLERATED - 1.0));
    }
    for row in rows.iter().filter(|row| all || row.ratio() > TOLERATED) {
        let timed = |t: &Timed| format!("{} {:.1} ({:.1}) {}", t.variant, t.seconds * 1e6, t.predicted * 1e6, t.bound);
        say!(
            "{:<14} {:<24} {:<16} {:<44} {:<44} {:.2}",
            row.device,
            row.layer,
            row.operation.name(),
            timed(&row.chosen),
            timed(&row.best),
            row.ratio()
        );
    }
    for device in devices {
        summary(device.name, &rows.iter().filter(|row| row.device == device.name).collect::<Vec<_>>());
    }
    let everything: Vec<&Row> = rows.iter().collect();
    summary("all", &everything) >= 0.9
}

/// Prints a line for some rows, and returns the share of choices within the tolerance.
fn summary(name: &str, rows: &[&Row]) -> f64 {
    let count = rows.len().max(1) as f64;
    let near = rows.iter().filter(|row| row.ratio() <= TOLERATED).count() as f64 / count;
    let mean = |of: &dyn Fn(&Row) -> f64| (rows.iter().map(|row| of(row).ln()).sum::<f64>() / count).exp();
    let off = |t: &Timed| (t.predicted / t.seconds).max(t.seconds / t.predicted);
    say!(
        "{name:<14} {} rows, {:.1} % within {:.0} % of the best variant, geometric mean {:.3}, worst {:.2}; predictions differ from the times by counts by a factor of {:.2}",
        rows.len(),
        100.0 * near,
        100.0 * (TOLERATED - 1.0),
        mean(&Row::ratio),
        rows.iter().map(|row| row.ratio()).fold(1.0, f64::max),
        mean(&|row| off(&row.chosen))
    );
    near
}
