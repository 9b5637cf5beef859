//! Compares two runs row by row: faster, slower, or within noise.

use super::results::{Times, digits, geometric_mean, read_json};
use crate::layers::Op;
use conv1d::suite::LayerSpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The part of a run that can be compared: this program's results, or those of other programs in the same format
/// (`results[].name`, and times in `ms`, `min_ms` and `max_ms` by operation below it, in `ops` or in `modes.fp32`).
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Run {
    /// Tool, adapter, driver and date, as far as the file has them.
    pub(crate) title: String,
    /// Adapter, driver and CPU, if the file has all three.
    machine: Option<[String; 3]>,
    /// How steady the GPU was, if the file has it.
    steadiness: Option<Times>,
    rows: BTreeMap<(String, Op), Sample>,
    /// Inputs `[N, C_in, L]` of layers that were not run on their own input.
    inputs: BTreeMap<String, [usize; 3]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    ms: f64,
    min_ms: f64,
    max_ms: f64,
    samples: u64,
    gflop: Option<f64>,
}

/// Classification of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Faster,
    Slower,
    /// Within the spread of the samples of both runs, or within the drift of their machine.
    Noise,
    /// One of the runs has too few samples for a spread.
    Unknown,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "SLOWER",
            Verdict::Noise => "within noise",
            Verdict::Unknown => "too few samples",
        }
    }
}

/// A row that both runs have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) old_ms: f64,
    pub(crate) new_ms: f64,
    /// Smallest and largest ratio old / new over the samples of both runs.
    pub(crate) range: [f64; 2],
    pub(crate) verdict: Verdict,
}

impl Pair {
    /// Ratio old / new of the medians: above 1 if the new run is faster.
    pub(crate) fn ratio(&self) -> f64 {
        self.old_ms / self.new_ms
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) old: String,
    machine: Machine,
    pub(crate) pairs: Vec<Pair>,
    /// Rows of the new run that the old one lacks, or has in another size.
    pub(crate) without: usize,
}

/// The machine's part in a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Machine {
    /// Time of the machine's multiply-adds, new / old. `None` if the machines differ or are unknown.
    shift: Option<f64>,
    /// Factor by which the machine may have drifted within both runs.
    drift: f64,
}

impl Machine {
    fn new(old: &Run, new: &Run) -> Self {
        let drift = |run: &Run| run.steadiness.as_ref().map_or(1.0, Times::drift).max(1.0);
        let same = old.machine.is_some() && old.machine == new.machine;
        let shift = match (&old.steadiness, &new.steadiness) {
            (Some(old), Some(new)) if same => Some(new.ms / old.ms),
            _ => None,
        };
        // The drifts are independent: their logarithms add in quadrature.
        Machine { shift, drift: drift(old).ln().hypot(drift(new).ln()).exp() }
    }

    fn verdict(self, ratio: f64, range: [f64; 2]) -> Verdict {
        // A difference must hold both as measured and after correction for the machine's speed.
        let shifts = [1.0, self.shift.unwrap_or(1.0)];
        if shifts.iter().all(|shift| range[0] * shift > 1.0 && ratio * shift > self.drift) {
            Verdict::Faster
        } else if shifts.iter().all(|shift| range[1] * shift < 1.0 && ratio * shift < 1.0 / self.drift) {
            Verdict::Slower
        } else {
            Verdict::Noise
        }
    }
}

/// Fewest samples that give a meaningful spread.
const FEWEST_SAMPLES: u64 = 3;

impl Comparison {
    pub(crate) fn new(old: &Run, new: &Run) -> Self {
        let machine = Machine::new(old, new);
        let mut pairs = Vec::new();
        let mut without = 0;
        for ((name, op), sample) in &new.rows {
            match old.rows.get(&(name.clone(), *op)) {
                Some(before) if before.same_size(sample) => pairs.push(pair(name, *op, before, sample, machine)),
                _ => without += 1,
            }
        }
        Comparison { old: old.title.clone(), machine, pairs, without }
    }

    /// Geometric mean of the ratios old / new of an operation, and the number of rows.
    pub(crate) fn mean(&self, op: Op) -> Option<(f64, usize)> {
        let ratios: Vec<f64> = self.pairs.iter().filter(|p| p.op == op).map(Pair::ratio).collect();
        Some((geometric_mean(ratios.iter().copied())?, ratios.len()))
    }

