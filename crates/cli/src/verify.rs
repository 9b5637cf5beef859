//! `conv1d verify`: checks the promised error bounds on this adapter, over a built-in grid of layers, and every activation.

use crate::{Outcome, adapters};
use clap::Args;
use conv1d::reference::{Exact, gamma};
use conv1d::suite::{Answers, Data};
use conv1d::{Activation, Conv1d, ConvTranspose1d, Gpu, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions};
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
    // Long sums over positions.
    grid.push((Conv1d::new(2, 3, 2).into(), [3, 2, 100_001]));
    grid
}

pub(crate) fn run(options: &Options) -> Outcome {
    let gpu = adapters::open(options.adapter.as_deref(), options.checked).map_err(|e| e.to_string())?;
    let info = gpu.adapter_info();
    say!("conv1d {} on {} ({:?}, {})", env!("CARGO_PKG_VERSION"), info.name, info.device_type, info.backend);
    say!("driver: {} {}", info.driver, info.driver_info);
    say!("shaders: {}", if options.checked { "checked" } else { "unchecked" });
    let arithmetic = gpu.arithmetic().map_err(|e| e.to_string())?;
    say!("arithmetic: {arithmetic}");

    let grid = grid();
    let bar = ProgressBar::new(grid.len() as u64);
    let (mut runs, mut values, mut failures) = (0_u64, 0_u64, 0_u64);
    let mut largest = Operation::ALL.map(|_| (Worst { share: 0.0, description: String::new() }, 0));
    for (layer, input) in &grid {
        for (operation, (largest, chain)) in Operation::ALL.into_iter().zip(&mut largest) {
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
                *chain = trial.chain.max(*chain);
                if trial.worst.share >= largest.share {
                    *largest = trial.worst;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say!("{} layers, {runs} kernel runs, {values} values, each run twice", grid.len());
    say!("bound: gamma(chain + 1) of the sum of the magnitudes of the terms; the worst elements:");
    for (operation, (worst, chain)) in Operation::ALL.iter().zip(&largest) {
        say!("  {}", worst.description);
        let gamma = gamma(chain + 1);
        say!("    the longest chain of any {} here: {chain} additions, gamma {gamma:.1e}", operation.name());
    }
    say!("activations: values within 2^-20, derivatives within 2^-20 of the magnitudes of their terms; shares of that");
    for activation in Activation::ALL {
        let (shares, tiny) = activation_shares(&gpu, activation).map_err(|e| format!("{activation:?}: {e}"))?;
        say!(
            "  {activation:?}: {:.3} and {:.3}; {tiny} results near 2^-126, right or flushed to zero",
            shares[0],
            shares[1]
        );
        failures += shares.iter().filter(|share| **share > 1.0).count() as u64;
    }
    if !arithmetic.rounds_to_nearest {
        say!("FAILED: this device does not round to nearest, which the bounds assume");
        return Ok(false);
    }
    if failures > 0 {
        say!("FAILED: {failures} checks of the bound or of repeatability");
        return Ok(false);
    }
    say!("all within the promised bound, and bit-equal when repeated");
    Ok(true)
}

/// The largest share of the bound that values and derivatives of an activation use: at every exponent, and densely where it bends. Also the
/// number of results that may be zero because they are near the smallest normal number; they do not count in the shares.
fn activation_shares(gpu: &Gpu, activation: Activation) -> conv1d::Result<([f64; 2], usize)> {
    let dense = (-120_000..=120_000).map(|i| i as f32 * 0.001_003);
    let ends = |e: u32| [e << 23, e << 23 | 0x35_04f3].map(f32::from_bits);
    let exponents = (1..255_u32).flat_map(ends).flat_map(|z| [z, -z]);
    let points: Vec<f32> = dense.chain(exponents).collect();
    let tensor = |values: &[f32]| gpu.tensor(values, [values.len()]);
    let z = tensor(&points)?;
    let y = gpu.activation(activation, &z)?;
    let needs_input = activation.derivative_needs_input();
    let saved = if needs_input { &z } else { &y };
    let derivative = gpu.activation_backward(activation, saved, &tensor(&vec![1.0; points.len()])?)?.read()?;
    let (y, saved) = (y.read()?, saved.read()?);

    let mut tiny = 0;
    let mut largest = [0.0_f64; 2];
    let smallest = f64::from(f32::MIN_POSITIVE);
    let mut compare = |which: usize, got: f32, exact: f64, allowed: f64| {
        let error = (f64::from(got) - exact).abs();
        if exact != 0.0 && exact.abs() < 2.0 * smallest && error <= allowed {
            tiny += 1;
        } else if error != 0.0 {
            // NaN counts as the largest share.
            let share = error / allowed;
            largest[which] = if share.is_nan() { f64::INFINITY } else { largest[which].max(share) };
        }
    };
    for (&got, &z) in y.iter().zip(&points) {
        let exact = activation.value(z.into());
        compare(0, got, exact, activation.value_error(exact));
    }
    for (&got, &saved) in derivative.iter().zip(&saved) {
        let saved = f64::from(saved);
        compare(1, got, activation.derivative_at(saved), activation.derivative_error(saved, needs_input));
    }
    Ok((largest, tiny))
}

struct Trial {
    values: usize,
    chain: u64,
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
        let exact: Vec<Exact> = exact.iter().map(|exact| exact.with_chain(plan.chain())).collect();
        trials.push(Trial {
            values: first.len(),
            chain: plan.chain(),
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
