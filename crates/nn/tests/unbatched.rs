//! Inputs without a batch, `[C, L]`: the same bits as a batch of one, in shapes without its axis.

use crate::harness::{gpu, values};
use conv1d_nn::{
    AdamW, BatchNorm1d, Error, FeatureExtractor, Graph, Init, Loss, Mode, Module, Network, Sequential, Session,
    SessionOptions, Sgd, Tcn, Trainer, Value,
};

/// Output and input gradient of a session, and the shapes of its tensors.
fn run(session: &Session, x: &[f32], dy: &[f32]) -> (Vec<Vec<usize>>, Vec<Vec<f32>>) {
    session.input().write(x).unwrap();
    session.forward().unwrap();
    let y = session.output().read().unwrap();
    session.output_gradient().unwrap().write(dy).unwrap();
    session.backward().unwrap();
    let ends = [session.input(), session.output(), session.output_gradient().unwrap()];
    let dx = session.input_gradient().unwrap();
    let shapes = ends.into_iter().chain([dx]).map(|tensor| tensor.shape().to_vec()).collect();
    (shapes, vec![y, dx.read().unwrap()])
}

#[test]
fn an_input_without_a_batch_gives_the_same_bits() {
    let modules: [(Box<dyn Module>, usize); 4] = [
        (Box::new(Tcn::new(3, 5, 2).layers(2)), 3),
        (Box::new(Tcn::new(3, 5, 2).layers(2).every_step(true)), 3),
        (Box::new(FeatureExtractor::new(2, 3)), 2),
        (Box::new(Sequential::new()), 2),
    ];
    for (index, (module, channels)) in modules.iter().enumerate() {
        for mode in [Mode::Training, Mode::Evaluation] {
            let options = SessionOptions::default().mode(mode).gradients().seed(3);
            let network = || Network::new(gpu(), module, 1).unwrap();
            let (alone, one) = (network(), network());
            let alone = alone.session_with([*channels, 30], &options).unwrap();
            let one = one.session_with([1, *channels, 30], &options).unwrap();
            assert_eq!(alone.output().len(), one.output().len());
            let (x, dy) = (values(1, channels * 30), values(2, one.output().len()));
            let (got, expected) = (run(&alone, &x, &dy), run(&one, &x, &dy));
            assert_eq!(got.1, expected.1, "network {index}, {mode:?}");
            for (shape, batched) in got.0.iter().zip(&expected.0) {
                assert_eq!((&shape[..], 1), (&batched[1..], batched[0]), "network {index}, {mode:?}");
            }
            assert_eq!(alone.gradients().unwrap().read().unwrap(), one.gradients().unwrap().read().unwrap());
            assert_eq!(alone.network().state_dict().unwrap(), one.network().state_dict().unwrap());
        }
    }
}

#[test]
fn values_and_summaries_have_no_batch_either() {
    let network = Network::new(gpu(), &Tcn::new(3, 5, 2).layers(1), 1).unwrap();
    let options = SessionOptions::default().keep_values();
    let session = network.session_with([3, 30], &options).unwrap();
    session.input().write(&values(1, 90)).unwrap();
    session.forward().unwrap();
    assert_eq!(session.value("network.0.conv1").unwrap().shape(), [5, 30]);
    assert_eq!(session.value("output_layer").unwrap().shape(), [2]);
    let (alone, one) = (network.summary([3, 30]).unwrap(), network.summary([1, 3, 30]).unwrap());
    assert_eq!((alone.flops, alone.parameters), (one.flops, one.parameters));
    for (alone, one) in alone.layers.iter().zip(&one.layers) {
        // A normalised weight has no batch axis in either case.
        let expected = if one.kind == "weight norm" { &one.output[..] } else { &one.output[1..] };
        assert_eq!(alone.output, expected, "{}", one.name);
        assert_eq!((&alone.name, &alone.kernel, alone.flops), (&one.name, &one.kernel, one.flops));
    }
    // A value that does not depend on the input keeps its first axis of 1.
    struct Constant;
    impl Module for Constant {
        fn add_to(&self, graph: &mut Graph, _: Value) -> Value {
            graph.parameter("p", [1, 4], Init::Constant(1.0))
        }
    }
    let session = Network::new(gpu(), &Constant, 1).unwrap().session([2, 10]).unwrap();
    assert_eq!((session.input().shape(), session.output().shape()), (&[2, 10][..], &[1, 4][..]));
}

#[test]
fn a_trainer_takes_batches_of_one_without_their_axis() {
    let train = |shape: &[usize]| {
        let network = Network::new(gpu(), &Tcn::new(2, 4, 3).layers(2).every_step(true), 1).unwrap();
        let mut trainer = network.trainer(shape, Loss::CrossEntropy, AdamW::new(0.01)).unwrap();
        let classes: Vec<u32> = (0..12).map(|t| t % 3).collect();
        for step in 0..3 {
            trainer.step(&values(step, 24), &classes).unwrap();
        }
        let too_many = trainer.step(&values(1, 24), &[3; 12]);
        assert_eq!(too_many, Err(Error::Conv1d(conv1d::Error::TooLarge { what: "a class", value: 3, limit: 2 })));
        let losses = trainer.losses().unwrap();
        (trainer, losses)
    };
    let ((alone, losses), (one, expected)) = (train(&[2, 12]), train(&[1, 2, 12]));
    assert_eq!(losses, expected);
    assert_eq!(alone.network().state_dict().unwrap(), one.network().state_dict().unwrap());
    // Each continues from the other's checkpoint.
    let resume = |mut trainer: Trainer, from: &Trainer| {
        let checkpoint = pollster::block_on(from.checkpoint_async()).unwrap();
        pollster::block_on(trainer.resume_async(checkpoint)).unwrap();
        trainer.steps()
    };
    let fresh = |shape: &[usize]| train(shape).0;
    assert_eq!(resume(fresh(&[2, 12]), &one), 3);
    assert_eq!(resume(fresh(&[1, 2, 12]), &alone), 3);
}

#[test]
fn other_shapes_are_refused() {
    let network = Network::new(gpu(), &BatchNorm1d::new(2), 1).unwrap();
    for shape in [&[][..], &[2], &[1, 1, 2, 10]] {
        let expected = "[N, C, L] or, without a batch, [C, L]".to_owned();
        let refused = Error::Conv1d(conv1d::Error::Shape { tensor: "the input", got: shape.to_vec(), expected });
        assert_eq!(network.session(shape).unwrap_err(), refused);
        assert_eq!(network.summary(shape).unwrap_err(), refused);
        assert_eq!(network.trainer(shape, Loss::MeanSquaredError, Sgd::new(0.1)).unwrap_err(), refused);
    }
    assert_eq!(network.session([0, 10]).unwrap_err(), Error::Conv1d(conv1d::Error::Zero { argument: "channels" }));
}
