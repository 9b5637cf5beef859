//! `conv1d bench`: times GPU and CPU layer by layer, checks every result and compares it with the machine's roofline.
//!
//! Data flows one way: jobs ([`sweep`]) → [`measure`] and [`latency`] → [`results`], plain data → the table for the terminal
//! ([`table`]), the comparison with another run ([`compare`]) and the page ([`page`] with its [`plots`]).

mod compare;
mod latency;
mod measure;
mod page;
mod plots;
mod results;
mod sweep;
mod table;

use crate::layers::{Op, Selection};
use crate::{Outcome, interrupt};
use clap::Args;
use compare::{Comparison, Run};
use indicatif::{ProgressBar, ProgressStyle};
use measure::{Bench, Trouble};
use results::Results;
use std::path::{Path, PathBuf};
use sweep::Axis;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Operations to time
    #[arg(long, value_parser = Op::parser(), value_delimiter = ',', value_name = "OP,...", default_value = "fwd,dgrad,wgrad")]
    op: Vec<Op>,
    /// Use the adapter whose name contains this text
    #[arg(long)]
    adapter: Option<String>,
    /// Use only this kernel (direct) or this variant of one (direct/4x4)
    #[arg(long)]
    kernel: Option<String>,
    /// Measure every kernel and variant that supports a layer, beside the planner's choice
    #[arg(long, conflicts_with = "kernel")]
    all_kernels: bool,
    /// Choose kernels by the times in this file, which `conv1d tune` measured
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
    /// Sweep sizes of a layer instead of running the suite: of the layers that --only selects, or of a layer of 64 to 64
    /// channels with three taps over 1024 samples
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SIZE,...")]
    sweep: Vec<Axis>,
    /// Do not measure the CPU
    #[arg(long)]
    no_cpu: bool,
    /// Do not measure the latency of single calls
    #[arg(long)]
    no_latency: bool,
    /// Write the results to this JSON file, updated after each layer
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write an HTML page with plots to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Compare with the --json file of an earlier run, or with another program's results in the same format
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measure nothing: show, compare or plot the --json file of an earlier run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "all_kernels", "tuning", "sweep", "json", "adapter"])]
    from: Option<PathBuf>,
    /// Time budget of the built-in suite in seconds; layers too slow for it are shrunk and marked
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    budget: u64,
}

pub(crate) fn run(options: &Options) -> Outcome {
    check_files(options)?;
    let earlier = options.compare.as_deref().map(Run::load).transpose()?;
    let results = match &options.from {
        Some(path) => earlier_results(options, path)?,
        None => measured(options, earlier.as_ref())?,
    };
    let comparison = earlier.map(|earlier| compared(&earlier, &results)).transpose()?;
    table::print(&results, comparison.as_ref());
    if options.tuning.is_some() {
        let tuned = results.measured().filter(|(_, _, m)| m.tuned).count();
        let all = results.measured().count();
        say!("{tuned} of {all} results used the tuning, which applies only to identical shapes");
    }
    match &options.report {
        Some(path) if !results.results.is_empty() => {
            results::write_whole(path, &page::render(&results, comparison.as_ref())?)?;
            say!("the report was written to {}", path.display());
        }
        _ => {}
    }
    if results.interrupted && options.from.is_none() {
        return Err("interrupted: the results are incomplete".into());
    }
    Ok(results.failures().is_empty())
}

/// Checks before any measurement that every output file can be written, and is neither an input nor another output.
fn check_files(options: &Options) -> Result<(), String> {
    let Options { json, report, from, compare, tuning, selection, .. } = options;
    let outputs: Vec<&PathBuf> = [json, report].into_iter().flatten().collect();
    let inputs = [from, compare, tuning, &selection.layers_file];
    let all: Vec<&PathBuf> = outputs.iter().copied().chain(inputs.into_iter().flatten()).collect();
    for (index, path) in outputs.iter().enumerate() {
        let new = !path.exists();
        if !new && !path.is_file() {
            return Err(format!("{}: it is not a plain file", path.display()));
        }
        // Opening a file for appending does not change it.
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|e| format!("{}: {e}", path.display()))?;
        let place = |path: &PathBuf| path.canonicalize().ok();
        let twice = all[index + 1..].iter().find(|other| place(other) == place(path));
        let outcome = match twice {
            Some(other) => Err(format!("{} and {} are the same file", path.display(), other.display())),
            None => Ok(()),
        };
        if new {
            drop(std::fs::remove_file(path));
        }
        outcome?;
    }
    Ok(())
}

/// Loads the results of an earlier run, reduced to the selected layers and operations.
fn earlier_results(options: &Options, path: &Path) -> Result<Results, String> {
    let mut results = Results::load(path)?;
    results.retain(|name| options.selection.names(name), &options.op);
    if results.results.is_empty() {
        return Err(format!("{}: it has none of the selected layers and operations", path.display()));
    }
    table::print_head(&results);
    table::print_latency(&results);
    Ok(results)
}

fn compared(earlier: &Run, results: &Results) -> Result<Comparison, String> {
    let value = serde_json::to_value(results).map_err(|e| e.to_string())?;
    Ok(Comparison::new(earlier, &Run::read(&value).unwrap_or_default()))
}

fn measured(options: &Options, earlier: Option<&Run>) -> Result<Results, String> {
    let jobs = sweep::jobs(&options.selection, &options.sweep, earlier)?;
    if let Some(kernel) = &options.kernel {
        let name = kernel.split('/').next().unwrap_or_default();
        if !conv1d::kernels().contains(&name) {
            return Err(format!("no kernel is called {name:?}; there are {}", conv1d::kernels().join(", ")));
        }
    }
    interrupt::listen();
    let mut bench = Bench::new(options, jobs.len())?;
    let mut results = bench.begin()?;
    let save = |results: &Results| match &options.json {
        Some(path) if !results.results.is_empty() => results.save(path),
        _ => Ok(()),
    };
    table::print_head(&results);
    if !options.no_latency {
        // A failure here does not stop the benchmark.
        match bench.latency() {
            Ok(latency) => results.latency = latency,
            Err(error) => say!("latency was not measured: {error}"),
        }
        table::print_latency(&results);
    }

    let bar = ProgressBar::new((jobs.len() * options.op.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    for job in &jobs {
        let measured = bench.layer(job, &mut results, &bar);
        // The rows hold the other errors of a layer.
        results.interrupted = matches!(measured, Err(Trouble::Interrupted));
        save(&results)?;
        if results.interrupted {
            break;
        }
    }
    bar.finish_and_clear();
    if !results.interrupted && results.results.is_empty() {
        return Err("the kernel supports none of the operations".into());
    }
    Ok(results)
}
