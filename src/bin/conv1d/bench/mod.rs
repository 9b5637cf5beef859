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
use std::path::PathBuf;
use sweep::Axis;

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
    /// Every kernel in every tile that suits a layer, beside the planner's choice
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
    let earlier = options.compare.as_deref().map(Run::load).transpose()?;
    let (results, complete) = match &options.from {
        Some(path) => (Results::load(path)?, true),
        None => measured(options, earlier.as_ref())?,
    };
    let comparison = earlier.map(|earlier| compared(&earlier, &results)).transpose()?;
    table::print(&results, comparison.as_ref());
    if options.tuning.is_some() {
        let tuned = results.measured().filter(|(_, _, m)| m.tuned).count();
        let all = results.measured().count();
        say!("{tuned} of {all} were in the tuning, which holds for the very same shapes only");
    }
    if let Some(path) = &options.report {
        results::write_whole(path, &page::render(&results, comparison.as_ref())?)?;
        say!("the report is {}", path.display());
    }
    if !complete {
        return Err("interrupted: this is what was measured until then".into());
    }
    Ok(results.failures().is_empty())
}

fn compared(earlier: &Run, results: &Results) -> Result<Comparison, String> {
    let value = serde_json::to_value(results).map_err(|e| e.to_string())?;
    Ok(Comparison::new(earlier, &Run::read(&value).unwrap_or_default()))
}

/// Measures, and says whether to the end.
fn measured(options: &Options, earlier: Option<&Run>) -> Result<(Results, bool), String> {
    let jobs = sweep::jobs(&options.selection, &options.sweep, earlier)?;
    interrupt::listen();
    let mut bench = Bench::new(options, jobs.len())?;
    let mut results = bench.begin()?;
    // Files that cannot be written should not cost a run.
    if let Some(path) = &options.report {
        results::write_whole(path, "")?;
    }
    let save = |results: &Results| options.json.as_ref().map_or(Ok(()), |path| results.save(path));
    save(&results)?;
    table::print_head(&results);
    if !options.no_latency {
        results.latency = bench.latency()?;
        table::print_latency(&results);
    }

    let bar = ProgressBar::new((jobs.len() * options.ops.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut complete = true;
    for job in &jobs {
        let measured = bench.layer(job, &mut results, &bar);
        save(&results)?;
        match measured {
            Ok(()) => {}
            Err(Trouble::Interrupted) => {
                complete = false;
                break;
            }
            // The rows say what is wrong with the device.
            Err(_) => {}
        }
    }
    bar.finish_and_clear();
    if complete && results.results.is_empty() {
        return Err("the kernel suits none of the operations".into());
    }
    Ok((results, complete))
}
