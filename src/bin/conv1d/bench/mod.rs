//! `conv1d bench`: GPU against CPU, layer by layer, every result checked and held against what the machine can do.
//!
//! Data flows one way: what to measure ([`sweep`]) → [`measure`] and [`latency`] → [`results`], plain data → the table of the
//! terminal ([`table`]), the comparison with another run ([`compare`]) and the page ([`page`], its [`plots`]).

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
    /// Operations
    #[arg(long, value_parser = Op::parser(), value_delimiter = ',', value_name = "OP,...", default_value = "fwd,dgrad,wgrad")]
    op: Vec<Op>,
    /// Part of the adapter's name
    #[arg(long)]
    adapter: Option<String>,
    /// Only this kernel (direct), or one of its variants (direct/4x4)
    #[arg(long)]
    kernel: Option<String>,
    /// Every kernel in every variant that suits a layer, beside the planner's choice
    #[arg(long, conflicts_with = "kernel")]
    all_kernels: bool,
    /// Choose kernels by what `conv1d tune` measured
    #[arg(long, value_name = "FILE")]
    tuning: Option<PathBuf>,
    /// Let a size of one layer grow instead of running the suite: the layer that --only names, or 64 to 64 channels with
    /// three taps over 1024 samples
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SIZE,...")]
    sweep: Vec<Axis>,
    /// Leave the CPU out
    #[arg(long)]
    no_cpu: bool,
    /// Leave out what a single call costs
    #[arg(long)]
    no_latency: bool,
    /// Write the results here, as they come
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots here
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Compare with an earlier run (what --json wrote), or with another program's in the same form
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Measure nothing: show, compare or draw what an earlier run wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "all_kernels", "tuning", "sweep", "json", "adapter"])]
    from: Option<PathBuf>,
    /// Seconds for the built-in suite; layers too slow for it are shrunk and marked
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
        say!("{tuned} of {all} were in the tuning, which holds for the very same shapes only");
    }
    match &options.report {
        Some(path) if !results.results.is_empty() => {
            results::write_whole(path, &page::render(&results, comparison.as_ref())?)?;
            say!("the report is {}", path.display());
        }
        _ => {}
    }
    if results.interrupted && options.from.is_none() {
        return Err("interrupted: this is what was measured until then".into());
    }
    Ok(results.failures().is_empty())
}

/// Refuses to write over what is read, or one file over another, and what cannot be written, before anything is measured.
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
        // Appending nothing changes nothing.
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|e| format!("{}: {e}", path.display()))?;
        let place = |path: &PathBuf| path.canonicalize().ok();
        let twice = all[index + 1..].iter().find(|other| place(other) == place(path));
        let outcome = match twice {
            Some(other) => Err(format!("{} and {} are one file", path.display(), other.display())),
            None => Ok(()),
        };
        if new {
            drop(std::fs::remove_file(path));
        }
        outcome?;
    }
    Ok(())
}

/// What an earlier run wrote, as far as it is asked for.
fn earlier_results(options: &Options, path: &Path) -> Result<Results, String> {
    let mut results = Results::load(path)?;
    results.retain(|name| options.selection.names(name), &options.op);
    if results.results.is_empty() {
        return Err(format!("{}: no such layer or operation is in it", path.display()));
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
        // The layers are worth measuring without it.
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
        // Of any other trouble the rows say what it is.
        results.interrupted = matches!(measured, Err(Trouble::Interrupted));
        save(&results)?;
        if results.interrupted {
            break;
        }
    }
    bar.finish_and_clear();
    if !results.interrupted && results.results.is_empty() {
        return Err("the kernel suits none of the operations".into());
    }
    Ok(results)
}
