//! What the benchmark found: as a table and as JSON.

use crate::bench::Op;
use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use conv1d::Timing;
use conv1d::{Gpu, wgpu};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Samples below which a row is marked.
const FULL_SAMPLES: usize = 7;

/// All results, and on what they were measured.
pub(crate) struct Report {
    meta: Value,
    software: bool,
    head: String,
    pub(crate) layers: Vec<LayerReport>,
}

pub(crate) struct LayerReport {
    pub(crate) name: String,
    pub(crate) gflop: f64,
    pub(crate) l_out: usize,
    pub(crate) shrunk_to: Option<[usize; 3]>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) op: Op,
    pub(crate) measured: Result<Measured, String>,
}

pub(crate) struct Measured {
    pub(crate) flops: f64,
    pub(crate) bytes: f64,
    pub(crate) kernel: String,
    pub(crate) gpu: Timing,
    pub(crate) cpu: Option<Timing>,
    /// Largest error over its promised bound.
    pub(crate) bound_used: f64,
    /// Whether the kernel was chosen by what was measured before.
    pub(crate) tuned: bool,
}

impl Measured {
    fn speed_up(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.seconds() / self.gpu.seconds())
    }
}

impl Report {
    pub(crate) fn new(gpu: &Gpu, clock: &str) -> Self {
        let info = gpu.adapter_info();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = processor();
        let head = format!(
            "conv1d {} on {} ({:?}, {}, {} {}) against {cpu} ({threads} threads)\ntimed from {clock}",
            env!("CARGO_PKG_VERSION"),
            info.name,
            info.device_type,
            info.backend,
            info.driver,
            info.driver_info,
        );
        let meta = json!({
            "tool": "conv1d",
            "version": env!("CARGO_PKG_VERSION"),
            "adapter": info.name,
            "device_type": format!("{:?}", info.device_type),
            "backend": info.backend.to_string(),
            "driver": info.driver,
            "driver_info": info.driver_info,
            "cpu": cpu,
            "threads": threads,
            "clock": clock,
            "date": date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())),
        });
        Report { meta, software: info.device_type == wgpu::DeviceType::Cpu, head, layers: Vec::new() }
    }

    pub(crate) fn print_head(&self) {
        say!("{}", self.head);
        if self.software {
            say!("This is a SOFTWARE adapter: the processor acting as a GPU. Its times say nothing about a real one.");
        }
    }

    pub(crate) fn print_table(&self) {
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS_ONLY_CONDENSED);
        table.set_header([
            "layer",
            "op",
            "GPU ms",
            "GFLOP/s",
            "GB/s",
            "kernel",
            "CPU ms",
            "CPU GFLOP/s",
            "speed-up",
            "bound used",
        ]);
        let (mut fewer, mut failed) = (false, Vec::new());
        for layer in &self.layers {
            let star = if layer.shrunk_to.is_some() { "*" } else { "" };
            for entry in &layer.entries {
                let name = format!("{}{star}", layer.name);
                match &entry.measured {
                    Ok(m) => {
                        fewer |= m.gpu.samples < FULL_SAMPLES;
                        table.add_row(row(&name, entry.op, m));
                        if m.bound_used > 1.0 {
                            failed.push(format!("{name} {}: {:.3} of the bound", entry.op.name(), m.bound_used));
                        }
                    }
                    Err(error) => {
                        table.add_row([name.as_str(), entry.op.name(), "failed"]);
                        failed.push(format!("{name} {}: {error}", entry.op.name()));
                    }
                }
            }
        }
        say!("{table}");
        self.print_notes(fewer);
        for line in &failed {
            say!("FAILED {line}");
        }
        let rows: usize = self.layers.iter().map(|l| l.entries.len()).sum();
        if failed.is_empty() {
            say!("{rows} rows, every one checked and within its bound");
        } else {
            say!("{rows} rows, {} FAILED", failed.len());
        }
    }

    fn print_notes(&self, fewer: bool) {
        let shrunk = self.layers.iter().filter_map(|l| l.shrunk_to.map(|to| format!("{} {to:?}", l.name)));
        let shrunk: Vec<String> = shrunk.collect();
        if !shrunk.is_empty() {
            say!("* shrunk to the time budget (--budget), input [N, C_in, L]: {}", shrunk.join(", "));
        }
        if fewer {
            say!("~ fewer than 7 samples of 50 ms in the time budget");
        }
        if self.software {
            say!("SOFTWARE adapter: the speed-up compares two programs on the same processor, not a GPU with it.");
        }
    }

    /// Whether every row was measured and kept its promise.
    pub(crate) fn all_kept(&self) -> bool {
        let mut entries = self.layers.iter().flat_map(|l| &l.entries);
        entries.all(|e| e.measured.as_ref().is_ok_and(|m| m.bound_used <= 1.0))
    }

    /// Writes what there is; a reader sees the old file or the new one, never a half.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let place = |e: std::io::Error| format!("{}: {e}", path.display());
        let results: Vec<Value> = self.layers.iter().map(LayerReport::json).collect();
        let text = serde_json::to_string_pretty(&json!({ "meta": self.meta, "results": results }));
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        std::fs::write(&temporary, text.map_err(|e| e.to_string())?).map_err(place)?;
        std::fs::rename(&temporary, path).map_err(|e| {
            drop(std::fs::remove_file(&temporary));
            place(e)
        })
    }
}

impl LayerReport {
    fn json(&self) -> Value {
        let (mut ops, mut cpu) = (Map::new(), Map::new());
        for entry in &self.entries {
            let op = entry.op.name();
            match &entry.measured {
                Ok(m) => {
                    let mut value = timing(&m.gpu, m.flops);
                    value["gbps"] = json!(m.bytes / m.gpu.seconds() / 1e9);
                    value["kernel"] = json!(m.kernel);
                    value["bound_used"] = json!(m.bound_used);
                    value["tuned"] = json!(m.tuned);
                    ops.insert(op.into(), value);
                    if let Some(t) = &m.cpu {
                        cpu.insert(op.into(), timing(t, m.flops));
                    }
                }
                Err(error) => {
                    ops.insert(op.into(), json!({ "error": error }));
                }
            }
        }
        json!({
            "name": self.name,
            "gflop": self.gflop,
            "l_out": self.l_out,
            "shrunk_to": self.shrunk_to,
            "ops": ops,
            "cpu": cpu,
        })
    }
}

fn timing(t: &Timing, flops: f64) -> Value {
    json!({ "ms": t.ms(), "min_ms": t.min_ms(), "gflops": flops / t.seconds() / 1e9, "samples": t.samples })
}

fn row(name: &str, op: Op, m: &Measured) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mark = if m.gpu.samples < FULL_SAMPLES { "~" } else { "" };
    let cpu = |f: &dyn Fn(&Timing) -> String| m.cpu.as_ref().map_or_else(String::new, f);
    vec![
        Cell::new(name),
        Cell::new(op.name()),
        right(format!("{mark}{}", digits(m.gpu.ms()))),
        right(digits(m.flops / m.gpu.seconds() / 1e9)),
        right(digits(m.bytes / m.gpu.seconds() / 1e9)),
        Cell::new(&m.kernel),
        right(cpu(&|t| digits(t.ms()))),
        right(cpu(&|t| digits(m.flops / t.seconds() / 1e9))),
        right(m.speed_up().map_or_else(String::new, |s| format!("{}x", digits(s)))),
        right(format!("{:.3}", m.bound_used)),
    ]
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
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
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn three_digits() {
        assert_eq!([0.01234, 1.234, 12.34, 1234.5].map(digits), ["0.012", "1.23", "12.3", "1234"]);
    }
}
