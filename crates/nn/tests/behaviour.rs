//! Properties of layers besides their values: causality, dropout, gradients, folding, memory.

use crate::harness::{gpu, values};
use conv1d::{Activation, Conv1d, ConvTranspose1d, Padding};
use conv1d_nn::{
    BatchNorm1d, CausalConv1d, Convolution, Dropout, Error, FeatureExtractor, LastStep, Linear, Mode, Module, Network,
    Parallel, Sequential, Session, SessionOptions, Skip, StateDict, Tcn, TcnBlock, Values, WaveNetStack,
};

fn forward(session: &Session, x: &[f32]) -> Vec<f32> {
    session.input().write(x).unwrap();
    session.forward().unwrap();
    session.output().read().unwrap()
}

/// Changing x[t] changes no bit of the outputs before t, and changes some output from t on.
#[test]
fn causal_networks_see_no_future() {
    let networks: [(Box<dyn Module>, usize); 5] = [
        (Box::new(CausalConv1d::new(3, 4, 5).dilation(3)), 3),
        (Box::new(WaveNetStack::new(4).kernel_size(3).layers(4)), 4),
        (Box::new(TcnBlock::new(3, 6, 3).dilation(4)), 3),
        (Box::new(TcnBlock::new(5, 5, 2)), 5),
        (Box::new(Tcn::new(2, 8, 3).layers(4).every_step(true)), 2),
    ];
    for (index, (module, channels)) in networks.iter().enumerate() {
        let (batch, length) = (2, 60);
        let network = Network::new(gpu(), module, index as u64).unwrap();
        let session = network.session([batch, *channels, length]).unwrap();
        let x = values(3, batch * channels * length);
        let y = forward(&session, &x);
        for t in [0, 1, 17, 31, 58, 59] {
            let mut changed = x.clone();
            (0..batch * channels).for_each(|row| changed[row * length + t] += 10.0);
            let after = forward(&session, &changed);
            let mut touched = false;
            for (i, (before, after)) in y.iter().zip(&after).enumerate() {
                if i % length < t {
                    assert_eq!(before.to_bits(), after.to_bits(), "network {index}: y[{i}] depends on x[{t}]");
                }
                touched |= i % length >= t && before != after;
            }
            assert!(touched, "network {index}: no output depends on x[{t}]");
        }
    }
}

/// The gradient of one output is zero for all inputs outside its receptive field.
#[test]
fn gradients_of_the_past_are_zero() {
    let network = Network::new(gpu(), &WaveNetStack::new(3).layers(3), 5).unwrap();
    let session = network.session_with([1, 3, 40], &SessionOptions::default().gradients()).unwrap();
    forward(&session, &values(1, 3 * 40));
    let mut dy = vec![0.0; 3 * 40];
    dy[20] = 1.0;
    session.output_gradient().unwrap().write(&dy).unwrap();
    session.backward().unwrap();
    let dx = session.input_gradient().unwrap().read().unwrap();
    // The receptive field is 8 samples.
    for (i, dx) in dx.iter().enumerate() {
        assert_eq!(*dx != 0.0, (13..=20).contains(&(i % 40)), "dx[{i}] is {dx}");
    }
}

