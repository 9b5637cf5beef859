//! A file with the counts of the planner's choice for each layer of the suite: what a GPU is punished for, and does not show on a
//! software adapter. A test fails when a number rises.

use conv1d::paper::simt::{Counts, Memory, Workgroups};
use conv1d::paper::{OnPaper, Paper};
use conv1d::{Caps, DeviceClass, Operation, Plan, PlanOptions, Role, suite};
use std::fmt::Write;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counts.txt");

/// Names of the numbers, and targets. A number over its target has a star.
const COLUMNS: [(&str, f64); 6] =
    [("idle", 0.2), ("work", 1.25), ("loads", 1.5), ("stores", 1.5), ("banks", 1.1), ("reads", f64::INFINITY)];

const HEAD: &str = "# Counts of the planner's choices. `make counts` writes this file again.
# idle: share of the lanes of issued multiply-adds that are not active
# work: multiply-adds of lanes for each one that the operation needs
# loads, stores: bytes of memory sectors moved for each byte that is asked for
# banks: cycles of workgroup memory for each one that is needed without conflicts
# reads: bytes of the input that are asked for, for each byte of it (the output gradient, for an input gradient)
# A star marks a number over its target: idle 0.2, work 1.25, loads and stores 1.5, banks 1.1.
# The numbers are estimates from four workgroups of each dispatch. `work` is below 1 where taps that meet only padding are left out;
# `reads` is small where columns or textures are read in place of the input.
";

/// Rows of an operation on a class of devices: name, variant, numbers.
fn rows(class: DeviceClass, operation: Operation, paper: &Paper) -> Vec<(String, [f64; 6])> {
    let row = |spec: suite::LayerSpec| {
        let (layer, _) = spec.layer().unwrap();
        let plan = Plan::new(layer, operation, spec.input(), &Caps::of(class), &PlanOptions::default()).unwrap();
        let run = plan.on_paper(paper).unwrap();
        let cost = layer.cost(spec.input()).unwrap();
        (format!("{} {}", spec.name, plan.variant()), numbers(&plan, &run, cost.flops as f64 / 2.0))
    };
    suite::layers().into_iter().map(row).collect()
}

/// The numbers of a plan whose operation needs so many multiply-adds.
fn numbers(plan: &Plan, run: &OnPaper, needed: f64) -> [f64; 6] {
    let counts: Vec<&Counts> = run.dispatches.iter().map(|dispatch| &dispatch.report.counts).collect();
    let main = counts.iter().copied().max_by(|a, b| a.lanes.multiply_adds.total_cmp(&b.lanes.multiply_adds)).unwrap();
    let total = |of: &dyn Fn(&Counts) -> f64| counts.iter().map(|counts| of(counts)).sum::<f64>();
    let moved = |stores: bool| {
        let sectors = total(&|counts| counts.accesses(Memory::Storage, stores).sectors);
        32.0 * sectors / total(&|counts| counts.accesses(Memory::Storage, stores).bytes)
    };
    let cycles = total(&|counts| [true, false].map(|s| counts.accesses(Memory::Workgroup, s).cycles).iter().sum());
    let ideal: f64 =
        total(&|counts| [true, false].map(|s| counts.accesses(Memory::Workgroup, s).ideal_cycles).iter().sum());
    let input = if plan.operation() == Operation::InputGradient { Role::OutputGradient } else { Role::Input };
    let bytes = 4.0 * input.shape(plan.shapes()).iter().product::<usize>() as f64;
    let reads = total(&|counts| counts.variable("input", false).bytes + counts.variable("columns", false).bytes);
    let work = total(&|counts| counts.lanes.multiply_adds) / needed;
    [main.idle(), work, moved(false), moved(true), if ideal > 0.0 { cycles / ideal } else { 1.0 }, reads / bytes]
}

fn counts() -> String {
    let paper = Paper::default().workgroups(Workgroups::Sample(4));
    let sections = [DeviceClass::Integrated, DeviceClass::Discrete].into_iter().flat_map(|class| {
        [Operation::Forward, Operation::InputGradient, Operation::WeightGradient].map(|operation| (class, operation))
    });
    let mut text = String::from(HEAD);
    for (class, operation) in sections {
        writeln!(text, "\n# {class:?}, {}", operation.name()).unwrap();
        writeln!(text, "# layer variant {}", COLUMNS.map(|(name, _)| name).join(" ")).unwrap();
        for (name, numbers) in rows(class, operation, &paper) {
            let cells = numbers
                .iter()
                .zip(COLUMNS)
                .map(|(number, (_, target))| format!("{number:.3}{}", if *number > target { "*" } else { "" }));
            writeln!(text, "{name} {}", cells.collect::<Vec<_>>().join(" ")).unwrap();
        }
    }
    text
}

/// The row with its numbers.
fn parsed(line: &str) -> Option<(String, Vec<f64>)> {
    let cells: Vec<&str> = line.split(' ').collect();
    if line.starts_with('#') || cells.len() != 2 + COLUMNS.len() {
        return None;
    }
    let numbers = cells[2..].iter().map(|cell| cell.trim_end_matches('*').parse().unwrap()).collect();
    Some((cells[..2].join(" "), numbers))
}

#[test]
fn no_count_rises() {
    let now = counts();
    if std::env::var_os("CONV1D_WRITE_COUNTS").is_some() {
        std::fs::write(FILE, now).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    let mut wrong = Vec::new();
    assert_eq!(recorded.lines().count(), now.lines().count(), "`make counts` writes tests/counts.txt again");
    for (then, now) in recorded.lines().zip(now.lines()) {
        let same = match (parsed(then), parsed(now)) {
            (Some((name, then)), Some((named, now))) => {
                // A number in the file is rounded.
                name == named && then.iter().zip(&now).all(|(then, now)| *now <= then * 1.002 + 0.002)
            }
            _ => then == now,
        };
        if !same {
            wrong.push(format!("- {then}\n+ {now}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "counts rose, or choices changed: `make counts` writes tests/counts.txt again\n{}",
        wrong.join("\n")
    );
}
