//! `conv1d check`: runs cases exported from PyTorch with every kernel.

use crate::{Outcome, adapters};
use clap::Args;
use conv1d::reference::Exact;
use conv1d::suite::{Answers, Data, LayerSpec};
use conv1d::{Gpu, Operation, PaddingMode, Plan, PlanOptions};
use indicatif::ProgressBar;
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// JSON lists of cases; their tensor files are relative to the list
    #[arg(required = true)]
    index: Vec<PathBuf>,
    /// Use the adapter whose name contains this text
    #[arg(long)]
    adapter: Option<String>,
    /// Run only this kernel
    #[arg(long)]
    kernel: Option<String>,
    /// Compile the shaders with checks of every index
    #[arg(long)]
    checked: bool,
}

/// A case, as an index file lists it.
#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    stride: usize,
    dilation: usize,
    groups: usize,
    pad_left: usize,
    pad_right: usize,
    #[serde(default)]
    padding_mode: Option<String>,
    transposed: bool,
    #[serde(default)]
    output_padding: usize,
    batched: bool,
    tensors: BTreeMap<String, Vec<usize>>,
    file: PathBuf,
}

/// Totals over all runs.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    runs: u64,
    values: u64,
    failures: u64,
    /// Largest share of the bound, and the element that used it.
    worst: (f64, String),
}

pub(crate) fn run(options: &Options) -> Outcome {
    let gpu = adapters::open(options.adapter.as_deref(), options.checked).map_err(|e| e.to_string())?;
    let mut tally = Tally::default();
    for path in &options.index {
        check_index(&gpu, path, options.kernel.as_deref(), &mut tally)?;
    }
    if tally.cases == 0 {
        return Err("there are no cases in the index".into());
    }
    if tally.runs == 0 {
        return Err("the kernel supports none of the operations".into());
    }
    let (share, element) = &tally.worst;
    if !element.is_empty() {
        say!("worst: {element}");
    }
    let Tally { cases, runs, values, failures, .. } = tally;
    let verdict = if failures == 0 { "all within the bound".into() } else { format!("{failures} runs FAILED") };
    say!("{cases} cases, {runs} kernel runs, {values} values: {verdict} (largest share used {share:.3})");
    Ok(failures == 0)
}

