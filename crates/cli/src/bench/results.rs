//! Results of the benchmark as plain data: written and read as JSON, compared and plotted.

use crate::layers::Op;
use conv1d::{Gpu, Limit, Roofline, Timing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows with fewer samples are marked.
pub(crate) const FULL_SAMPLES: usize = 7;

/// All results, and the machine that they were measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) meta: Meta,
    /// Peak rates, measured before the layers.
    pub(crate) roofline: Sides<Rates>,
    /// How steady the machine was: times of the roofline's multiply-adds, measured after each layer, in milliseconds for 10^9
    /// operations.
    pub(crate) steadiness: Sides<Times>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) latency: Vec<Latency>,
    /// Whether the run was interrupted.
    #[serde(default)]
    pub(crate) interrupted: bool,
    pub(crate) results: Vec<LayerResult>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) adapter: String,
    pub(crate) device_type: String,
    pub(crate) backend: String,
    pub(crate) driver: String,
    pub(crate) driver_info: String,
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) os: String,
    pub(crate) clock: String,
    pub(crate) date: String,
    /// The command that repeats the run.
    pub(crate) command: String,
}

/// One value for each side; the CPU may be left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Sides<T> {
    pub(crate) gpu: T,
    pub(crate) cpu: Option<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Rates {
    /// 10^9 floating-point operations per second.
    pub(crate) gflops: f64,
    /// 10^9 bytes per second, read and written.
    pub(crate) gbps: f64,
}

impl Rates {
    pub(crate) fn new(roofline: Roofline) -> Self {
        Rates { gflops: roofline.flops / 1e9, gbps: roofline.bytes / 1e9 }
    }

    pub(crate) fn roofline(self) -> Roofline {
        Roofline { flops: self.gflops * 1e9, bytes: self.gbps * 1e9 }
    }
}

/// Times of one run in milliseconds: median, fastest, slowest, and every sample in the order taken.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) ms: f64,
    pub(crate) min_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) samples: usize,
    /// Runs averaged in each sample.
    #[serde(default)]
    pub(crate) reps: u32,
    pub(crate) samples_ms: Vec<f64>,
}

impl Times {
    pub(crate) fn new(timing: &Timing) -> Self {
        Times {
            ms: timing.ms(),
            min_ms: timing.min() * 1e3,
            max_ms: timing.max() * 1e3,
            samples: timing.samples.len(),
            reps: timing.repeats,
            samples_ms: timing.samples.iter().map(|s| s * 1e3).collect(),
        }
    }

    /// Ratio of the 0.9 quantile of the samples to the 0.1 quantile; 1 if it is not finite.
    pub(crate) fn drift(&self) -> f64 {
        let timing = Timing::new(self.samples_ms.clone());
        let drift = timing.quantile(0.9) / timing.quantile(0.1);
        if drift.is_finite() { drift } else { 1.0 }
    }
}

/// Times of one part of the overhead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) times: Times,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerResult {
    pub(crate) name: String,
    /// Floating-point operations of each operation, in units of 10^9, taps on padding included.
    pub(crate) gflop: f64,
    pub(crate) l_out: usize,
    /// `[N, C_in, L]` as measured.
    pub(crate) input: [usize; 3],
    /// `input`, if it differs from the layer's own.
    pub(crate) shrunk_to: Option<[usize; 3]>,
    /// The sweep point, if the layer is part of a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<Point>,
    pub(crate) ops: BTreeMap<Op, Row>,
    #[serde(default)]
    pub(crate) cpu: BTreeMap<Op, Reached>,
}

/// A point of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) axis: String,
    pub(crate) value: usize,
    /// Name of the layer that is swept.
    pub(crate) of: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Measured(Box<Measured>),
    Failed { error: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) reached: Reached,
    pub(crate) kernel: String,
    /// Largest error, as a share of its promised bound.
    pub(crate) bound_used: f64,
    /// Whether the kernel was chosen by times of a tuning.
    pub(crate) tuned: bool,
    /// All candidates of the planner, in its order; empty without `--all-kernels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kernels: Vec<Candidate>,
}

/// Times, and the rates that follow from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reached {
    #[serde(flatten)]
    pub(crate) times: Times,
    pub(crate) gflops: f64,
    pub(crate) gbps: f64,
    /// Operations per byte of operands and result, each moved once.
    pub(crate) flops_per_byte: f64,
    /// The limit of the roofline that applies: `compute` or `memory`.
    pub(crate) limit: String,
    /// Share of that limit that was reached.
    pub(crate) of_limit: f64,
}