#[test]
fn dropout_is_a_function_of_seed_step_and_place() {
    let network = Network::new(gpu(), &Dropout(0.25), 0).unwrap();
    let shape = [4, 16, 1000];
    let count = shape.iter().product();
    let session = |seed| {
        let options = SessionOptions::default().mode(Mode::Training).gradients().seed(seed);
        network.session_with(shape, &options).unwrap()
    };
    let first = session(7);
    let mask = forward(&first, &vec![1.0; count]);
    let dropped = mask.iter().filter(|&&m| m == 0.0).count();
    let kept = mask.iter().filter(|&&m| m == 1.0 / 0.75).count();
    assert_eq!(dropped + kept, count);
    // 16,000 of 64,000 with a standard deviation of 110.
    assert!((15_400..16_600).contains(&dropped), "{dropped} dropped");
    // Gradients see the same mask.
    first.output_gradient().unwrap().write(&vec![1.0; count]).unwrap();
    first.backward().unwrap();
    assert_eq!(first.input_gradient().unwrap().read().unwrap(), mask);
    // The mask is the same again and in another session; it differs for another seed and another step.
    assert_eq!(forward(&first, &vec![1.0; count]), mask);
    assert_eq!(forward(&session(7), &vec![1.0; count]), mask);
    assert_ne!(forward(&session(8), &vec![1.0; count]), mask);
    first.set_step(1).unwrap();
    assert_ne!(forward(&first, &vec![1.0; count]), mask);
    // Nothing is dropped outside training; everything is dropped with probability 1.
    let x = values(1, count);
    assert_eq!(forward(&network.session(shape).unwrap(), &x), x);
    let all = Network::new(gpu(), &Dropout(1.0), 0).unwrap();
    let all = all.session_with(shape, &SessionOptions::default().mode(Mode::Training)).unwrap();
    assert!(forward(&all, &x).iter().all(|&y| y == 0.0));
}

/// Each dropout of a network has a mask of its own.
#[test]
fn two_dropouts_drop_different_elements() {
    let both = Parallel::new().with("a", Dropout(0.5)).with("b", Dropout(0.5));
    let network = Network::new(gpu(), &both, 0).unwrap();
    let session = network.session_with([1, 1, 256], &SessionOptions::default().mode(Mode::Training)).unwrap();
    let y = forward(&session, &[1.0; 256]);
    assert_ne!(y[..256], y[256..]);
}

