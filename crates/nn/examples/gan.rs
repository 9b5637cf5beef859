//! Two networks against each other (Mao et al.: *Least Squares Generative Adversarial Networks*, ICCV 2017): a generator learns to draw
//! noisy sine waves of any phase. The loss is a shader of this program; the critic's first layer is frozen.
//!
//! `cargo run --release -p conv1d-nn --example gan`

use conv1d_nn::conv1d::{Activation, Bindings, Conv1d, Gpu, Padding, Shader, Tensor, Workgroups};
use conv1d_nn::{Adam, LastStep, Linear, Network, Sequential, Session, SessionOptions};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const BATCH: usize = 32;
const LENGTH: usize = 16;

/// The gradient of the mean of `(y - label)^2`.
const LOSS: &str = "
// use: element
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> label: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(LANES)
fn main(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        gradient[i] = 2.0 * (y[i] - label[i]) / f32(params.count);
    }
}
";

/// Trains for some rounds. Returns the root mean square of generated samples before and after, and that of the data.
fn train(gpu: &Gpu, rounds: usize) -> conv1d_nn::Result<[f32; 3]> {
    let wide = |inputs, outputs| Conv1d::new(inputs, outputs, 5).padding(Padding::Same);
    let draw = Sequential::new().then(wide(4, 32)).then(Activation::Tanh).then(wide(32, 1));
    let judge = Sequential::new().then(Conv1d::new(1, 32, 5)).then(Activation::LeakyRelu(0.2));
    let judge = judge.then(Conv1d::new(32, 32, 12)).then(Activation::LeakyRelu(0.2)).then(LastStep);
    let generator = Network::new(gpu, &draw, 1)?;
    let critic = Network::new(gpu, &judge.then(Linear::new(32, 1)), 2)?.frozen(["0.weight", "0.bias"])?;

    let drawn = generator.session_with([BATCH, 4, LENGTH], &SessionOptions::training())?;
    let judged = critic.session_with([2 * BATCH, 1, LENGTH], &SessionOptions::training())?; // true ones, then drawn ones
    let fooled = critic.session_with([BATCH, 1, LENGTH], &SessionOptions::default().input_gradient())?;
    let mut draws_better = generator.optimizer(Adam::new(2e-3).betas(0.5, 0.9))?;
    let mut judges_better = critic.optimizer(Adam::new(2e-3).betas(0.5, 0.9))?;
    let (ones, zeros) = (vec![1.0; BATCH], vec![0.0; BATCH]);
    let loss_of = |session: &Session, labels: &[f32]| {
        let labels = gpu.tensor(labels, [labels.len()])?;
        let gradient = session.output_gradient().unwrap_or(session.output());
        let tensors = Bindings::new().with("y", session.output().slice()).with("label", labels.slice());
        let tensors = tensors.with("gradient", gradient.slice()).value("count", labels.len() as u32);
        let loss = gpu.prepare_shader(&Shader::new("least_squares", LOSS))?;
        loss.bind(&tensors, Workgroups::Elements(labels.len() as u64))
    };
    let (judged_loss, fooled_loss) = (loss_of(&judged, &[&ones[..], &zeros].concat())?, loss_of(&fooled, &ones)?);
    let half = |index| judged.input().part(index * BATCH * LENGTH, [BATCH, 1, LENGTH]);

    let mut random = SmallRng::seed_from_u64(3);
    let mut size = Vec::new();
    for round in 0..=rounds {
        drawn
            .input()
            .write(&std::array::from_fn::<f32, { BATCH * 4 * LENGTH }, _>(|_| random.random_range(-1.0..1.0)))?;
        drawn.forward()?;
        if round == 0 || round == rounds {
            size.push(root_mean_square(drawn.output())?);
        }
        half(0)?.write(&waves(&mut random))?;
        half(1)?.copy_from(drawn.output())?;
        judged.forward()?;
        gpu.run(&judged_loss)?;
        judged.backward()?;
        judges_better.step(judged.gradients()?)?;

        fooled.input().copy_from(drawn.output())?;
        fooled.forward()?;
        gpu.run(&fooled_loss)?;
        fooled.backward()?;
        if let (Some(to), Some(from)) = (drawn.output_gradient(), fooled.input_gradient()) {
            to.copy_from(from)?;
        }
        drawn.backward()?;
        draws_better.step(drawn.gradients()?)?;
    }
    Ok([size[0], size[1], root_mean_square(&half(0)?)?])
}

/// Sine waves of amplitude 2 with a random phase, and some noise.
fn waves(random: &mut SmallRng) -> Vec<f32> {
    let wave = |random: &mut SmallRng| {
        let phase = random.random_range(0.0..std::f32::consts::TAU);
        std::array::from_fn::<f32, LENGTH, _>(|t| 2.0 * (phase + t as f32 * 0.8).sin() + random.random_range(-0.1..0.1))
    };
    (0..BATCH).flat_map(|_| wave(random)).collect()
}

fn root_mean_square(tensor: &Tensor) -> conv1d_nn::Result<f32> {
    let values = tensor.read()?;
    Ok((values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt())
}

fn main() -> conv1d_nn::Result<()> {
    let [before, after, data] = train(&Gpu::new()?, 1000)?;
    println!(
        "root mean square of the drawn waves: {before:.2} at first, {after:.2} after 1000 rounds; of the data: {data:.2}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than halfway. Five seeds came 60 to 90 % of the way: the game of the two networks amplifies the last bits of every sum.
    #[test]
    fn the_generator_comes_near_the_data() {
        let [before, after, data] = train(&Gpu::new().expect("a GPU or a software adapter"), 300).expect("no error");
        assert!((after - data).abs() < 0.5 * (before - data).abs(), "{before}, {after}, {data}");
    }
}
