//! Prints the results to a terminal.

use super::compare::Comparison;
use super::results::{
    FULL_SAMPLES, Latency, LayerResult, Measured, Outcome, Planner, Reached, Results, Row, Times, best_ms, digits,
};
use crate::layers::Op;
use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

pub(super) fn print_head(results: &Results) {
    let meta = &results.meta;
    say!(
        "conv1d {} on {} ({}, {}, {} {}) against {} ({} threads), {}",
        meta.version,
        meta.adapter,
        meta.device_type,
        meta.backend,
        meta.driver,
        meta.driver_info,
        meta.cpu,
        meta.threads,
        meta.date
    );
    say!("timed from {}", meta.clock);
    if meta.software() {
        say!("This is a SOFTWARE adapter, which runs on the CPU. Its times say nothing about a real GPU.");
    }
    let rates = &results.roofline;
    say!("peak rates, measured: GPU {} GFLOP/s, {} GB/s", digits(rates.gpu.gflops), digits(rates.gpu.gbps));
    if let Some(cpu) = rates.cpu {
        say!("                      CPU {} GFLOP/s, {} GB/s", digits(cpu.gflops), digits(cpu.gbps));
    }
}

pub(super) fn print_latency(results: &Results) {
    if results.latency.is_empty() {
        return;
    }
    let mut table = table(&["one small layer (8 to 32 channels, K 5, 100 samples), forward", "us", "spread us"]);
    for Latency { what, times } in &results.latency {
        let spread = format!("{}-{}", digits(times.min_ms * 1e3), digits(times.max_ms * 1e3));
        table.add_row([Cell::new(what), right(digits(times.ms * 1e3)), right(spread)]);
    }
    say!("{table}");
}

pub(super) fn print(results: &Results, comparison: Option<&Comparison>) {
    let mut rows = table(&[
        "layer",
        "op",
        "GPU ms",
        "spread ms",
        "GFLOP/s",
        "GB/s",
        "limit",
        "of limit",
        "kernel",
        "CPU ms",
        "CPU limit",
        "of limit",
        "speed-up",
        "bound used",
    ]);
    for layer in &results.results {
        for (&op, row) in &layer.ops {
            match row {
                Row::Measured(m) => rows.add_row(cells(layer, op, m)),
                Row::Failed { .. } => rows.add_row([layer.label().as_str(), op.name(), "failed"]),
            };
        }
    }
    say!("{rows}");
    print_notes(results);
    print_means(results);
    print_kernels(results);
    if let Some(comparison) = comparison {
        print_comparison(comparison);
    }
    let failures = results.failures();
    failures.iter().for_each(|line| say!("FAILED {line}"));
    let count: usize = results.results.iter().map(|l| l.ops.len()).sum();
    match failures.len() {
        0 if count == 0 => say!("nothing was measured"),
        0 => say!("{count} rows, every one checked and within its bound"),
        failed => say!("{count} rows, {failed} FAILED"),
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(head);
    table
}

fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Marks times with few samples.
fn few(times: &Times) -> &'static str {
    if times.samples < FULL_SAMPLES { "~" } else { "" }
}

fn spread(times: &Times) -> String {
    format!("{}-{}", digits(times.min_ms), digits(times.max_ms))
}

fn percent(share: f64) -> String {
    format!("{}%", digits(share * 100.0))
}

fn cells(layer: &LayerResult, op: Op, m: &Measured) -> Vec<Cell> {
    let Reached { times, gflops, gbps, limit, of_limit, .. } = &m.reached;
    let cpu = |f: &dyn Fn(&Reached) -> String| right(layer.cpu.get(&op).map_or_else(String::new, f));
    vec![
        Cell::new(layer.label()),
        Cell::new(op.name()),
        right(format!("{}{}", few(times), digits(times.ms))),
        right(spread(times)),
        right(digits(*gflops)),
        right(digits(*gbps)),
        Cell::new(limit),
        right(percent(*of_limit)),
        Cell::new(&m.kernel),
        cpu(&|r| digits(r.times.ms)),
        cpu(&|r| r.limit.clone()),
        cpu(&|r| percent(r.of_limit)),
        right(layer.speed_up(op).map_or_else(String::new, |s| format!("{}x", digits(s)))),
        right(format!("{:.3}", m.bound_used)),
    ]
}