/// The function whose gradients are tested: the sum of the outputs times `dy`.
fn objective(session: &Session, x: &[f32], dy: &[f32]) -> f64 {
    forward(session, x).iter().zip(dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
}

/// Step sizes of finite differences: a large one against rounding for smooth functions, a small one that crosses few
/// kinks.
const SMOOTH: f32 = 1.0 / 128.0;
const KINKED: f32 = 1.0 / 8192.0;

/// Asserts that finite differences along a random direction of the input and of every parameter agree with the
/// gradients, within the difference between two step sizes and the effect of rounding.
fn assert_gradients(module: &dyn Module, input: [usize; 3], step: f32, what: &str) {
    let network = Network::new(gpu(), module, 4).unwrap();
    let options = SessionOptions::default().mode(Mode::Training).gradients().seed(3);
    let session = network.session_with(input, &options).unwrap();
    let x = values(1, input.iter().product());
    let dy = values(2, session.output().len());
    let y = forward(&session, &x);
    session.output_gradient().unwrap().write(&dy).unwrap();
    session.backward().unwrap();
    let gradients = session.gradients().unwrap().read().unwrap();
    let dx = session.input_gradient().unwrap().read().unwrap();
    let state = network.state_dict().unwrap();
    let size: f64 = y.iter().zip(&dy).map(|(&y, &dy)| f64::from(y * dy).powi(2)).sum::<f64>().sqrt();

    let mut compared = 0;
    let mut compare = |name: &str, gradient: &[f32], at: &dyn Fn(f32, &[f32]) -> f64| {
        let direction = values(name.len() as u64 + 40, gradient.len());
        let predicted: f64 = gradient.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        let difference = |step: f32| (at(step, &direction) - at(-step, &direction)) / (2.0 * f64::from(step));
        let (coarse, fine) = (difference(step), difference(step / 2.0));
        let refined = fine + (fine - coarse) / 3.0;
        let allowed = 2.0 * (fine - coarse).abs() + 16.0 * size * f64::from(f32::EPSILON) / f64::from(step);
        assert!(
            (predicted - refined).abs() <= allowed,
            "{what}, {name}: {predicted}, differences {refined} +- {allowed}"
        );
        let length: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
        // Where the tolerance is as large as the gradient, the comparison proves nothing and does not count.
        if allowed < 0.1 * length {
            compared += 1;
        }
    };
    compare("x", &dx, &|step, direction| {
        let moved: Vec<f32> = x.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        objective(&session, &moved, &dy)
    });
    for (name, entry) in &gradients.entries {
        let Values::Floats(gradient) = &entry.values else { panic!("{name}") };
        compare(name, gradient, &|step, direction| {
            let mut moved = state.clone();
            let Some(Values::Floats(values)) = moved.entries.get_mut(name).map(|e| &mut e.values) else {
                panic!("{name}")
            };
            values.iter_mut().zip(direction).for_each(|(v, d)| *v += step * d);
            network.load_state_dict(&moved).unwrap();
            objective(&session, &x, &dy)
        });
    }
    // A normalisation cancels the scale of its input, so the derivatives of a few parameters may be too small to
    // compare.
    assert!(2 * compared > gradients.entries.len(), "{what}: {compared} of {} compared", gradients.entries.len() + 1);
}

#[test]
fn finite_differences_agree_with_dropout_and_batch_normalisation() {
    let network = Sequential::new()
        .then(Conv1d::new(3, 6, 3).padding(Padding::Same))
        .then(BatchNorm1d::new(6))
        .then(Activation::Tanh)
        .then(Dropout(0.3))
        .then(Convolution::new(Conv1d::new(6, 4, 3).dilation(2).groups(2)).weight_norm(true))
        .then(Activation::Gelu)
        .then(ConvTranspose1d::new(4, 3, 4).stride(2))
        .then(BatchNorm1d::new(3))
        .then(LastStep)
        .then(Linear::new(3, 2));
    assert_gradients(&network, [5, 3, 24], SMOOTH, "a row of layers");
    assert_gradients(&TcnBlock::new(3, 5, 3).dropout(0.4), [3, 3, 40], KINKED, "a block");
    assert_gradients(&Tcn::new(2, 6, 2).layers(2).dropout(0.2), [6, 2, 20], KINKED, "a TCN");
}

#[test]
fn finite_differences_agree_wherever_an_activation_stands() {
    for activation in Activation::ALL {
        let kinked = matches!(activation, Activation::Relu | Activation::LeakyRelu(_));
        let step = if kinked { KINKED } else { SMOOTH };
        let conv = || Conv1d::new(4, 4, 3).padding(Padding::Same);
        // Alone, fused into a convolution, after a sum, after a normalisation, after dropout, and on a value that is
        // used again.
        let network = Sequential::new()
            .then(activation)
            .then(Skip(conv()))
            .then(activation)
            .then(conv())
            .then(activation)
            .then(BatchNorm1d::new(4))
            .then(activation)
            .then(Dropout(0.2))
            .then(activation)
            .then(conv())
            .then(Skip(activation))
            .then(Skip(Dropout(0.3)))
            .then(activation)
            .then(Parallel::new().with("a", conv()).with("b", activation));
        assert_gradients(&network, [3, 4, 30], step, &format!("{activation:?}"));
    }
}

/// `x + x`, and a parameter used twice: the gradients are the sums of both contributions.
#[test]
fn shares_of_a_gradient_add_up() {
    struct Twice;
    impl Module for Twice {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, x: conv1d_nn::Value) -> conv1d_nn::Value {
            let w = graph.parameter("w", [3, 3, 1], conv1d_nn::Init::FanIn(3));
            let conv = Conv1d::new(3, 3, 1);
            let y = graph.convolution(conv, x, w, None);
            let y = graph.add(y, y);
            let z = graph.convolution(conv, y, w, None);
            let z = graph.add(z, x);
            graph.concat(&[z, x, y])
        }
    }
    assert_gradients(&Twice, [2, 3, 10], SMOOTH, "values used twice");
}