impl Reached {
    pub(crate) fn new(timing: &Timing, flops: f64, bytes: f64, rates: Rates) -> Self {
        let (limit, least): (Limit, f64) = rates.roofline().limit(flops, bytes);
        Reached {
            times: Times::new(timing),
            gflops: flops / timing.seconds() / 1e9,
            gbps: bytes / timing.seconds() / 1e9,
            flops_per_byte: flops / bytes,
            limit: limit.name().to_owned(),
            of_limit: least / timing.seconds(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) kernel: String,
    pub(crate) predicted_ms: f64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Measured {
        #[serde(flatten)]
        times: Times,
        bound_used: f64,
    },
    Failed {
        error: String,
    },
}

impl Candidate {
    pub(crate) fn times(&self) -> Option<&Times> {
        match &self.outcome {
            Outcome::Measured { times, .. } => Some(times),
            Outcome::Failed { .. } => None,
        }
    }
}

/// Milliseconds of the fastest candidate.
pub(crate) fn best_ms(kernels: &[Candidate]) -> Option<f64> {
    kernels.iter().filter_map(|c| c.times()).map(|t| t.ms).min_by(f64::total_cmp)
}

impl Measured {
    /// Time of the planner's choice / time of the fastest candidate. `None` if the candidates were not measured.
    pub(crate) fn behind_best(&self) -> Option<f64> {
        let chosen = self.kernels.iter().find(|c| c.kernel == self.kernel)?.times()?;
        Some(chosen.ms / best_ms(&self.kernels)?)
    }

    /// Whether all results of the row are within their bound.
    fn kept(&self) -> bool {
        let broken = |c: &Candidate| matches!(c.outcome, Outcome::Measured { bound_used, .. } if bound_used > 1.0);
        self.bound_used <= 1.0 && !self.kernels.iter().any(broken)
    }
}

impl LayerResult {
    /// The measurement of an operation, if it succeeded.
    pub(crate) fn measured(&self, op: Op) -> Option<&Measured> {
        match self.ops.get(&op) {
            Some(Row::Measured(measured)) => Some(measured),
            _ => None,
        }
    }

    /// CPU time / GPU time. `None` if one of them is missing, or if the layer has no operations to do.
    pub(crate) fn speed_up(&self, op: Op) -> Option<f64> {
        if self.gflop == 0.0 {
            return None;
        }
        Some(self.cpu.get(&op)?.times.ms / self.measured(op)?.reached.times.ms)
    }

    /// The name, marked if the layer was shrunk.
    pub(crate) fn label(&self) -> String {
        let star = if self.shrunk_to.is_some() { "*" } else { "" };
        format!("{}{star}", self.name)
    }
}

impl Meta {
    pub(crate) fn new(gpu: &Gpu, clock: &str) -> Self {
        let info = gpu.adapter_info();
        Meta {
            tool: "conv1d".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: info.name,
            device_type: format!("{:?}", info.device_type),
            backend: info.backend.to_string(),
            driver: info.driver,
            driver_info: info.driver_info,
            cpu: processor(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            clock: clock.to_owned(),
            date: date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())),
            command: std::iter::once("conv1d".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" "),
        }
    }

    /// Whether the adapter runs on the CPU.
    pub(crate) fn software(&self) -> bool {
        self.device_type == "Cpu"
    }
}

impl Results {
    /// Keeps only layers whose name satisfies `keep`, and only these operations.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool, ops: &[Op]) {
        self.results.retain(|layer| keep(&layer.name));
        for layer in &mut self.results {
            layer.ops.retain(|op, _| ops.contains(op));
            layer.cpu.retain(|op, _| ops.contains(op));
        }
        self.results.retain(|layer| !layer.ops.is_empty());
    }