    /// Counts of the verdicts, and the noise that they assume.
    pub(crate) fn summary(&self) -> String {
        let verdicts = [Verdict::Faster, Verdict::Slower, Verdict::Noise, Verdict::Unknown];
        let counts = verdicts.map(|verdict| format!("{} {}", self.count(verdict), verdict.name().to_lowercase()));
        let machine = match self.machine.shift {
            Some(shift) => format!("the machine's multiply-adds took {} times as long in the new run", digits(shift)),
            None => "the relative speed of the machines is unknown".to_owned(),
        };
        let drift = digits(self.machine.drift);
        format!(
            "{}. Noise is the spread of the samples and a drift of {drift}x within the runs; {machine}",
            counts.join(", ")
        )
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.pairs.iter().filter(|p| p.verdict == verdict).count()
    }
}

fn pair(name: &str, op: Op, old: &Sample, new: &Sample, machine: Machine) -> Pair {
    let range = [old.min_ms / new.max_ms, old.max_ms / new.min_ms];
    let ratio = old.ms / new.ms;
    let few = old.samples.min(new.samples) < FEWEST_SAMPLES;
    let verdict = if few { Verdict::Unknown } else { machine.verdict(ratio, range) };
    Pair { name: name.to_owned(), op, old_ms: old.ms, new_ms: new.ms, range, verdict }
}

impl Sample {
    /// A missing slowest sample is assumed to lie as far above the median as the fastest lies below it.
    fn read(value: &Value, gflop: Option<f64>) -> Option<Sample> {
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        // A program that also replays a recorded graph of its calls counts with the faster time.
        let ms = number("ms")?.min(number("graph_ms").unwrap_or(f64::INFINITY));
        let min_ms = number("min_ms").unwrap_or(ms).min(ms);
        let max_ms = number("max_ms").unwrap_or(2.0 * ms - min_ms).max(ms);
        let samples = value.get("samples").and_then(Value::as_u64).unwrap_or(1);
        let possible = min_ms > 0.0 && max_ms < 1e12;
        possible.then_some(Sample { ms, min_ms, max_ms, samples, gflop })
    }

    fn same_size(&self, other: &Sample) -> bool {
        match (self.gflop, other.gflop) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
            _ => true,
        }
    }
}

impl Run {
    pub(crate) fn load(path: &Path) -> Result<Run, String> {
        let value: Value = read_json(path)?;
        Run::read(&value).ok_or_else(|| format!("{}: there are no times in it", path.display()))
    }

    /// The input of a layer in this run, if it has the layer. A comparable run must use the same.
    pub(crate) fn input_of(&self, spec: &LayerSpec) -> Option<[usize; 3]> {
        let has = Op::ALL.into_iter().any(|op| self.rows.contains_key(&(spec.name.clone(), op)));
        has.then(|| self.inputs.get(&spec.name).copied().unwrap_or(spec.input()))
    }