/// Without gradients batch normalisation is folded into the weights: same results, for all kinds of convolutions.
#[test]
fn batch_normalisation_folds_into_any_convolution() {
    let norm = BatchNorm1d::new;
    let cases: [(Box<dyn Module>, usize); 5] = [
        (Box::new(Sequential::new().then(Conv1d::new(6, 8, 3).groups(2)).then(norm(8))), 6),
        (Box::new(Sequential::new().then(Convolution::new(Conv1d::new(6, 8, 3)).bias(false)).then(norm(8))), 6),
        (Box::new(Sequential::new().then(ConvTranspose1d::new(6, 8, 4).groups(2).stride(3)).then(norm(8))), 6),
        (Box::new(Sequential::new().then(Convolution::new(Conv1d::new(6, 8, 3)).weight_norm(true)).then(norm(8))), 6),
        (Box::new(Sequential::new().then(LastStep).then(Linear::new(6, 8)).then(norm(8)).then(Activation::Gelu)), 6),
    ];
    for (index, (module, channels)) in cases.iter().enumerate() {
        let shape = [3, *channels, 20];
        let network = Network::new(gpu(), module, 3).unwrap();
        // Statistics and affine parameters that differ from the initial ones.
        let mut state = network.state_dict().unwrap();
        for (seed, (name, entry)) in state.entries.iter_mut().enumerate() {
            if let Values::Floats(v) = &mut entry.values {
                let positive = name.ends_with("running_var");
                let random = values(seed as u64, v.len());
                *v = random.iter().map(|r| if positive { r.abs() + 0.3 } else { *r }).collect();
            }
        }
        network.load_state_dict(&state).unwrap();
        let x = values(1, shape.iter().product());
        let apart = network.session_with(shape, &SessionOptions::default().gradients()).unwrap();
        let folded = network.session(shape).unwrap();
        let (apart, folded) = (forward(&apart, &x), forward(&folded, &x));
        // Weights are rounded once more: 2^-24 of each of 18 products at most, and their sum.
        let size = apart.iter().fold(0.0_f32, |m, y| m.max(y.abs()));
        for (a, f) in apart.iter().zip(&folded) {
            assert!((a - f).abs() <= 64.0 * f32::EPSILON * size.max(1.0) * 6.0, "case {index}: {a}, folded {f}");
        }
    }
}

#[test]
fn values_between_layers_can_be_kept() {
    let network = Network::new(gpu(), &FeatureExtractor::new(2, 3), 1).unwrap();
    let session = network.session_with([1, 2, 50], &SessionOptions::default().keep_values()).unwrap();
    let y = forward(&session, &values(1, 100));
    let relu = session.value("medium_conv.2").unwrap();
    assert_eq!(relu.shape(), [1, 3, 50]);
    assert_eq!(relu.read().unwrap(), y[150..300]);
    // The convolution alone, before the normalisation and the activation.
    assert!(session.value("medium_conv.0").unwrap().read().unwrap().iter().any(|&v| v < 0.0));
    assert!(matches!(session.value("no_such_layer"), Err(Error::Parameter { .. })));
    let session = network.session([1, 2, 50]).unwrap();
    assert!(matches!(session.value("medium_conv.0"), Err(Error::Layer { .. })));
}

/// Results with shared memory have the same bits as results without sharing.
#[test]
fn sharing_memory_changes_nothing() {
    let network = Network::new(gpu(), &Tcn::new(3, 10, 4).layers(3).dropout(0.3), 9).unwrap();
    let options = SessionOptions::default().mode(Mode::Training).gradients();
    let run = |options: &SessionOptions| {
        let session = network.session_with([4, 3, 64], options).unwrap();
        let y = forward(&session, &values(1, 4 * 3 * 64));
        session.output_gradient().unwrap().write(&values(2, y.len())).unwrap();
        session.backward().unwrap();
        (y, session.gradients().unwrap().read().unwrap(), *session.memory())
    };
    let (shared, kept) = (run(&options), run(&options.clone().keep_values()));
    assert_eq!((&shared.0, &shared.1), (&kept.0, &kept.1));
    assert!(shared.2.values < kept.2.values);
    assert_eq!(kept.2.values, kept.2.values_apart);
}

