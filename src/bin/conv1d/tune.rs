//! `conv1d tune`: measures the candidates for layers on this adapter.

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
    /// Operations
    #[arg(long, value_parser = operations::parser(&Operation::ALL), value_delimiter = ',', value_name = "OP,...",
        default_value = "fwd,dgrad,wgrad")]
    op: Vec<Operation>,
    /// Part of the adapter's name
    #[arg(long)]
    adapter: Option<String>,
    /// Keep the times here, beside those that are there already
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Milliseconds for each candidate
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
    say!("{} operations of layers in {}", tuning.len(), options.output.display());
    Ok(true)
}

/// Lets a `Gpu` choose by what an earlier run measured.
pub(crate) fn apply(gpu: &Gpu, path: &Path) -> Result<(), String> {
    let tuning = Tuning::load(path).map_err(|e| e.to_string())?;
    gpu.use_tuning(tuning).map_err(|e| format!("{}: {e}", path.display()))
}

/// What an earlier run left, or nothing yet.
fn begin(gpu: &Gpu, path: &Path) -> Result<Tuning, String> {
    if !path.exists() {
        // A file that cannot be written should not cost a run.
        let tuning = Tuning::new(gpu);
        return tuning.save(path).map(|()| tuning).map_err(|e| e.to_string());
    }
    let tuning = Tuning::load(path).map_err(|e| e.to_string())?;
    tuning.check(gpu).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(tuning)
}

/// The fastest, and what it gains over the planner's choice.
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
