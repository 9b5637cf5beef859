//! `conv1d verify`: checks the promised error bounds on this adapter, over a built-in grid of layers.

use crate::{Outcome, adapters};
use clap::Args;
use conv1d::reference::Exact;
use conv1d::suite::{Answers, Data};
use conv1d::{Conv1d, ConvTranspose1d, Gpu, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions};
use indicatif::ProgressBar;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Use the adapter whose name contains this text
    #[arg(long)]
    adapter: Option<String>,
    /// Compile the shaders with checks of every index
    #[arg(long)]
    checked: bool,
}

/// Layers and input shapes: every padding mode, strides and dilations with and without common factors, groups, lengths
/// around the edges of tiles, kernels longer than the input, the empty batch, transposed convolutions.
fn grid() -> Vec<(Layer, [usize; 3])> {
    let mut grid: Vec<(Layer, [usize; 3])> = Vec::new();
    let modes = [
        PaddingMode::Zeros,
        PaddingMode::Constant(0.5),
        PaddingMode::Reflect,
        PaddingMode::Symmetric,
        PaddingMode::Replicate,
        PaddingMode::Circular,
    ];
    for mode in modes {
        for (stride, dilation) in [(1, 1), (2, 1), (3, 2), (2, 4)] {
            for padding in [Padding::both(3), Padding::Same, Padding::Causal] {
                let conv = Conv1d::new(6, 4, 3).groups(2).stride(stride).dilation(dilation);
                grid.push((conv.padding(padding).padding_mode(mode).into(), [2, 6, 23]));
            }
        }
    }
    for length in [63, 64, 65, 255, 256, 257, 1030] {
        grid.push((Conv1d::new(3, 9, 3).padding(Padding::Same).into(), [2, 3, length]));
        grid.push((Conv1d::new(5, 5, 4).groups(5).padding(Padding::Causal).into(), [2, 5, length]));
        grid.push((ConvTranspose1d::new(4, 6, 8).stride(4).padding(Padding::both(2)).into(), [2, 4, length]));
    }
    grid.push((Conv1d::new(2, 3, 9).padding(Padding::both(6)).into(), [2, 2, 4]));
    grid.push((Conv1d::new(3, 4, 3).into(), [0, 3, 10]));
    grid.push((Conv1d::new(1, 8, 251).into(), [2, 1, 700]));
    grid.push((Conv1d::new(70, 40, 5).stride(2).into(), [2, 70, 90]));
    grid.push((Conv1d::new(300, 9, 300).into(), [1, 300, 305]));
    grid.push((ConvTranspose1d::new(3, 4, 3).stride(4).dilation(3).output_padding(2).into(), [2, 3, 40]));
    grid.push((ConvTranspose1d::new(64, 1, 16).stride(8).into(), [1, 64, 40]));
    grid
}

pub(crate) fn run(options: &Options) -> Outcome {
    let gpu = adapters::open(options.adapter.as_deref(), options.checked).map_err(|e| e.to_string())?;
    let info = gpu.adapter_info();
    say!("conv1d {} on {} ({:?}, {})", env!("CARGO_PKG_VERSION"), info.name, info.device_type, info.backend);
    say!("driver: {} {}", info.driver, info.driver_info);
    say!("shaders: {}", if options.checked { "checked" } else { "unchecked" });

    let grid = grid();
    let bar = ProgressBar::new(grid.len() as u64);
    let (mut runs, mut values, mut failures) = (0_u64, 0_u64, 0_u64);
    let mut largest = Worst { share: 0.0, description: String::new() };
    for (layer, input) in &grid {
        for operation in Operation::ALL {
            let result = verify(&gpu, *layer, *input, operation).map_err(|e| format!("{layer:?} {input:?}: {e}"))?;
            for trial in result {
                runs += 1;
                values += trial.values as u64;
                if !trial.repeats {
                    failures += 1;
                    bar.println(format!("two runs differ: {}", trial.worst.description));
                }
                if trial.worst.share > 1.0 {
                    failures += 1;
                    bar.println(&trial.worst.description);
                }
                if trial.worst.share >= largest.share {
                    largest = trial.worst;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say!("{} layers, {runs} kernel runs, {values} values, each run twice", grid.len());
    say!("worst: {}", largest.description);
    if failures > 0 {
        say!("FAILED: {failures} checks of the bound or of repeatability");
        return Ok(false);
    }
    say!("all within the promised bound, and bit-equal when repeated");
    Ok(true)
}

struct Trial {
    values: usize,
    repeats: bool,
    worst: Worst,
}

/// Runs an operation twice with every variant of every kernel.
fn verify(gpu: &Gpu, layer: Layer, input: [usize; 3], operation: Operation) -> conv1d::Result<Vec<Trial>> {
    let shapes = layer.shapes(input)?;
    let data = Data::new(&shapes);
    let exact = Answers::new(layer, input, operation, &data)?.all()?;
    let chosen = Plan::new(layer, operation, input, gpu.caps(), &PlanOptions::default())?;
    let mut trials = Vec::new();
    for candidate in chosen.candidates() {
        let options = PlanOptions::default().kernel(candidate.variant.to_string());
        let plan = Plan::new(layer, operation, input, gpu.caps(), &options)?;
        let (first, second) = (data.run(gpu, &plan)?.read()?, data.run(gpu, &plan)?.read()?);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let what = format!("{} of {layer:?} on {input:?} by {}", operation.name(), plan.variant());
        let none = Worst { share: 0.0, description: what.clone() };
        trials.push(Trial {
            values: first.len(),
            repeats: bits(&first) == bits(&second),
            worst: worst(&first, &exact, &what).unwrap_or(none),
        });
    }
    Ok(trials)
}

/// The element of a result that uses the largest share of its bound.
#[derive(Debug, Clone, PartialEq)]
struct Worst {
    share: f64,
    description: String,
}

/// Finds the element that uses the largest share of its bound.
fn worst(got: &[f32], exact: &[Exact], what: &str) -> Option<Worst> {
    let shares = got.iter().zip(exact).map(|(&got, exact)| exact.used(got)).enumerate();
    let (index, share) = shares.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (e, got) = (&exact[index], got[index]);
    let description = format!(
        "{what}, element {index}: got {got:e}, exactly {:e}, bound {:e}, {share:.3} of it used",
        e.value,
        e.bound()
    );
    Some(Worst { share, description })
}