/// The output of one session becomes the input of another one on the device.
#[test]
fn sessions_in_a_row_are_the_whole() {
    let whole = Network::new(gpu(), &WaveNetStack::new(3).layers(4), 8).unwrap();
    let state = whole.state_dict().unwrap();
    let x = values(1, 2 * 3 * 30);
    let y = forward(&whole.session([2, 3, 30]).unwrap(), &x);
    let halves = [0, 2].map(|first| {
        let row = Sequential::new()
            .then(CausalConv1d::new(3, 3, 2).dilation(1 << first))
            .then(CausalConv1d::new(3, 3, 2).dilation(2 << first));
        let network = Network::new(gpu(), &row, 1).unwrap();
        let mut part = network.state_dict().unwrap();
        for (name, entry) in &mut part.entries {
            let (layer, rest) = name.split_once('.').unwrap();
            *entry = state.entries[&format!("{}.{rest}", first + layer.parse::<usize>().unwrap())].clone();
        }
        network.load_state_dict(&part).unwrap();
        network.session([2, 3, 30]).unwrap()
    });
    halves[0].input().write(&x).unwrap();
    halves[0].forward().unwrap();
    halves[1].input().copy_from(halves[0].output()).unwrap();
    halves[1].forward().unwrap();
    assert_eq!(halves[1].output().read().unwrap(), y);
    assert!(matches!(halves[1].input().copy_from(&gpu().zeros([5]).unwrap()), Err(conv1d::Error::DataLength { .. })));
}

#[test]
fn an_empty_batch_is_legal() {
    let network = Network::new(gpu(), &Tcn::new(2, 4, 3).layers(2), 1).unwrap();
    let session = network.session_with([0, 2, 10], &SessionOptions::default().gradients()).unwrap();
    session.forward().unwrap();
    assert_eq!(session.output().shape(), [0, 3]);
    session.backward().unwrap();
    for entry in session.gradients().unwrap().read().unwrap().entries.values() {
        assert!(matches!(&entry.values, Values::Floats(v) if v.iter().all(|&v| v == 0.0)));
    }
}

#[test]
fn a_network_of_nothing_gives_its_input() {
    let network = Network::new(gpu(), &Sequential::new(), 1).unwrap();
    let session = network.session_with([1, 2, 3], &SessionOptions::default().gradients()).unwrap();
    assert_eq!(forward(&session, &values(1, 6)), values(1, 6));
    session.output_gradient().unwrap().write(&values(2, 6)).unwrap();
    session.backward().unwrap();
    assert_eq!(session.input_gradient().unwrap().read().unwrap(), values(2, 6));
}

