//! The results as one self-contained page of HTML.

use super::compare::{Comparison, Verdict};
use super::plots::{self, Figure};
use super::results::{
    FULL_SAMPLES, Latency, LayerResult, Outcome, Planner, Reached, Results, Row, Sides, Times, best_ms, digits,
};
use crate::layers::Op;
use askama::Template;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    results: &'a Results,
    cards: Vec<Card>,
    rooflines: Vec<Figure>,
    speed_ups: Vec<Figure>,
    sweeps: Vec<Figure>,
    tables: Vec<OpTable>,
    latency: Vec<LatencyRow>,
    kernels: Vec<KernelRow>,
    planner: Option<String>,
    comparison: Option<Compared>,
    failures: Vec<String>,
    /// Times of the multiply-adds that show how steady the machine was: side and text.
    steadiness: Vec<(&'static str, String)>,
    shrunk: bool,
}

/// A headline number.
struct Card {
    value: String,
    label: String,
}

struct OpTable {
    op: &'static str,
    what: &'static str,
    rows: Vec<TableRow>,
}

struct TableRow {
    layer: String,
    input: String,
    /// The error, if the row failed.
    failed: Option<String>,
    gpu: Option<Side>,
    cpu: Option<Side>,
    kernel: String,
    speed_up: String,
    bound_used: String,
}

/// Times and rates of one side.
struct Side {
    ms: String,
    spread: String,
    samples: String,
    few: bool,
    gflops: String,
    gbps: String,
    limit: String,
    of_limit: String,
}

struct LatencyRow {
    what: String,
    us: String,
    spread: String,
    samples: String,
}

struct KernelRow {
    layer: String,
    op: &'static str,
    kernel: String,
    chosen: bool,
    measured: String,
    spread: String,
    samples: String,
    predicted: String,
    times_best: String,
    failed: String,
}

struct Compared {
    old: String,
    means: Vec<String>,
    summary: String,
    rows: Vec<ComparedRow>,
}

struct ComparedRow {
    layer: String,
    op: &'static str,
    old_ms: String,
    new_ms: String,
    ratio: String,
    range: String,
    verdict: &'static str,
    class: &'static str,
}

/// Renders the page.
pub(super) fn render(results: &Results, comparison: Option<&Comparison>) -> Result<String, String> {
    let speed_ups: Result<Vec<_>, _> = Op::ALL.into_iter().map(|op| plots::speed_ups(results, op)).collect();
    let rooflines: Result<Vec<_>, _> = [true, false].into_iter().map(|gpu| plots::roofline(results, gpu)).collect();
    let page = Page {
        results,
        cards: cards(results),
        rooflines: rooflines?.into_iter().flatten().collect(),
        speed_ups: speed_ups?.into_iter().flatten().collect(),
        sweeps: plots::sweeps(results)?,
        tables: Op::ALL.into_iter().map(|op| op_table(results, op)).filter(|table| !table.rows.is_empty()).collect(),
        latency: results.latency.iter().map(latency_row).collect(),
        kernels: kernel_rows(results),
        planner: Planner::new(results).map(|planner| planner.to_string()),
        comparison: comparison.map(compared),
        failures: results.failures(),
        steadiness: steadiness(results),
        shrunk: results.results.iter().any(|l| l.shrunk_to.is_some()),
    };
    page.render().map_err(|e| e.to_string())
}

fn steadiness(results: &Results) -> Vec<(&'static str, String)> {
    let Sides { gpu, cpu } = &results.steadiness;
    let sides = std::iter::once(("GPU", gpu)).chain(cpu.iter().map(|cpu| ("CPU", cpu)));
    let text = |t: &Times| format!("{} ms ({}–{})", digits(t.ms), digits(t.min_ms), digits(t.max_ms));
    sides.filter(|(_, times)| times.samples > 0).map(|(side, times)| (side, text(times))).collect()
}

fn cards(results: &Results) -> Vec<Card> {
    let mut cards = Vec::new();
    for op in Op::ALL {
        let Some(means) = results.means(op) else { continue };
        let against = means.speed_up.map_or_else(String::new, |s| format!(", {} times as fast as the CPU", digits(s)));
        cards.push(Card {
            value: format!("{} GFLOP/s", digits(means.gpu)),
            label: format!("{}, geometric mean{against}", op.operation().name()),
        });
    }
    let rows: usize = results.results.iter().map(|l| l.ops.len()).sum();
    cards.push(Card {
        value: format!("{} of {rows}", rows - results.failures().len()),
        label: "results within the promised error bound".to_owned(),
    });
    cards
}

fn op_table(results: &Results, op: Op) -> OpTable {
    let row = |layer: &LayerResult| Some(table_row(layer, op, layer.ops.get(&op)?));
    OpTable { op: op.name(), what: op.operation().name(), rows: results.results.iter().filter_map(row).collect() }
}

