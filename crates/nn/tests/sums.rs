//! Long sums of networks do not drift: losses, norms and statistics keep the bound of a chain that hardly grows with the number of terms.

use crate::harness::gpu;
use conv1d::Conv1d;
use conv1d::reference::{gamma, longest_chain};
use conv1d_nn::{
    BatchNorm1d, Convolution, Loss, Network, Sequential, SessionOptions, Sgd, StateDict, TrainerOptions, Values,
};

/// Asserts that `got` is within the bound of a sum of `terms` positive terms. Each term has `more` roundings of its own.
fn assert_sum(got: f32, exact: f64, terms: usize, more: u64, what: &str) {
    let bound = gamma(longest_chain(terms as u64) + more) * exact.abs();
    let share = (f64::from(got) - exact).abs() / bound;
    println!("{what}: {share:.3} of the bound");
    assert!(share <= 1.0, "{what}: {got}, exactly {exact}, {share} of the bound");
}

fn floats(state: &StateDict, name: &str) -> Vec<f32> {
    match &state.entries[name].values {
        Values::Floats(values) => values.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

/// A mean of equal errors over 10^7 positions, its gradients, and the norm of the gradients.
#[test]
fn losses_and_gradients_of_long_inputs() {
    let length = 10_000_000;
    let network = Network::new(gpu(), &Sequential::new().then(Conv1d::new(1, 1, 1)), 1).unwrap();
    network.parameter("0.weight").unwrap().write(&[1.0]).unwrap();
    network.parameter("0.bias").unwrap().write(&[0.0]).unwrap();
    let options = TrainerOptions::default().clip_norm(1000.0);
    let mut trainer = network.trainer_with([1, 1, length], Loss::MeanSquaredError, Sgd::new(1.0), &options).unwrap();
    let error = 0.1_f32;
    trainer.step(&vec![error; length], &vec![0.0_f32; length]).unwrap();
    let error = f64::from(error);
    assert_sum(trainer.losses().unwrap()[0].loss, error * error, length, 4, "the loss");
    // Both gradients are means: of 2 * error^2 and of 2 * error.
    let norm = (2.0 * error * error).hypot(2.0 * error);
    assert_sum(trainer.gradient_norm().unwrap(), norm, length, 8, "the norm of the gradients");
    let state = network.state_dict().unwrap();
    assert_sum(-floats(&state, "0.bias")[0], 2.0 * error, length, 4, "the bias gradient");
    let weight = 1.0 - f64::from(floats(&state, "0.weight")[0]);
    assert!((weight - 2.0 * error * error).abs() <= 1e-6, "{weight}");
}

/// Mean and variance over 10^7 positions.
#[test]
fn statistics_of_long_inputs() {
    let length = 10_000_000;
    let network = Network::new(gpu(), &Sequential::new().then(BatchNorm1d::new(1)), 1).unwrap();
    let session = network.session_with([1, 1, length], &SessionOptions::training()).unwrap();
    let (low, high) = (0.1_f32, 0.7_f32);
    let x: Vec<f32> = (0..length).map(|i| if i % 2 == 0 { low } else { high }).collect();
    session.input().write(&x).unwrap();
    session.forward().unwrap();
    let state = network.state_dict().unwrap();
    let (low, high) = (f64::from(low), f64::from(high));
    let mean = (low + high) / 2.0;
    // Running statistics start at 0 and 1, and move a tenth of the way.
    assert_sum(floats(&state, "0.running_mean")[0], 0.1 * mean, length, 8, "the mean");
    let unbiased = ((high - low) / 2.0).powi(2) * length as f64 / (length as f64 - 1.0);
    assert_sum(floats(&state, "0.running_var")[0], 0.9 + 0.1 * unbiased, length, 8, "the variance");
    // Gradients: sums of equal terms and of products with the normalised input.
    session.output_gradient().unwrap().write(&vec![0.1; length]).unwrap();
    session.backward().unwrap();
    let gradients = session.gradients().unwrap().read().unwrap();
    assert_sum(floats(&gradients, "0.bias")[0], f64::from(0.1_f32) * length as f64, length, 1, "the gradient of beta");
}

/// The norm of a weight of 2 million elements, and the gradient of it.
#[test]
fn norms_of_long_rows() {
    let taps = 2_000_000;
    let layer = Convolution::new(Conv1d::new(1, 1, taps)).bias(false).weight_norm(true);
    let network = Network::new(gpu(), &Sequential::new().then(layer), 1).unwrap();
    let [g, v] = ["0", "1"].map(|i| network.parameter(&format!("0.parametrizations.weight.original{i}")).unwrap());
    g.write(&[1.0]).unwrap();
    v.write(&vec![0.1; taps]).unwrap();
    let session = network.session_with([1, 1, taps], &SessionOptions::training()).unwrap();
    let mut x = vec![0.0; taps];
    x[17] = 1.0;
    session.input().write(&x).unwrap();
    session.forward().unwrap();
    let y = session.output().read().unwrap()[0];
    assert_sum(y, 1.0 / (taps as f64).sqrt(), taps, 8, "an element of the weight");
    session.output_gradient().unwrap().write(&[1.0]).unwrap();
    session.backward().unwrap();
    let gradients = session.gradients().unwrap().read().unwrap();
    let dg = floats(&gradients, "0.parametrizations.weight.original0")[0];
    assert_sum(dg, 1.0 / (taps as f64).sqrt(), taps, 8, "the gradient of the norm");
}
