//! The types can be sent between threads, and clones are independent.

use crate::harness::{gpu, values};
use conv1d::{Activation, Conv1d, ConvTranspose1d};
use conv1d_nn::*;
use std::sync::Arc;

const fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
const fn moved<T: Send + Sync + std::fmt::Debug>() {}

/// Threads can share and clone descriptions, networks and results. Optimisers and trainers count steps and cannot be
/// cloned.
const _: () = {
    shared::<Sequential>();
    shared::<Parallel>();
    shared::<Skip<Sequential>>();
    shared::<Convolution>();
    shared::<CausalConv1d>();
    shared::<SeparableConv1d>();
    shared::<BatchNorm1d>();
    shared::<Dropout>();
    shared::<Linear>();
    shared::<LastStep>();
    shared::<WaveNetStack>();
    shared::<TcnBlock>();
    shared::<Tcn>();
    shared::<FeatureExtractor>();
    shared::<Graph>();
    shared::<Value>();
    shared::<Init>();
    shared::<Network>();
    shared::<Session>();
    shared::<SessionOptions>();
    shared::<Mode>();
    shared::<Memory>();
    shared::<Summary>();
    shared::<LayerSummary>();
    shared::<StateDict>();
    shared::<Entry>();
    shared::<Values>();
    shared::<Incompatible>();
    shared::<UpdateRule>();
    shared::<OptimizerOptions>();
    shared::<ParameterGroup>();
    shared::<Gradients>();
    shared::<Sgd>();
    shared::<Adam>();
    shared::<AdamW>();
    shared::<Loss>();
    shared::<TrainerOptions>();
    shared::<Checkpoints>();
    shared::<Progress>();
    shared::<TargetKind>();
    moved::<Optimizer>();
    moved::<Trainer>();
};

/// A clone of a description is the same network, on another thread too.
#[test]
fn descriptions_are_cloned_and_sent() {
    let shared_module: Arc<dyn Module> = Arc::new(Conv1d::new(3, 3, 1));
    let network = Sequential::new()
        .then(Conv1d::new(2, 3, 3))
        .then(Parallel::new().with("a", Activation::Relu).with("b", Skip(Arc::clone(&shared_module))))
        .then(ConvTranspose1d::new(6, 2, 2));
    let clone = network.clone().then(Activation::Tanh);
    let sent = std::thread::spawn(move || {
        let count = Graph::of(&clone).parameter_count();
        (clone, count)
    });
    let (clone, count) = sent.join().unwrap();
    assert_eq!(Graph::of(&network).parameter_count(), count);
    let x = values(1, 20);
    let outputs = [Network::new(gpu(), &network, 1), Network::new(gpu(), &clone, 1)].map(|network| {
        let session = network.unwrap().session([1, 2, 10]).unwrap();
        session.input().write(&x).unwrap();
        session.forward().unwrap();
        session.output().read().unwrap()
    });
    // The original lacks the layer that was added to the clone.
    assert!(outputs[0].iter().zip(&outputs[1]).any(|(y, tanh)| y != tanh));
    for (y, tanh) in outputs[0].iter().zip(&outputs[1]) {
        assert!((y.tanh() - tanh).abs() <= 4.0 * f32::EPSILON, "tanh {y} is not {tanh}");
    }
}