fn print_notes(results: &Results) {
    let shrunk = results.results.iter().filter_map(|l| l.shrunk_to.map(|to| format!("{} {to:?}", l.name)));
    let shrunk: Vec<String> = shrunk.collect();
    if !shrunk.is_empty() {
        say!("* on another input [N, C_in, L], because of --budget or --compare: {}", shrunk.join(", "));
    }
    if results.measured().any(|(_, _, m)| m.reached.times.samples < FULL_SAMPLES) {
        say!("~ fewer than 7 samples in the time budget");
    }
    say!(
        "spread: fastest and slowest sample. limit: the peak rate above, of compute or of memory, that bounds the layer."
    );
    let steady = |side: &str, times: &Times| {
        if times.samples > 0 {
            let (ms, min, max) = (digits(times.ms), digits(times.min_ms), digits(times.max_ms));
            say!(
                "steadiness: 10^9 multiply-add operations, timed {} times during the run, took the {side} {ms} ms ({min}-{max})",
                times.samples
            );
        }
    };
    steady("GPU", &results.steadiness.gpu);
    results.steadiness.cpu.iter().for_each(|times| steady("CPU", times));
    if results.meta.software() {
        say!("SOFTWARE adapter: the speed-up compares two programs on the same CPU, not a GPU with a CPU.");
    }
}

fn print_means(results: &Results) {
    for op in Op::ALL {
        let Some(means) = results.means(op) else { continue };
        let against = means.cpu.zip(means.speed_up).map_or_else(String::new, |(cpu, speed_up)| {
            format!(", CPU {} GFLOP/s, speed-up {}x", digits(cpu), digits(speed_up))
        });
        say!("{}, geometric mean of {} rows: GPU {} GFLOP/s{against}", op.name(), means.rows, digits(means.gpu));
    }
}

fn print_kernels(results: &Results) {
    let Some(summary) = Planner::new(results) else { return };
    let mut table =
        table(&["layer", "op", "kernel", "measured ms", "spread ms", "predicted ms", "times the best", "bound used"]);
    for (layer, op, m) in results.measured() {
        let best = best_ms(&m.kernels).unwrap_or(f64::INFINITY);
        for candidate in &m.kernels {
            let chosen = if candidate.kernel == m.kernel { " <- chosen" } else { "" };
            let mut cells = vec![
                Cell::new(layer.label()),
                Cell::new(op.name()),
                Cell::new(format!("{}{chosen}", candidate.kernel)),
            ];
            match &candidate.outcome {
                Outcome::Measured { times, bound_used } => cells.extend([
                    right(format!("{}{}", few(times), digits(times.ms))),
                    right(spread(times)),
                    right(digits(candidate.predicted_ms)),
                    right(digits(times.ms / best)),
                    right(format!("{bound_used:.3}")),
                ]),
                Outcome::Failed { error } => {
                    let predicted = right(digits(candidate.predicted_ms));
                    cells.extend([right("-"), right("-"), predicted, Cell::new(error)]);
                }
            }
            table.add_row(cells);
        }
    }
    say!("{table}");
    say!("{summary}");
}

fn print_comparison(comparison: &Comparison) {
    let mut table = table(&["layer", "op", "old ms", "new ms", "times as fast", "sample range", "verdict"]);
    for pair in &comparison.pairs {
        table.add_row([
            Cell::new(&pair.name),
            Cell::new(pair.op.name()),
            right(digits(pair.old_ms)),
            right(digits(pair.new_ms)),
            right(digits(pair.ratio())),
            right(format!("{}-{}", digits(pair.range[0]), digits(pair.range[1]))),
            Cell::new(pair.verdict.name()),
        ]);
    }
    say!("compared with {}", comparison.old);
    if !comparison.pairs.is_empty() {
        say!("{table}");
    }
    for op in Op::ALL {
        if let Some((mean, rows)) = comparison.mean(op) {
            say!("{}: {} times as fast, geometric mean of {rows} rows", op.name(), digits(mean));
        }
    }
    say!("{}", comparison.summary());
    if comparison.without > 0 {
        say!("{} rows are missing in the other run, or have another input there", comparison.without);
    }
}
