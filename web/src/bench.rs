//! The benchmark: layers of published models on the visitor's device, every result checked and compared with the roofline.

use crate::Engine;
use conv1d::suite::{Answers, Data, LayerSpec, Runner, layers};
use conv1d::{Conv1d, Effort, Gpu, Operation, Padding, PlanOptions, Roofline, Timer};
use serde::Serialize;
use std::time::Duration;
use wasm_bindgen::prelude::*;

/// Products that the oracle computes to check one result. This blocks the page for some tens of milliseconds.
const ORACLE_TERMS: u64 = 2_000_000;
/// Effort of each of the roofline's two measurements.
const ROOFLINE: Effort = Effort { total: Duration::from_millis(500), ..Effort::FULL };
/// How long to run one easy layer first; its rate decides how large a layer may be.
const PILOT: Duration = Duration::from_millis(200);
/// A layer of any shape is expected to reach a quarter of the rate of an easy one, and runs about seven times.
const AFFORDABLE: f64 = 1.0 / 4.0 / 7.0;

/// Measures layers on a device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Bench {
    gpu: Gpu,
    timer: Timer,
    layers: Vec<LayerSpec>,
    roofline: Roofline,
    effort: Effort,
    most_flops: f64,
}

/// The measurement of one operation of a layer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    operation: &'static str,
    /// `[N, C_in, L]` as measured.
    input: [usize; 3],
    /// `[N, C_in, L]` of the model.
    full: [usize; 3],
    /// Whether `input` is smaller than `full`.
    shrunk: bool,
    kernel: String,
    /// Median of the samples in milliseconds; below it the fastest and the slowest.
    ms: f64,
    fastest_ms: f64,
    slowest_ms: f64,
    samples: usize,
    gflop: f64,
    gflops: f64,
    gbps: f64,
    /// Operations per byte.
    intensity: f64,
    /// The limit of the roofline that applies: `compute` or `memory`.
    limit: &'static str,
    /// Share of that limit that was reached.
    reached: f64,
    /// The largest error, as a share of the promised bound.
    error: f64,
}

/// Peak rates of the device, as measured.
#[derive(Debug, Clone, Copy, Serialize)]
struct Rates {
    gflops: f64,
    gbps: f64,
}

/// Operations measured of a layer. All three have the same FLOP count.
const OPERATIONS: [Operation; 3] = [Operation::Forward, Operation::InputGradient, Operation::WeightGradient];

fn operation(name: &str) -> Option<Operation> {
    OPERATIONS.into_iter().find(|operation| operation.name() == name)
}

#[wasm_bindgen]
impl Bench {
    /// Measures the peak rates of the device. `seconds` is the time for the samples of each row.
    pub async fn open(engine: &Engine, seconds: f64) -> Result<Bench, JsError> {
        Ok(Bench::new(engine.gpu.clone(), seconds).await?)
    }

    /// The names of the layers.
    pub fn layers(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.name.clone()).collect()
    }

    /// Peak rates of the device: `{gflops, gbps}`.
    pub fn roofline(&self) -> Result<JsValue, JsError> {
        let rates = Rates { gflops: self.roofline.flops / 1e9, gbps: self.roofline.bytes / 1e9 };
        Ok(serde_wasm_bindgen::to_value(&rates)?)
    }

    /// Highest rate in GFLOP/s at this many operations per byte.
    #[wasm_bindgen(js_name = roofAt)]
    pub fn roof_at(&self, intensity: f64) -> f64 {
        self.roofline.at(intensity) / 1e9
    }

    /// Measures an operation (`forward`, `input gradient`, `weight gradient`) of a layer.
    pub async fn measure(&self, layer: &str, operation: &str) -> Result<JsValue, JsError> {
        let unknown = |what: &str| JsError::new(&format!("there is no {what}"));
        let spec = self.layers.iter().find(|spec| spec.name == layer).ok_or_else(|| unknown(layer))?;
        let operation = crate::bench::operation(operation).ok_or_else(|| unknown(operation))?;
        Ok(serde_wasm_bindgen::to_value(&self.row(spec, operation).await?)?)
    }
}

