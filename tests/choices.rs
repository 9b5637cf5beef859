//! A file with the planner's choice for each layer of the suite on each class of device: changed predictions show in review.

use conv1d::{Caps, DeviceClass, Operation, Plan, PlanOptions, suite};
use std::fmt::Write;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/choices.txt");

/// A line for each class, operation and layer: the chosen variant, and the parts of its predicted time in microseconds.
fn choices() -> String {
    let mut text =
        String::from("# The planner's choices. `make choices` writes this file again. Times in microseconds.\n");
    for class in [DeviceClass::Software, DeviceClass::Integrated, DeviceClass::Discrete, DeviceClass::Unknown] {
        for operation in [Operation::Forward, Operation::InputGradient, Operation::WeightGradient] {
            writeln!(text, "\n# {class:?}, {}", operation.name()).unwrap();
            writeln!(text, "# layer choice sums loads stores packing launches busy").unwrap();
            for spec in suite::layers() {
                let (layer, _) = spec.layer().unwrap();
                let plan =
                    Plan::new(layer, operation, spec.input(), &Caps::of(class), &PlanOptions::default()).unwrap();
                let chosen = plan.candidates().iter().find(|c| c.variant == plan.variant()).unwrap().predicted;
                let parts = [chosen.sums, chosen.loads, chosen.stores, chosen.packing, chosen.launches];
                let parts = parts.map(|seconds| format!("{:.4e}", seconds * 1e6)).join(" ");
                writeln!(text, "{} {} {parts} {:.4}", spec.name, plan.variant(), chosen.busy).unwrap();
            }
        }
    }
    text
}

#[test]
fn choices_are_the_recorded_ones() {
    let now = choices();
    if std::env::var_os("CONV1D_WRITE_CHOICES").is_some() {
        std::fs::write(FILE, now).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    let changed: Vec<String> = recorded
        .lines()
        .zip(now.lines())
        .filter(|(then, now)| then != now)
        .map(|(then, now)| format!("- {then}\n+ {now}"))
        .collect();
    let changed = changed.join("\n");
    assert!(recorded == now, "choices differ from tests/choices.txt; `make choices` writes it again\n{changed}");
}
