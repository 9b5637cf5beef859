//! The benchmark: layers of published models on the visitor's device, every result checked, held against what the device can do.

use crate::Engine;
use conv1d::suite::{Answers, Data, LayerSpec, Runner, layers};
use conv1d::{Conv1d, Effort, Gpu, Operation, Padding, PlanOptions, Roofline, Timer};
use serde::Serialize;
use std::time::Duration;
use wasm_bindgen::prelude::*;

/// Products of the oracle that check one result. It holds up the page, for some tens of milliseconds.
const ORACLE_TERMS: u64 = 2_000_000;
/// How long to measure what the device can do at most: two figures.
const ROOFLINE: Effort = Effort { total: Duration::from_millis(500), ..Effort::FULL };
/// How long to run one layer first, to see what can be afforded.
const PILOT: Duration = Duration::from_millis(200);
/// A layer of any shape can be expected to reach a quarter of what an easy one does, and is run about seven times.
const AFFORDABLE: f64 = 1.0 / 4.0 / 7.0;

/// What measures layers.
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

/// One operation of a layer, as measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    operation: &'static str,
    /// `[N, C_in, L]` as measured.
    input: [usize; 3],
    /// The model's.
    full: [usize; 3],
    /// Whether it is more.
    shrunk: bool,
    kernel: String,
    /// Median, and the least and the most.
    ms: f64,
    fastest_ms: f64,
    slowest_ms: f64,
    samples: usize,
    gflop: f64,
    gflops: f64,
    gbps: f64,
    /// Operations for each byte.
    intensity: f64,
    /// What is met first: `compute` or `memory`.
    limit: &'static str,
    /// Share of it that was reached.
    reached: f64,
    /// The largest error, as a share of the promised bound.
    error: f64,
}

/// What the device can do at most.
#[derive(Debug, Clone, Copy, Serialize)]
struct Rates {
    gflops: f64,
    gbps: f64,
}

/// What is measured of a layer. They have the same number of operations.
const OPERATIONS: [Operation; 3] = [Operation::Forward, Operation::InputGradient, Operation::WeightGradient];

fn operation(name: &str) -> Option<Operation> {
    OPERATIONS.into_iter().find(|operation| operation.name() == name)
}

#[wasm_bindgen]
impl Bench {
    /// Measures what the device can do at most. `seconds` are for the samples of each row.
    pub async fn open(engine: &Engine, seconds: f64) -> Result<Bench, JsError> {
        Ok(Bench::new(engine.gpu.clone(), seconds).await?)
    }

    /// The names of the layers.
    pub fn layers(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.name.clone()).collect()
    }

    /// What the device can do at most: `{gflops, gbps}`.
    pub fn roofline(&self) -> Result<JsValue, JsError> {
        let rates = Rates { gflops: self.roofline.flops / 1e9, gbps: self.roofline.bytes / 1e9 };
        Ok(serde_wasm_bindgen::to_value(&rates)?)
    }

    /// Highest rate in GFLOP/s for so many operations on each byte.
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
        // NaN and what no clock can count end as a minute.
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