#[test]
fn wrong_networks_and_calls_are_errors_that_name_the_layer() {
    let error =
        |module: &dyn Module, shape| Network::new(gpu(), module, 0).unwrap().session(shape).unwrap_err().to_string();
    let groups = Sequential::new().then_named("front", Conv1d::new(8, 32, 5).groups(3));
    assert_eq!(error(&groups, [1, 8, 100]), "layer front: groups 3 does not divide in_channels 8");
    let channels = error(&Tcn::new(3, 8, 1), [1, 4, 20]);
    assert_eq!(channels, "layer network.0.conv1: the input has the shape [1, 4, 20], expected [N, 3, L] or [3, L]");
    assert!(error(&Dropout(1.5), [1, 1, 1]).contains("between 0 and 1, got 1.5"));
    assert!(error(&BatchNorm1d::new(3), [1, 4, 2]).contains("[N, 3, ..]"));
    assert!(error(&Linear::new(3, 2), [1, 3, 2]).contains("expected [N, 3]"));
    assert!(error(&WaveNetStack::new(1).layers(usize::MAX), [1, 1, 8]).contains("layer 31.conv: dilation"));
    assert!(error(&Skip(Conv1d::new(1, 1, 3)), [1, 1, 8]).contains("[1, 1, 8]"));
    let twice = Parallel::new().with("a", Conv1d::new(1, 1, 1)).with("a", Conv1d::new(1, 1, 1));
    assert!(Network::new(gpu(), &twice, 0).unwrap_err().to_string().contains("two parameters"));
    let nothing = Network::new(gpu(), &Linear::new(0, 2), 0).unwrap_err().to_string();
    assert_eq!(nothing, "weight: a dimension of its shape is 0");
    struct Parameter(&'static str, Vec<usize>);
    impl Module for Parameter {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, x: conv1d_nn::Value) -> conv1d_nn::Value {
            graph.parameter(self.0, self.1.clone(), conv1d_nn::Init::Constant(0.0));
            x
        }
    }
    for (name, shape) in [("__metadata__", vec![1]), ("scalar", vec![])] {
        assert!(matches!(Network::new(gpu(), &Parameter(name, shape), 0), Err(Error::Parameter { .. })), "{name}");
    }
    assert_eq!(error(&Activation::Relu, [usize::MAX, 2, 0]), "length must be at least 1, got 0");
    assert!(error(&Activation::Relu, [usize::MAX, 2, 1]).contains("more than"));
    let wide = Parallel::new().with("a", Activation::Relu).with("b", Activation::Tanh);
    assert!(error(&wide, [0, 3_000_000_000, 1]).contains("more than"));
    assert!(error(&Parallel::new(), [1, 1, 8]).contains("at least one value"));

    let network = Network::new(gpu(), &BatchNorm1d::new(2), 0).unwrap();
    let training = SessionOptions::default().mode(Mode::Training);
    let few = network.session_with([1, 2, 1], &training).unwrap_err();
    assert_eq!(few, Error::Layer { layer: "(root)".into(), error: Box::new(Error::TooFewPositions { positions: 1 }) });
    let session = network.session([1, 2, 5]).unwrap();
    assert!(matches!(session.input().write(&[0.0; 9]), Err(conv1d::Error::DataLength { got: 9, expected: 10, .. })));
    assert!(matches!(session.backward(), Err(Error::Unprepared { .. })));
    let session = network.session_with([1, 2, 5], &SessionOptions::default().gradients()).unwrap();
    assert!(matches!(session.backward(), Err(Error::Unprepared { .. })));
    session.forward().unwrap();
    session.backward().unwrap();
    assert!(matches!(session.backward(), Err(Error::Unprepared { .. })));
}

/// A value of another graph, kept by mistake.
#[test]
fn values_of_other_graphs_are_refused() {
    struct Foreign(conv1d_nn::Value, bool, bool);
    impl Module for Foreign {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, x: conv1d_nn::Value) -> conv1d_nn::Value {
            if self.2 {
                graph.parameter("norm", [1], conv1d_nn::Init::NormsOf(self.0));
            }
            if self.1 { self.0 } else { graph.add(x, self.0) }
        }
    }
    struct Last(std::sync::OnceLock<conv1d_nn::Value>);
    impl Module for Last {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, x: conv1d_nn::Value) -> conv1d_nn::Value {
            let y = Tcn::new(1, 1, 1).add_to(graph, x);
            *self.0.get_or_init(|| y)
        }
    }
    let last = Last(std::sync::OnceLock::new());
    conv1d_nn::Graph::of(&last);
    for output in [false, true] {
        let foreign = Foreign(*last.0.get().unwrap(), output, false);
        let network = Network::new(gpu(), &foreign, 0).unwrap();
        assert_eq!(network.graph().receptive_field(), 1);
        let error = network.session([1, 1, 4]).unwrap_err();
        assert!(error.to_string().contains(if output { "expected a value" } else { "one of this graph" }), "{error}");
        let foreign = Foreign(*last.0.get().unwrap(), output, true);
        assert!(matches!(Network::new(gpu(), &foreign, 0), Err(Error::Parameter { .. })));
    }
}