    /// Every measured operation of every layer.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&LayerResult, Op, &Measured)> {
        self.results.iter().flat_map(|layer| {
            layer.ops.keys().filter_map(move |&op| layer.measured(op).map(|measured| (layer, op, measured)))
        })
    }

    /// Means of an operation over all layers that have operations to do. `None` if no such layer was measured.
    pub(crate) fn means(&self, op: Op) -> Option<Means> {
        let rows = || self.results.iter().filter(|l| l.gflop > 0.0 && l.measured(op).is_some());
        let mean = |of: &dyn Fn(&LayerResult) -> Option<f64>| geometric_mean(rows().filter_map(of));
        Some(Means {
            rows: rows().count(),
            gpu: mean(&|l| l.measured(op).map(|m| m.reached.gflops))?,
            cpu: mean(&|l| l.cpu.get(&op).map(|r| r.gflops)),
            speed_up: mean(&|l| l.speed_up(op)),
        })
    }

    /// Describes every operation that failed or exceeded its bound.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for layer in &self.results {
            for (op, row) in &layer.ops {
                let name = format!("{} {}", layer.label(), op.name());
                match row {
                    Row::Failed { error } => failures.push(format!("{name}: {error}")),
                    Row::Measured(m) if !m.kept() => {
                        failures.push(format!("{name}: {:.3} of the bound", worst_share(m)));
                    }
                    Row::Measured(_) => {}
                }
            }
        }
        failures
    }

    /// Reads a file that [`Results::save`] wrote.
    pub(crate) fn load(path: &Path) -> Result<Results, String> {
        let results: Results = read_json(path)?;
        match results.nonsense() {
            Some(nonsense) => Err(format!("{}: {nonsense}", path.display())),
            None => Ok(results),
        }
    }

    /// Describes a value that cannot have been measured, if there is one.
    fn nonsense(&self) -> Option<String> {
        let possible = |value: f64| value > 0.0 && value < 1e12;
        let rates = [Some(self.roofline.gpu), self.roofline.cpu];
        if let Some(rates) = rates.into_iter().flatten().find(|r| !possible(r.gflops) || !possible(r.gbps)) {
            return Some(format!("the roofline is {} GFLOP/s and {} GB/s", rates.gflops, rates.gbps));
        }
        let wrong = |times: &Times| {
            let all = times.samples_ms.iter().chain([&times.ms, &times.min_ms, &times.max_ms]);
            all.copied().find(|&ms| !possible(ms))
        };
        for layer in &self.results {
            let gpu = layer.ops.keys().filter_map(|&op| layer.measured(op)).map(|m| &m.reached);
            if let Some(ms) = gpu.chain(layer.cpu.values()).find_map(|reached| wrong(&reached.times)) {
                return Some(format!("{} took {ms} ms", layer.name));
            }
        }
        None
    }

    /// Writes the results so far; a reader sees the old file or the new one, never a partial one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        write_whole(path, &text)
    }
}

/// How well the planner chose, over the rows whose candidates were measured.
pub(crate) struct Planner {
    rows: usize,
    close: usize,
    mean: f64,
    worst: f64,
}

impl Planner {
    /// A choice within this factor of the fastest kernel counts as equally good.
    const CLOSE: f64 = 1.1;

    pub(crate) fn new(results: &Results) -> Option<Planner> {
        let behind: Vec<f64> = results.measured().filter_map(|(_, _, m)| m.behind_best()).collect();
        Some(Planner {
            rows: behind.len(),
            close: behind.iter().filter(|&&times| times <= Planner::CLOSE).count(),
            mean: geometric_mean(behind.iter().copied())?,
            worst: behind.iter().copied().fold(1.0, f64::max),
        })
    }
}

impl std::fmt::Display for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the planner's choice was within 10% of the fastest kernel in {} of {} rows; it took {} times as long as the fastest (geometric mean), {} at worst",
            self.close,
            self.rows,
            digits(self.mean),
            digits(self.worst)
        )
    }
}

/// Geometric means of an operation: GFLOP/s of both sides, and CPU time / GPU time.
pub(crate) struct Means {
    pub(crate) rows: usize,
    pub(crate) gpu: f64,
    pub(crate) cpu: Option<f64>,
    pub(crate) speed_up: Option<f64>,
}

fn worst_share(m: &Measured) -> f64 {
    let others = m.kernels.iter().filter_map(|c| match c.outcome {
        Outcome::Measured { bound_used, .. } => Some(bound_used),
        Outcome::Failed { .. } => None,
    });
    others.fold(m.bound_used, f64::max)
}

/// Reads a file of JSON.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Replaces a file as a whole: a reader sees the old contents or the new ones.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    conv1d::files::write(path, text.as_bytes()).map_err(|e| e.to_string())
}

/// Geometric mean; `None` without values.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / count as f64).exp())
}

