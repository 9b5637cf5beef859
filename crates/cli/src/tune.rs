//! `conv1d tune`: measures the candidates of layers on this adapter.

use crate::layers::Selection;
use crate::operations::{self, short};
use crate::{Outcome, adapters};
use clap::Args;
use conv1d::{Effort, Gpu, Operation, Plan, PlanOptions, Tuning};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Operations to tune
    #[arg(long, value_parser = operations::parser(&Operation::ALL), value_delimiter = ',', value_name = "OP,...",
        default_value = "fwd,dgrad,wgrad")]
    op: Vec<Operation>,
    /// Use the adapter whose name contains this text
    #[arg(long)]
    adapter: Option<String>,
    /// File to write the times to; times of other layers in it are kept
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Milliseconds to measure each candidate
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    effort: u64,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let specs = options.selection.layers()?;
    let gpu = adapters::open(options.adapter.as_deref(), false).map_err(|e| e.to_string())?;
    let mut tuning = begin(&gpu, &options.output)?;
    let on = tuning.on();
    say!("tuning on {} ({}, {}), conv1d {}", on.adapter, on.backend, on.driver, on.library);
    let total = Duration::from_millis(options.effort);
    let effort = Effort { samples: 5, sample: total / 5, ..Effort::within(total) };
    for spec in specs {
        let (layer, _) = spec.layer().map_err(|e| e.to_string())?;
        for &operation in &options.op {
            let plan = gpu.tune(&mut tuning, layer, operation, spec.input(), effort);
            let plan = plan.map_err(|e| format!("{} {}: {e}", spec.name, short(operation)))?;
            let planned = gpu.plan(layer, operation, spec.input(), &PlanOptions::default());
            say!("{:<28} {:<5} {}", spec.name, short(operation), verdict(&plan, &planned.map_err(|e| e.to_string())?));
        }
        tuning.save(&options.output).map_err(|e| e.to_string())?;
    }
    say!("{} tuned operations in {}", tuning.len(), options.output.display());
    Ok(true)
}

/// Loads the times of an earlier run into a `Gpu`, which then chooses kernels by them.
pub(crate) fn apply(gpu: &Gpu, path: &Path) -> Result<(), String> {
    let tuning = Tuning::load(path).map_err(|e| e.to_string())?;
    gpu.use_tuning(tuning).map_err(|e| format!("{}: {e}", path.display()))
}

/// Loads the tuning of an earlier run, or creates the file with an empty one.
fn begin(gpu: &Gpu, path: &Path) -> Result<Tuning, String> {
    if !path.exists() {
        // Fails before any measurement if the file cannot be written.
        let tuning = Tuning::new(gpu);
        return tuning.save(path).map(|()| tuning).map_err(|e| e.to_string());
    }
    let tuning = Tuning::load(path).map_err(|e| e.to_string())?;
    tuning.check(gpu).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(tuning)
}

/// Describes the fastest candidate and its gain over the planner's choice.
fn verdict(tuned: &Plan, planned: &Plan) -> String {
    let measured = |of: &Plan| {
        let choice = of.variant();
        tuned.candidates().iter().find(|c| c.variant == choice).and_then(|c| c.measured)
    };
    let count = tuned.candidates().iter().filter(|c| c.measured.is_some()).count();
    match (measured(tuned), measured(planned)) {
        (Some(best), _) if tuned.variant() == planned.variant() => {
            format!("{:<14} {:>10.3} ms, as planned; {count} measured", tuned.variant().to_string(), best * 1e3)
        }
        (Some(best), Some(other)) => format!(
            "{:<14} {:>10.3} ms, {:.2} times as fast as {}; {count} measured",
            tuned.variant().to_string(),
            best * 1e3,
            other / best,
            planned.variant()
        ),
        _ => format!("{}: nothing measured", tuned.variant()),
    }
}