#[test]
fn state_dictionaries_are_taken_whole_or_not_at_all() {
    let network = Network::new(gpu(), &Tcn::new(2, 4, 1).layers(1), 1).unwrap();
    let before = network.state_dict().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tcn.safetensors");
    network.save(&path).unwrap();
    assert_eq!(StateDict::load(&path).unwrap().entries, before.entries);

    let other = Network::new(gpu(), &Tcn::new(2, 4, 1).layers(1), 2).unwrap();
    assert_ne!(other.state_dict().unwrap(), before);
    other.load(&path).unwrap();
    assert_eq!(other.state_dict().unwrap(), before);

    // With the names of PyTorch before the parametrizations.
    let mut old = before.clone();
    for (name, entry) in before.entries.clone() {
        let renamed = name
            .replace("parametrizations.weight.original0", "weight_g")
            .replace("parametrizations.weight.original1", "weight_v");
        old.entries.remove(&name);
        old.entries.insert(renamed, entry);
    }
    assert!(old.entries.contains_key("network.0.conv1.weight_g"));
    let fresh = Network::new(gpu(), &Tcn::new(2, 4, 1).layers(1), 3).unwrap();
    fresh.load_state_dict(&old).unwrap();
    assert_eq!(fresh.state_dict().unwrap(), before);

    let mut missing = before.clone();
    missing.entries.remove("output_layer.bias");
    missing.entries.insert("stray".into(), conv1d_nn::Entry::floats([1], vec![0.0]));
    match network.load_state_dict(&missing) {
        Err(Error::StateKeys { missing, unexpected }) => {
            assert_eq!((missing, unexpected), (vec!["output_layer.bias".to_owned()], vec!["stray".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    let mut wrong = before.clone();
    wrong.entries.insert("output_layer.bias".into(), conv1d_nn::Entry::floats([2], vec![0.0; 2]));
    let message = network.load_state_dict(&wrong).unwrap_err().to_string();
    assert_eq!(message, "output_layer.bias: it has the shape [2] and 2 values, the network needs [1]");
    assert_eq!(network.state_dict().unwrap(), before);

    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(matches!(network.load(&path), Err(Error::Conv1d(conv1d::Error::File { .. }))), "{length} bytes");
    }
}

/// Files of other precisions, in which models are often published.
#[test]
fn state_dictionaries_of_other_precisions() {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    let halves: Vec<u8> = [0x3C00_u16, 0xC100].iter().flat_map(|h| h.to_le_bytes()).collect();
    let brains: Vec<u8> = [0x3F80_u16, 0xC020].iter().flat_map(|h| h.to_le_bytes()).collect();
    let doubles: Vec<u8> = [1.0_f64, -2.5].iter().flat_map(|h| h.to_le_bytes()).collect();
    let folder = tempfile::tempdir().unwrap();
    let huge: Vec<u8> = [1e300_f64, 0.0].iter().flat_map(|h| h.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F64, vec![2], &huge).unwrap();
    let bytes = safetensors::serialize([("v", view)], None).unwrap();
    assert!(matches!(StateDict::from_bytes(&bytes), Err(Error::Parameter { .. })));
    for (dtype, bytes) in [(Dtype::F16, halves), (Dtype::BF16, brains), (Dtype::F64, doubles)] {
        let view = TensorView::new(dtype, vec![2], &bytes).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, safetensors::serialize([("v", view)], None).unwrap()).unwrap();
        assert_eq!(StateDict::load(&path).unwrap().entries["v"], conv1d_nn::Entry::floats([2], vec![1.0, -2.5]));
    }
}