/// About three significant digits.
pub(crate) fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v if v >= 0.1 || v == 0.0 => format!("{v:.3}"),
        v => format!("{v:.4}"),
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// `YYYY-MM-DDThh:mm:ssZ` of seconds since 1970, by Hinnant's days-to-civil algorithm.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A layer whose forward pass has these samples in milliseconds.
    pub(crate) fn layer(name: &str, samples: &[f64]) -> LayerResult {
        let timing = Timing::new(samples.iter().map(|ms| ms / 1e3).collect());
        let rates = Rates { gflops: 100.0, gbps: 10.0 };
        let reached = Reached::new(&timing, 1e6, 1e4, rates);
        let candidate = |kernel: &str, ms: f64| Candidate {
            kernel: kernel.into(),
            predicted_ms: ms,
            outcome: Outcome::Measured { times: Times::new(&Timing::new(vec![ms / 1e3])), bound_used: 0.5 },
        };
        let measured = Measured {
            reached: reached.clone(),
            kernel: "direct/4x4".into(),
            bound_used: 0.25,
            tuned: false,
            kernels: vec![candidate("direct/4x4", 3.0), candidate("tiled/8x8", 2.0)],
        };
        LayerResult {
            name: name.into(),
            gflop: 1e-3,
            l_out: 10,
            input: [1, 2, 10],
            shrunk_to: None,
            sweep: None,
            ops: [(Op::Fwd, Row::Measured(Box::new(measured)))].into(),
            cpu: [(Op::Fwd, reached)].into(),
        }
    }

    pub(crate) fn results(layers: Vec<LayerResult>) -> Results {
        let rates = Rates { gflops: 100.0, gbps: 10.0 };
        Results {
            meta: Meta { adapter: "an <adapter>".into(), ..Meta::default() },
            roofline: Sides { gpu: rates, cpu: Some(rates) },
            steadiness: Sides::default(),
            latency: vec![Latency { what: "a round trip".into(), times: Times::default() }],
            interrupted: false,
            results: layers,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut failed = layer("b", &[1.0]);
        failed.ops.insert(Op::Wgrad, Row::Failed { error: "lost".into() });
        failed.sweep = Some(Point { axis: "length".into(), value: 10, of: "b".into() });
        let results = results(vec![layer("a", &[1.0, 2.0, 4.0]), failed]);
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
        // The format that other programs write too.
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["results"][0]["ops"]["fwd"]["ms"], 2.0);
        assert_eq!(results.failures(), ["b wgrad: lost"]);
    }

    #[test]
    fn only_plain_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_whole(folder.path(), "text").is_err());
        let file = folder.path().join("results");
        write_whole(&file, "old").unwrap();
        write_whole(&file, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            write_whole(&link, "through the link").unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "through the link");
            let socket = folder.path().join("socket");
            let _open = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert!(write_whole(&socket, "text").unwrap_err().contains("not a plain file"));
        }
    }

    #[test]
    fn nonsense_is_told() {
        assert_eq!(results(vec![layer("a", &[1.0])]).nonsense(), None);
        for ms in [0.0, -1.0, 1e300] {
            let nonsense = results(vec![layer("a", &[ms])]).nonsense().unwrap();
            assert!(nonsense.starts_with("a took "), "{nonsense}");
        }
        let mut none = results(vec![]);
        none.roofline.gpu.gbps = 0.0;
        assert!(none.nonsense().is_some());
    }

    #[test]
    fn rows_know_their_limit() {
        let results = results(vec![layer("a", &[1.0, 2.0, 4.0])]);
        let (_, _, measured) = results.measured().next().unwrap();
        // 1e6 operations at 100 GFLOP/s are 10 us of 2 ms.
        assert_eq!(measured.reached.limit, "compute");
        assert!((measured.reached.of_limit - 0.005).abs() < 1e-12);
        assert_eq!(measured.behind_best(), Some(1.5));
    }

    #[test]
    fn a_broken_promise_of_any_kernel_is_a_failure() {
        let mut layer = layer("a", &[1.0]);
        if let Some(Row::Measured(m)) = layer.ops.get_mut(&Op::Fwd) {
            m.kernels[1].outcome = Outcome::Measured { times: Times::default(), bound_used: 1.5 };
        }
        assert_eq!(results(vec![layer]).failures(), ["a fwd: 1.500 of the bound"]);
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn three_digits() {
        assert_eq!([0.01234, 0.1234, 1.234, 12.34, 1234.5].map(digits), ["0.0123", "0.123", "1.23", "12.3", "1234"]);
        assert_eq!(geometric_mean([2.0, 8.0]), Some(4.0));
        assert_eq!(geometric_mean([]), None);
    }
}