fn table_row(layer: &LayerResult, op: Op, row: &Row) -> TableRow {
    let measured = layer.measured(op);
    TableRow {
        layer: layer.label(),
        input: format!("{:?}", layer.input),
        failed: match row {
            Row::Failed { error } => Some(error.clone()),
            Row::Measured(_) => None,
        },
        gpu: measured.map(|m| side(&m.reached)),
        cpu: layer.cpu.get(&op).map(side),
        kernel: measured.map_or_else(String::new, |m| m.kernel.clone()),
        speed_up: layer.speed_up(op).map_or_else(String::new, |s| format!("{}x", digits(s))),
        bound_used: measured.map_or_else(String::new, |m| format!("{:.3}", m.bound_used)),
    }
}

fn side(reached: &Reached) -> Side {
    let times = &reached.times;
    Side {
        ms: digits(times.ms),
        spread: spread(times),
        samples: samples(&times.samples_ms, 1.0),
        few: times.samples < FULL_SAMPLES,
        gflops: digits(reached.gflops),
        gbps: digits(reached.gbps),
        limit: reached.limit.clone(),
        of_limit: digits(reached.of_limit * 100.0),
    }
}

fn spread(times: &Times) -> String {
    format!("{}–{}", digits(times.min_ms), digits(times.max_ms))
}

/// All samples in the order taken.
fn samples(samples_ms: &[f64], scale: f64) -> String {
    samples_ms.iter().map(|ms| digits(ms * scale)).collect::<Vec<_>>().join(", ")
}

fn latency_row(latency: &Latency) -> LatencyRow {
    let times = &latency.times;
    LatencyRow {
        what: latency.what.clone(),
        us: digits(times.ms * 1e3),
        spread: format!("{}–{}", digits(times.min_ms * 1e3), digits(times.max_ms * 1e3)),
        samples: samples(&times.samples_ms, 1e3),
    }
}

fn kernel_rows(results: &Results) -> Vec<KernelRow> {
    let mut rows = Vec::new();
    for (layer, op, m) in results.measured() {
        let best = best_ms(&m.kernels).unwrap_or(f64::INFINITY);
        for candidate in &m.kernels {
            let ms = candidate.times().map(|t| t.ms);
            rows.push(KernelRow {
                layer: layer.label(),
                op: op.name(),
                kernel: candidate.kernel.clone(),
                chosen: candidate.kernel == m.kernel,
                measured: ms.map_or_else(String::new, digits),
                spread: candidate.times().map_or_else(String::new, spread),
                samples: candidate.times().map_or_else(String::new, |t| samples(&t.samples_ms, 1.0)),
                predicted: digits(candidate.predicted_ms),
                times_best: ms.map_or_else(String::new, |ms| digits(ms / best)),
                failed: match &candidate.outcome {
                    Outcome::Failed { error } => error.clone(),
                    Outcome::Measured { .. } => String::new(),
                },
            });
        }
    }
    rows
}

fn compared(comparison: &Comparison) -> Compared {
    let mean = |op: Op| {
        let (mean, rows) = comparison.mean(op)?;
        Some(format!("{}: {} times as fast, geometric mean of {rows} layers", op.operation().name(), digits(mean)))
    };
    Compared {
        old: comparison.old.clone(),
        means: Op::ALL.into_iter().filter_map(mean).collect(),
        summary: format!(
            "{}. {} rows are missing in the other run, or have another input there.",
            comparison.summary(),
            comparison.without
        ),
        rows: comparison
            .pairs
            .iter()
            .map(|pair| ComparedRow {
                layer: pair.name.clone(),
                op: pair.op.name(),
                old_ms: digits(pair.old_ms),
                new_ms: digits(pair.new_ms),
                ratio: digits(pair.ratio()),
                range: format!("{}–{}", digits(pair.range[0]), digits(pair.range[1])),
                verdict: pair.verdict.name(),
                class: match pair.verdict {
                    Verdict::Faster => "good",
                    Verdict::Slower => "bad",
                    Verdict::Noise | Verdict::Unknown => "",
                },
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::Run;
    use super::super::results::tests::{layer, results};
    use super::*;

    #[test]
    fn the_page_has_everything_and_needs_nothing() {
        let mut failed = layer("second", &[2.0]);
        failed.ops.insert(Op::Dgrad, Row::Failed { error: "the device was <lost>".into() });
        let results = results(vec![layer("first", &[1.0, 1.5]), failed]);
        let run = Run::read(&serde_json::to_value(&results).unwrap()).unwrap();
        let page = render(&results, Some(&Comparison::new(&run, &run))).unwrap();
        let everything = [
            "first",
            "second",
            "1.00, 1.50",
            "within noise",
            "a round trip",
            "Roofline of the GPU",
            "Roofline of the CPU",
            "the planner&#39;s choice",
            "an &#60;adapter&#62;",
            "the device was &#60;lost&#62;",
            "tiled/8x8",
        ];
        for part in everything {
            assert!(page.contains(part), "{part} is missing");
        }
        // The namespace of SVG is not an address to fetch.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "<script src", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