fn check_index(gpu: &Gpu, path: &Path, kernel: Option<&str>, tally: &mut Tally) -> Result<(), String> {
    let place = |e: String| format!("{}: {e}", path.display());
    let text = std::fs::read(path).map_err(|e| place(e.to_string()))?;
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).map_err(|e| place(e.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut files = HashMap::new();
    let bar = ProgressBar::new(cases.len() as u64);
    for (number, value) in cases.into_iter().enumerate() {
        let id = value.get("id").and_then(|id| id.as_str()).map_or(format!("case {number}"), str::to_owned);
        let at = |e: String| place(format!("{id}: {e}"));
        let case: Case = serde_json::from_value(value).map_err(|e| at(e.to_string()))?;
        let bytes = match files.entry(case.file.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let file = folder.join(&case.file);
                new.insert(std::fs::read(&file).map_err(|e| at(format!("{}: {e}", file.display())))?)
            }
        };
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| at(format!("{}: {e}", case.file.display())))?;
        check_case(gpu, &case, &tensors, kernel, tally, &bar).map_err(at)?;
        tally.cases += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn check_case(
    gpu: &Gpu,
    case: &Case,
    tensors: &SafeTensors<'_>,
    kernel: Option<&str>,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), String> {
    let spec = case.spec()?;
    let (layer, shapes) = spec.layer().map_err(|e| e.to_string())?;
    let length = |shape: &[usize]| shape.iter().product::<usize>();
    let data = Data {
        x: case.required(tensors, "x", length(&shapes.input))?,
        w: case.required(tensors, "w", length(&shapes.weight))?,
        b: case.optional(tensors, "b", length(&shapes.bias))?,
        dy: case.optional(tensors, "dy", length(&shapes.output))?.unwrap_or_else(|| vec![0.0; length(&shapes.output)]),
    };
    let answers = [
        (Operation::Forward, "y", length(&shapes.output)),
        (Operation::InputGradient, "dx", length(&shapes.input)),
        (Operation::WeightGradient, "dw", length(&shapes.weight)),
        (Operation::BiasGradient, "db", length(&shapes.bias)),
    ];
    for (operation, name, length) in answers {
        let Some(answer) = case.optional(tensors, name, length)? else { continue };
        let exact =
            Answers::new(layer, spec.input(), operation, &data).and_then(|a| a.all()).map_err(|e| e.to_string())?;
        tally.record(&format!("{} {name} by the oracle", case.id), &answer, None, &exact, bar);
        for plan in plans(gpu, &spec, operation, kernel)? {
            let what = format!("{} {name} by {}", case.id, plan.variant());
            let got = data.run(gpu, &plan).and_then(|y| y.read()).map_err(|e| format!("{what}: {e}"))?;
            tally.record(&what, &answer, Some(&got), &exact, bar);
            tally.runs += 1;
        }
    }
    Ok(())
}

/// A plan for every variant of every kernel that supports the operation.
fn plans(gpu: &Gpu, spec: &LayerSpec, operation: Operation, kernel: Option<&str>) -> Result<Vec<Plan>, String> {
    let (layer, _) = spec.layer().map_err(|e| e.to_string())?;
    let plan = |options: &PlanOptions| Plan::new(layer, operation, spec.input(), gpu.caps(), options);
    let chosen = match kernel {
        // The bias gradient has only one kernel.
        Some(kernel) if operation != Operation::BiasGradient => plan(&PlanOptions::default().kernel(kernel)),
        _ => plan(&PlanOptions::default()),
    };
    let chosen = match chosen {
        // The requested kernel does not support this operation.
        Err(conv1d::Error::Unsupported { .. }) if kernel.is_some() => return Ok(Vec::new()),
        chosen => chosen.map_err(|e| e.to_string())?,
    };
    let forced = chosen.candidates().iter().map(|c| plan(&PlanOptions::default().kernel(c.variant.to_string())));
    forced.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

impl Tally {
    /// Compares results with PyTorch's answers, which were rounded to `f32` once. Without results, compares the oracle itself.
    fn record(&mut self, what: &str, answers: &[f32], got: Option<&[f32]>, exact: &[Exact], bar: &ProgressBar) {
        let mut worst = (0.0_f64, 0);
        for (index, (&answer, exact)) in answers.iter().zip(exact).enumerate() {
            let rounding = f64::from(answer.abs()) * f64::from(f32::EPSILON) / 2.0 + f64::from(f32::MIN_POSITIVE);
            let (value, allowed) = match got {
                Some(got) => (f64::from(got[index]), exact.bound() + rounding),
                None => (exact.value, rounding),
            };
            let off = (value - f64::from(answer)).abs();
            let share = if off == 0.0 { 0.0 } else { off / allowed };
            let share = if share.is_nan() { f64::INFINITY } else { share };
            if share > worst.0 {
                worst = (share, index);
            }
        }
        self.values += answers.len() as u64;
        let (share, index) = worst;
        let element = || {
            let value = got.map_or(exact[index].value, |got| got[index].into());
            let (answer, bound) = (answers[index], exact[index].bound());
            format!("{what}, element {index}: got {value:e}, expected {answer:e}, bound {bound:e}")
        };
        if share > 1.0 {
            self.failures += 1;
            bar.println(element());
        }
        if share > self.worst.0 && (got.is_some() || share > 1.0) {
            self.worst = (share, element());
        }
    }
}

impl Case {
    fn spec(&self) -> Result<LayerSpec, String> {
        let shape = |name: &str| self.tensors.get(name).ok_or(format!("tensor {name} is missing"));
        let (n, c_in, l) = match (shape("x")?.as_slice(), self.batched) {
            (&[n, c, l], true) => (n, c, l),
            (&[c, l], false) => (1, c, l),
            (other, _) => return Err(format!("the shape {other:?} of x does not match batched: {}", self.batched)),
        };
        let &[first, second, k] = shape("w")?.as_slice() else {
            return Err(format!("w has the shape {:?}, expected three dimensions", self.tensors["w"]));
        };
        let c_out = if self.transposed { second.saturating_mul(self.groups) } else { first };
        let spec = LayerSpec {
            name: self.id.clone(),
            n,
            c_in,
            l,
            c_out,
            k,
            stride: self.stride,
            pad_left: self.pad_left,
            pad_right: self.pad_right,
            dilation: self.dilation,
            groups: self.groups,
            transposed: self.transposed,
            output_padding: self.output_padding,
            padding_mode: self
                .padding_mode
                .as_deref()
                .map_or(Ok(PaddingMode::Zeros), str::parse)
                .map_err(|e: conv1d::Error| e.to_string())?,
        };
        let (_, shapes) = spec.layer().map_err(|e| e.to_string())?;
        if shapes.weight != [first, second, k] {
            return Err(format!("w has the shape {:?}, expected {:?}", [first, second, k], shapes.weight));
        }
        Ok(spec)
    }

    fn required(&self, tensors: &SafeTensors<'_>, name: &str, length: usize) -> Result<Vec<f32>, String> {
        self.optional(tensors, name, length)?.ok_or(format!("tensor {name} is missing"))
    }

    /// Reads a tensor of the case: `ID/NAME` in a shared file, or `NAME` in the case's own file.
    fn optional(&self, tensors: &SafeTensors<'_>, name: &str, length: usize) -> Result<Option<Vec<f32>>, String> {
        if !self.tensors.contains_key(name) {
            return Ok(None);
        }
        let view = tensors
            .tensor(&format!("{}/{name}", self.id))
            .or_else(|_| tensors.tensor(name))
            .map_err(|e| format!("{name}: {e}"))?;
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("{name} is {:?}, expected F32", view.dtype()));
        }
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if values.len() != length {
            return Err(format!("{name} has {} values, expected {length}", values.len()));
        }
        Ok(Some(values))
    }
}