    /// Reads the part of a file that can be compared; `None` if it has no times.
    pub(crate) fn read(value: &Value) -> Option<Run> {
        let (mut rows, mut inputs) = (BTreeMap::new(), BTreeMap::new());
        for result in value.get("results")?.as_array()? {
            let Some(name) = result.get("name").and_then(Value::as_str) else { continue };
            let shrunk = result.get("shrunk_to").and_then(|to| serde_json::from_value(to.clone()).ok());
            inputs.extend(shrunk.map(|input| (name.to_owned(), input)));
            let gflop = result.get("gflop").and_then(Value::as_f64);
            let ops = [result.get("ops"), result.pointer("/modes/fp32")].into_iter().flatten().next().unwrap_or(result);
            for op in Op::ALL {
                if let Some(sample) = ops.get(op.name()).and_then(|t| Sample::read(t, gflop)) {
                    rows.insert((name.to_owned(), op), sample);
                }
            }
        }
        let meta = |key: &str| value.pointer(&format!("/meta/{key}")).and_then(Value::as_str);
        let title: Vec<&str> = ["tool", "version", "adapter", "device", "driver", "driver_info", "date"]
            .into_iter()
            .filter_map(meta)
            .collect();
        let steadiness = value.pointer("/steadiness/gpu").and_then(|t| serde_json::from_value::<Times>(t.clone()).ok());
        let steadiness = steadiness.filter(|times| times.ms > 0.0);
        let machine = match ["adapter", "driver_info", "cpu"].map(meta) {
            [Some(adapter), Some(driver), Some(cpu)] => Some([adapter, driver, cpu].map(str::to_owned)),
            _ => None,
        };
        (!rows.is_empty()).then(|| Run { title: title.join(" "), machine, steadiness, rows, inputs })
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{layer, results};
    use super::*;
    use serde_json::json;

    fn run(samples: &[f64]) -> Run {
        let results = results(vec![layer("a", samples)]);
        Run::read(&serde_json::to_value(results).unwrap()).unwrap()
    }

    fn verdict(old: &[f64], new: &[f64]) -> Verdict {
        Comparison::new(&run(old), &run(new)).pairs[0].verdict
    }

    #[test]
    fn only_what_no_sample_contradicts_is_a_difference() {
        assert_eq!(verdict(&[10.0, 11.0, 12.0], &[20.0, 21.0, 22.0]), Verdict::Slower);
        assert_eq!(verdict(&[20.0, 21.0, 22.0], &[10.0, 11.0, 12.0]), Verdict::Faster);
        assert_eq!(verdict(&[10.0, 11.0, 21.0], &[20.0, 21.0, 22.0]), Verdict::Noise);
        assert_eq!(verdict(&[10.0, 11.0, 12.0], &[10.0, 11.0, 12.0]), Verdict::Noise);
    }

    /// Three samples of a layer, on a machine whose multiply-adds took these milliseconds.
    fn on(steadiness: &[f64], ms: f64) -> Run {
        let mut results = results(vec![layer("a", &[ms; 3])]);
        let timing = conv1d::Timing::new(steadiness.iter().map(|ms| ms / 1e3).collect());
        results.steadiness.gpu = Times::new(&timing);
        Run::read(&serde_json::to_value(results).unwrap()).unwrap()
    }

    fn on_machines(old: &Run, new: &Run) -> Verdict {
        Comparison::new(old, new).pairs[0].verdict
    }

    #[test]
    fn a_machine_that_drifts_explains_as_much() {
        let unsteady = on(&[1.0, 3.0], 10.0);
        assert_eq!(on_machines(&unsteady, &on(&[2.0], 20.0)), Verdict::Noise);
        assert_eq!(on_machines(&unsteady, &on(&[2.0], 40.0)), Verdict::Slower);
    }

    #[test]
    fn a_machine_that_is_slower_explains_as_much() {
        assert_eq!(on_machines(&on(&[1.0], 10.0), &on(&[2.0], 20.0)), Verdict::Noise);
        assert_eq!(on_machines(&on(&[1.0], 10.0), &on(&[2.0], 30.0)), Verdict::Slower);
        // An unchanged time on a slower machine does not prove a faster program.
        assert_eq!(on_machines(&on(&[1.0], 10.0), &on(&[2.0], 10.0)), Verdict::Noise);
        assert_eq!(on_machines(&on(&[2.0], 20.0), &on(&[1.0], 10.0)), Verdict::Noise);
        // The speeds of different machines are not corrected for.
        let other = Run { machine: Some(["x", "y", "z"].map(str::to_owned)), ..on(&[2.0], 20.0) };
        assert_eq!(on_machines(&on(&[1.0], 10.0), &other), Verdict::Slower);
    }

    #[test]
    fn single_samples_say_nothing() {
        assert_eq!(verdict(&[10.0], &[20.0, 21.0, 22.0]), Verdict::Unknown);
        assert_eq!(verdict(&[10.0, 10.0], &[20.0, 20.0]), Verdict::Unknown);
    }

    #[test]
    fn other_programs_are_read_too() {
        let timing = json!({ "ms": 4.0, "min_ms": 3.0, "samples": 7 });
        for ops in [
            json!({ "ops": { "fwd": timing } }),
            json!({ "modes": { "fp32": { "fwd": timing } } }),
            json!({ "fwd": timing }),
        ] {
            let mut result = ops;
            result["name"] = json!("a");
            let peer = Run::read(&json!({ "meta": { "tool": "peer" }, "results": [result] })).unwrap();
            let comparison = Comparison::new(&peer, &run(&[1.0, 2.0, 2.5]));
            assert_eq!((comparison.old.as_str(), comparison.mean(Op::Fwd)), ("peer", Some((2.0, 1))));
            assert_eq!(comparison.pairs[0].range, [3.0 / 2.5, 5.0]);
            assert_eq!(comparison.pairs[0].verdict, Verdict::Faster);
        }
        assert!(Run::read(&json!({ "results": [] })).is_none());
        // A layer of another size is not compared.
        let other = json!({ "results": [{ "name": "a", "gflop": 2.0, "fwd": timing }] });
        let comparison = Comparison::new(&Run::read(&other).unwrap(), &run(&[1.0; 3]));
        assert_eq!((comparison.pairs.len(), comparison.without), (0, 1));
    }
}