impl Bench {
    async fn new(gpu: Gpu, seconds: f64) -> conv1d::Result<Bench> {
        let timer = Timer::new(&gpu);
        let roofline = gpu.roofline_async(ROOFLINE).await?;
        // NaN, negative and longer times become a minute.
        let total = Duration::try_from_secs_f64(seconds.min(60.0)).unwrap_or(Duration::from_secs(60));
        let effort = Effort { fewest: 3, sample: Effort::FULL.sample.min(total / 8), ..Effort::within(total) };
        let mut bench = Bench { gpu, timer, layers: layers(), roofline, effort, most_flops: f64::INFINITY };
        bench.most_flops = bench.pilot().await? * total.as_secs_f64() * AFFORDABLE;
        Ok(bench)
    }

    /// FLOP per second of a layer that is easy for the device.
    async fn pilot(&self) -> conv1d::Result<f64> {
        let (conv, input) = (Conv1d::new(64, 64, 3).padding(Padding::Same), [1, 64, 2048]);
        let plan = self.gpu.plan(conv, Operation::Forward, input, &PlanOptions::default())?;
        let runner = Runner::new(&self.gpu, plan, &Data::new(&conv.shapes(input)?))?;
        let timing = self.timer.measure_async(&runner.bound, Effort::within(PILOT)).await?;
        Ok(conv.cost(input)?.flops as f64 / timing.seconds())
    }

    async fn row(&self, layer: &LayerSpec, operation: Operation) -> conv1d::Result<Row> {
        let spec = layer.shrunk(self.most_flops);
        let (convolution, shapes) = spec.layer()?;
        let plan = self.gpu.plan(convolution, operation, spec.input(), &PlanOptions::default())?;
        let data = Data::new(&shapes);
        let runner = Runner::new(&self.gpu, plan, &data)?;
        let got = runner.output.read_async().await?;
        let answers = Answers::new(convolution, spec.input(), operation, &data)?;
        let error = answers.largest_share_within(&got, ORACLE_TERMS)?;
        let timing = self.timer.measure_async(&runner.bound, self.effort).await?;
        let (flops, bytes, seconds) = (spec.flops(), runner.bytes(), timing.seconds());
        let (limit, least) = self.roofline.limit(flops, bytes);
        Ok(Row {
            name: spec.name.clone(),
            operation: operation.name(),
            input: spec.input(),
            full: layer.input(),
            shrunk: spec != *layer,
            kernel: runner.plan.variant().to_string(),
            ms: timing.ms(),
            fastest_ms: timing.min() * 1e3,
            slowest_ms: timing.max() * 1e3,
            samples: timing.samples.len(),
            gflop: flops / 1e9,
            gflops: flops / seconds / 1e9,
            gbps: bytes / seconds / 1e9,
            intensity: flops / bytes,
            limit: limit.name(),
            reached: least / seconds,
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_checked_and_consistent() {
        let gpu = Gpu::new().unwrap();
        let bench = pollster::block_on(Bench::new(gpu, 0.2)).unwrap();
        assert_eq!(bench.layers().len(), 61);
        let spec = bench.layers.iter().find(|spec| spec.name == "financial_k21").unwrap();
        for operation in OPERATIONS {
            let row = pollster::block_on(bench.row(spec, operation)).unwrap();
            assert!(row.error <= 1.0, "{row:?}");
            assert!(row.fastest_ms <= row.ms && row.ms <= row.slowest_ms && row.samples >= 3, "{row:?}");
            let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
            assert!(near(row.gflops * row.ms, row.gflop * 1e3), "{row:?}");
            assert!(near(row.gflops / row.gbps, row.intensity), "{row:?}");
            let roof = bench.roofline.at(row.intensity) / 1e9;
            assert!(near(row.gflops / roof, row.reached), "{row:?}");
        }
        assert_eq!(operation("weight gradient"), Some(Operation::WeightGradient));
        assert_eq!(operation("bias gradient"), None);
    }
}
