//! Training of one's own: parameters and gradients as tensors, optimisers fed from anywhere, groups, frozen parameters, accumulation.

use crate::harness::{gpu, values};
use conv1d::{Activation, Bindings, Bound, Conv1d, Padding, Shader, Workgroups};
use conv1d_nn::{
    Adam, AdamW, BatchNorm1d, Convolution, Error, Gradients, LastStep, Linear, Loss, Network, OptimizerOptions,
    ParameterGroup, Sequential, SessionOptions, Sgd, StateDict, Tcn, TrainerOptions, UpdateRule, Values,
};

fn floats<'d>(dict: &'d StateDict, name: &str) -> &'d [f32] {
    match &dict.entries[name].values {
        Values::Floats(values) => values,
        other => panic!("{name}: {other:?}"),
    }
}

/// A convolution with weight normalisation, a batch normalisation and a linear layer: every kind of parameter.
fn module() -> Sequential {
    Sequential::new()
        .then(Convolution::new(Conv1d::new(2, 4, 3).padding(Padding::Same)).weight_norm(true))
        .then(BatchNorm1d::new(4))
        .then(Activation::Tanh)
        .then(LastStep)
        .then(Linear::new(4, 2))
}

const SHAPE: [usize; 3] = [3, 2, 10];

/// The gradient of the mean squared error on the host: `2 (y - target) / count`.
fn host_loss(y: &[f32], target: &[f32]) -> Vec<f32> {
    y.iter().zip(target).map(|(y, t)| 2.0 * (y - t) / target.len() as f32).collect()
}

/// A loop of one's own does what a trainer does, with every rule, with clipping.
#[test]
fn a_loop_of_ones_own_is_a_trainer() {
    let rules: [UpdateRule; 4] = [
        Sgd::new(0.1).momentum(0.9).weight_decay(0.01).into(),
        Sgd::new(0.1).into(),
        Adam::new(0.01).into(),
        AdamW::new(0.01).into(),
    ];
    for (index, rule) in rules.into_iter().enumerate() {
        let mut options = OptimizerOptions::default();
        options.clip_norm = (index % 2 == 0).then_some(0.3);
        let networks = [1, 1].map(|seed| Network::new(gpu(), &module(), seed).unwrap());
        let mut trainer_options = TrainerOptions::default();
        trainer_options.optimizer = options.clone();
        let mut trainer = networks[0].trainer_with(SHAPE, Loss::MeanSquaredError, rule, &trainer_options).unwrap();
        let session = networks[1].session_with(SHAPE, &SessionOptions::training()).unwrap();
        let mut optimizer = networks[1].optimizer_with(rule, &options).unwrap();
        for step in 0..5 {
            let (x, target) = (values(step, 60), values(step + 9, 6));
            trainer.step(&x, &target).unwrap();
            session.input().write(&x).unwrap();
            session.forward().unwrap();
            let dy = host_loss(&session.output().read().unwrap(), &target);
            session.output_gradient().unwrap().write(&dy).unwrap();
            session.backward().unwrap();
            optimizer.step(session.gradients().unwrap()).unwrap();
        }
        assert_eq!((trainer.steps(), optimizer.steps()), (5, 5));
        let dicts = networks.each_ref().map(|network| network.state_dict().unwrap());
        for (name, entry) in &dicts[0].entries {
            let Values::Floats(expected) = &entry.values else { continue };
            for (a, b) in expected.iter().zip(floats(&dicts[1], name)) {
                // The loss is computed on the host in one and on the device in the other.
                assert!((a - b).abs() <= 2e-5 * (1.0 + a.abs()), "{rule:?} {name}: {a}, {b}");
            }
        }
        if index % 2 == 0 {
            let (a, b) = (trainer.gradient_norm().unwrap(), optimizer.gradient_norm().unwrap());
            assert!((a - b).abs() < 1e-4 * a, "{a}, {b}");
        } else {
            assert!(matches!(optimizer.gradient_norm(), Err(Error::Unprepared { .. })));
        }
    }
}

/// The names of the parameters that a step changes.
fn changed(before: &StateDict, after: &StateDict, network: &Network) -> Vec<String> {
    let differs = |name: &&str| floats(before, name) != floats(after, name);
    network.parameter_names().filter(differs).map(str::to_owned).collect()
}

/// Frozen parameters have no gradients and stay to the bit, alone and together, and the gradients of the others are the same.
#[test]
fn frozen_parameters_stay() {
    let run = |network: &Network| {
        let session = network.session_with(SHAPE, &SessionOptions::training()).unwrap();
        session.input().write(&values(1, 60)).unwrap();
        session.forward().unwrap();
        session.output_gradient().unwrap().write(&values(2, 6)).unwrap();
        session.backward().unwrap();
        let mut optimizer = network.optimizer(AdamW::new(0.01).weight_decay(0.1)).unwrap();
        let gradients = session.gradients().unwrap();
        let (dict, before) = (gradients.read().unwrap(), network.state_dict().unwrap());
        let dx = session.input_gradient().unwrap().read().unwrap();
        optimizer.step(gradients).unwrap();
        (dict, dx, changed(&before, &network.state_dict().unwrap(), network))
    };
    let fresh = || Network::new(gpu(), &module(), 1).unwrap();
    let all: Vec<String> = fresh().parameter_names().map(str::to_owned).collect();
    assert_eq!(all.len(), 7, "{all:?}");
    let (everything, dx, moved) = run(&fresh());
    assert_eq!(moved, all);
    // Each by itself, the first three, all but the last, and all.
    let sets = all.iter().map(|name| vec![name.clone()]).chain([all[..3].to_vec(), all[..6].to_vec(), all.clone()]);
    for set in sets {
        let network = fresh().frozen(&set).unwrap();
        let left: Vec<String> = all.iter().filter(|name| !set.contains(name)).cloned().collect();
        assert_eq!(network.trained_names().collect::<Vec<_>>(), left);
        let (gradients, same_dx, moved) = run(&network);
        assert_eq!(moved, left, "frozen: {set:?}");
        assert_eq!(same_dx, dx, "frozen: {set:?}");
        assert_eq!(gradients.entries.keys().len(), left.len());
        for (name, entry) in &gradients.entries {
            assert_eq!(*entry, everything.entries[name], "{name} with {set:?} frozen");
        }
    }
    // A network and its frozen form share parameters.
    let network = fresh();
    let frozen = network.frozen(["4.bias"]).unwrap();
    frozen.parameter("4.bias").unwrap().write(&[5.0, 6.0]).unwrap();
    assert_eq!(network.parameter("4.bias").unwrap().read().unwrap(), [5.0, 6.0]);
    assert!(matches!(network.frozen(["4.bias", "no"]), Err(Error::Parameter { name, .. }) if name == "no"));
    assert!(matches!(network.frozen(["1.running_mean"]), Err(Error::Parameter { .. })));
}

/// The norm of clipping is that of the trained parameters alone.
#[test]
fn frozen_parameters_do_not_count_for_clipping() {
    let network = Network::new(gpu(), &Conv1d::new(1, 1, 2), 1).unwrap().frozen(["bias"]).unwrap();
    let session = network.session_with([1, 1, 3], &SessionOptions::training()).unwrap();
    session.input().write(&[3.0, 4.0, 4.0]).unwrap();
    session.forward().unwrap();
    session.output_gradient().unwrap().write(&[1.0, 0.0]).unwrap();
    session.backward().unwrap();
    let mut optimizer = network.optimizer_with(Sgd::new(1.0), &OptimizerOptions::default().clip_norm(1.0)).unwrap();
    optimizer.step(session.gradients().unwrap()).unwrap();
    assert_eq!(optimizer.gradient_norm().unwrap(), 5.0);
    assert!(matches!(session.gradients().unwrap().tensor("bias"), Err(Error::Parameter { .. })));

    // Gradients of a session of the whole network, too: those of the others are left out, wherever they lie.
    let network = Network::new(gpu(), &module(), 1).unwrap();
    let gradients = Gradients::zeros(&network).unwrap();
    let norm = |frozen: &[&str]| {
        for (index, name) in network.trained_names().enumerate() {
            let tensor = gradients.tensor(name).unwrap();
            let value = if frozen.contains(&name) { 1e6 } else { index as f32 };
            tensor.write(&vec![value; tensor.len()]).unwrap();
        }
        let part = network.frozen(frozen).unwrap();
        let mut optimizer = part.optimizer_with(Sgd::new(0.0), &OptimizerOptions::default().clip_norm(1.0)).unwrap();
        optimizer.step(&gradients).unwrap();
        let squares = network
            .trained_names()
            .enumerate()
            .filter(|(_, name)| !frozen.contains(name))
            .map(|(i, name)| (i * i * network.parameter(name).unwrap().len()) as f32);
        let exact = squares.sum::<f32>().sqrt();
        let got = optimizer.gradient_norm().unwrap();
        assert!((got - exact).abs() <= 1e-5 * exact, "{frozen:?}: {got}, {exact}");
    };
    norm(&[]);
    norm(&["0.parametrizations.weight.original0"]);
    norm(&["1.weight", "4.bias"]);
    norm(&["0.bias", "1.bias", "4.weight"]);
}

/// The gradient of an input that the output does not depend on is zero.
#[test]
fn an_input_without_influence_has_a_gradient_of_zero() {
    struct Constant;
    impl conv1d_nn::Module for Constant {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, _: conv1d_nn::Value) -> conv1d_nn::Value {
            graph.parameter("constant", [1, 2, 3], conv1d_nn::Init::Constant(1.0))
        }
    }
    let network = Network::new(gpu(), &Constant, 1).unwrap();
    let session = network.session_with([1, 4, 5], &SessionOptions::training()).unwrap();
    session.forward().unwrap();
    session.output_gradient().unwrap().write(&[2.0; 6]).unwrap();
    session.backward().unwrap();
    assert_eq!(session.input_gradient().unwrap().read().unwrap(), [0.0; 20]);
    assert_eq!(session.gradients().unwrap().tensor("constant").unwrap().read().unwrap(), [2.0; 6]);
}

/// Networks of two devices do not mix, even where their buffers have the same numbers.
#[test]
fn networks_of_two_devices_do_not_mix() {
    let networks = [1, 2].map(|seed| Network::new(&conv1d::Gpu::new().unwrap(), &module(), seed).unwrap());
    let [a, b] = networks.each_ref().map(|network| Gradients::zeros(network).unwrap());
    let mut optimizer = networks[0].optimizer(Sgd::new(0.1)).unwrap();
    optimizer.step(&a).unwrap();
    assert!(matches!(optimizer.step(&b), Err(Error::WrongNetwork { .. })));
    assert!(matches!(a.add(&b, 1.0), Err(Error::WrongNetwork { .. })));
    assert_eq!(optimizer.steps(), 1);
}

/// Groups follow their own rules, wherever their parameters lie.
#[test]
fn groups_have_their_own_rules() {
    let network = Network::new(gpu(), &module(), 1).unwrap();
    let gradients = Gradients::zeros(&network).unwrap();
    for name in network.trained_names() {
        let tensor = gradients.tensor(name).unwrap();
        tensor.write(&vec![1.0; tensor.len()]).unwrap();
    }
    let biases = network.parameter_names().filter(|name| name.ends_with("bias"));
    let options = OptimizerOptions::default()
        .group(ParameterGroup::new(biases, Sgd::new(0.5)))
        .group(ParameterGroup::new(["4.weight"], Sgd::new(0.25).weight_decay(1.0)));
    let mut optimizer = network.optimizer_with(Sgd::new(0.125), &options).unwrap();
    let step = |optimizer: &mut conv1d_nn::Optimizer, rates: [f32; 3]| {
        let before = network.state_dict().unwrap();
        optimizer.step(&gradients).unwrap();
        let after = network.state_dict().unwrap();
        for name in network.parameter_names() {
            for (b, a) in floats(&before, name).iter().zip(floats(&after, name)) {
                let expected = match name {
                    "4.weight" => b - rates[2] * (1.0 + b),
                    name if name.ends_with("bias") => b - rates[1],
                    _ => b - rates[0],
                };
                assert!((a - expected).abs() < 1e-6, "{name}: {b} became {a}, not {expected}");
            }
        }
    };
    step(&mut optimizer, [0.125, 0.5, 0.25]);
    optimizer.set_learning_rate(1.0).unwrap();
    optimizer.set_group_learning_rate(1, 0.0).unwrap();
    step(&mut optimizer, [1.0, 0.5, 0.0]);
    optimizer.set_learning_rate_factor(0.5).unwrap();
    step(&mut optimizer, [0.5, 0.25, 0.0]);
    assert!(matches!(optimizer.set_group_learning_rate(2, 0.1), Err(Error::Conv1d(conv1d::Error::TooLarge { .. }))));
    assert!(matches!(optimizer.set_learning_rate_factor(f64::INFINITY), Err(Error::Argument { .. })));
    assert!(matches!(optimizer.set_learning_rate(-1.0), Err(Error::Argument { .. })));
    // Neither order of the two gives a product that is none.
    assert!(matches!(optimizer.set_learning_rate_factor(-1.0), Err(Error::Argument { .. })));
    optimizer.set_learning_rate_factor(1e30).unwrap();
    assert!(matches!(optimizer.set_learning_rate(1e30), Err(Error::Argument { .. })));

    let wrong = |group| network.optimizer_with(Sgd::new(0.1), &OptimizerOptions::default().group(group)).unwrap_err();
    assert!(matches!(wrong(ParameterGroup::new(["nobody"], Sgd::new(0.1))), Error::Parameter { .. }));
    assert!(matches!(wrong(ParameterGroup::new(["4.bias"], Adam::new(0.1))), Error::Parameter { .. }));
    assert!(matches!(wrong(ParameterGroup::new(["4.bias"], Sgd::new(0.1).momentum(0.5))), Error::Parameter { .. }));
    assert!(matches!(wrong(ParameterGroup::new(["4.bias", "4.bias"], Sgd::new(0.1))), Error::Parameter { .. }));
    assert!(matches!(wrong(ParameterGroup::new(["4.bias"], Sgd::new(f64::NAN))), Error::Argument { .. }));
}

/// Gradients of parts of a batch, accumulated, are those of the batch.
#[test]
fn accumulated_gradients_are_those_of_the_whole_batch() {
    let tcn = Tcn::new(2, 6, 1).layers(2).dropout(0.0);
    let network = Network::new(gpu(), &tcn, 3).unwrap();
    let (x, dy) = (values(1, 8 * 2 * 12), values(2, 8));
    let gradients = |parts: usize| {
        let batch = 8 / parts;
        let session = network.session_with([batch, 2, 12], &SessionOptions::training()).unwrap();
        let sum = Gradients::zeros(&network).unwrap();
        for part in 0..parts {
            session.input().write(&x[part * batch * 24..][..batch * 24]).unwrap();
            session.forward().unwrap();
            session.output_gradient().unwrap().write(&dy[part * batch..][..batch]).unwrap();
            session.backward().unwrap();
            sum.add(session.gradients().unwrap(), 1.0).unwrap();
        }
        sum
    };
    let (whole, four) = (gradients(1), gradients(4));
    for name in network.trained_names() {
        let [a, b] = [&whole, &four].map(|g| g.tensor(name).unwrap().read().unwrap());
        let size = a.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * (size + 1e-3)), "{name}");
    }
    four.zero().unwrap();
    assert!(four.tensor("output_layer.bias").unwrap().read().unwrap().iter().all(|&v| v == 0.0));
    let other = Gradients::zeros(&Network::new(gpu(), &tcn, 3).unwrap()).unwrap();
    assert!(matches!(four.add(&other, 1.0), Err(Error::WrongNetwork { .. })));
    assert!(matches!(four.add(&four, 1.0), Err(Error::Argument { .. })));
    let mut optimizer = network.optimizer(Sgd::new(0.1)).unwrap();
    assert!(matches!(optimizer.step(&other), Err(Error::WrongNetwork { .. })));
    assert_eq!(optimizer.steps(), 0);
}

/// The state of an optimiser goes into a dictionary and back, with groups, and goes on bit for bit.
#[test]
fn an_optimiser_goes_on_from_its_state() {
    let network = Network::new(gpu(), &module(), 1).unwrap();
    let gradients = Gradients::zeros(&network).unwrap();
    let weight = gradients.tensor("4.weight").unwrap();
    let options = OptimizerOptions::default().group(ParameterGroup::new(["4.weight"], Adam::new(0.03)));
    let optimizer = || network.optimizer_with(Adam::new(0.01), &options).unwrap();
    let start = network.state_dict().unwrap();
    let step = |optimizer: &mut conv1d_nn::Optimizer, index: u64| {
        weight.write(&values(index, 8)).unwrap();
        optimizer.step(&gradients).unwrap();
    };
    let mut whole = optimizer();
    (0..3).for_each(|index| step(&mut whole, index));
    whole.set_group_learning_rate(0, 0.02).unwrap();
    let (middle, state) = (network.state_dict().unwrap(), whole.state_dict().unwrap());
    (3..6).for_each(|index| step(&mut whole, index));
    let end = network.state_dict().unwrap();
    assert_ne!(start, end);

    network.load_state_dict(&middle).unwrap();
    let mut resumed = optimizer();
    resumed.load_state_dict(&StateDict::from_bytes(&state.to_bytes().unwrap()).unwrap()).unwrap();
    assert_eq!(resumed.steps(), 3);
    (3..6).for_each(|index| step(&mut resumed, index));
    assert_eq!(network.state_dict().unwrap(), end);

    // A wrong state changes nothing.
    for change in [
        (|state| drop(state.metadata.remove("learning_rate.1"))) as fn(&mut StateDict),
        |state| drop(state.metadata.insert("step".into(), "many".into())),
        |state| drop(state.entries.remove("exp_avg.4.bias")),
        |state| drop(state.entries.insert("velocity".into(), conv1d_nn::Entry::floats([1], vec![0.0]))),
        |state| drop(state.metadata.insert("learning_rate.2".into(), "0".into())),
        |state| drop(state.metadata.insert("learning_rate_factor".into(), (-1.0_f64).to_bits().to_string())),
    ] {
        let mut wrong = state.clone();
        change(&mut wrong);
        assert!(resumed.load_state_dict(&wrong).is_err());
        assert_eq!(resumed.steps(), 6);
    }
}

/// A trainer with a schedule and groups resumes bit for bit, and refuses a checkpoint of other groups or frozen parameters.
#[test]
fn schedules_groups_and_frozen_parameters_are_part_of_a_run() {
    let options = || {
        let group = ParameterGroup::new(["4.weight"], Adam::new(0.1));
        TrainerOptions::default().group(group).schedule(|step| 1.0 / (1.0 + step as f64))
    };
    let trainer = |frozen: &[&str], options: &TrainerOptions| {
        let network = Network::new(gpu(), &module(), 1).unwrap().frozen(frozen).unwrap();
        network.trainer_with(SHAPE, Loss::MeanSquaredError, Adam::new(0.05), options).unwrap()
    };
    let step = |trainer: &mut conv1d_nn::Trainer| trainer.step(&values(trainer.steps(), 60), &values(7, 6)).unwrap();
    let mut whole = trainer(&["4.bias"], &options());
    (0..3).for_each(|_| step(&mut whole));
    let checkpoint = conv1d::block_on(whole.checkpoint_async()).unwrap();
    (0..3).for_each(|_| step(&mut whole));
    let mut resumed = trainer(&["4.bias"], &options());
    conv1d::block_on(resumed.resume_async(checkpoint.clone())).unwrap();
    (0..3).for_each(|_| step(&mut resumed));
    assert_eq!(whole.network().state_dict().unwrap(), resumed.network().state_dict().unwrap());

    // Notes are under the checksum, too.
    for (note, value) in [("step", "1".to_owned()), ("learning_rate", 5.0_f64.to_bits().to_string())] {
        let mut changed = checkpoint.clone();
        changed.metadata.insert(note.into(), value);
        let refused = conv1d::block_on(resumed.resume_async(changed));
        assert!(matches!(refused, Err(Error::Parameter { .. })), "{note}: {refused:?}");
    }

    for mut other in [trainer(&[], &options()), trainer(&["4.bias"], &TrainerOptions::default())] {
        let refused = conv1d::block_on(other.resume_async(checkpoint.clone()));
        assert!(matches!(refused, Err(Error::Parameter { .. } | Error::StateKeys { .. })), "{refused:?}");
    }
}

/// A shader between two networks, all in one pass: the gradient goes back through it.
#[test]
fn a_shader_between_two_networks() {
    let first = Network::new(gpu(), &Conv1d::new(1, 2, 3), 1).unwrap();
    let second = Network::new(gpu(), &Conv1d::new(2, 1, 2), 2).unwrap();
    let a = first.session_with([2, 1, 9], &SessionOptions::default().gradients()).unwrap();
    let b = second.session_with([2, 2, 7], &SessionOptions::default().gradients()).unwrap();
    let text = "
// use: element
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(LANES)
fn main(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        y[i] = 2.0 * x[i] * factor[i];
    }
}
";
    let product = gpu().prepare_shader(&Shader::new("product", text)).unwrap();
    let elements = a.output().len();
    let bind = |x: &conv1d::Tensor, factor: &conv1d::Tensor, y: &conv1d::Tensor| {
        let bindings = Bindings::new().with("x", x.slice()).with("factor", factor.slice()).with("y", y.slice());
        product.bind(&bindings.value("count", elements as u32), Workgroups::Elements(elements as u64)).unwrap()
    };
    // y = x^2 / 2 * 2: the square, with the derivative 2 x.
    let halves = gpu().zeros(a.output().shape()).unwrap();
    let half = gpu().tensor(&vec![0.25; elements], [elements]).unwrap();
    let forward = [
        a.forward_pass().clone(),
        bind(a.output(), &half, &halves),
        bind(a.output(), &halves, b.input()),
        b.forward_pass().clone(),
    ];
    let back = bind(b.input_gradient().unwrap(), a.output(), a.output_gradient().unwrap());
    let backward = [b.backward_pass().unwrap().clone(), back, a.backward_pass().unwrap().clone()];
    let (x, dy) = (values(3, 18), values(4, 12));
    let run = |x: &[f32]| {
        a.input().write(x).unwrap();
        gpu().run(&Bound::sequence(gpu(), forward.clone()).unwrap()).unwrap();
        b.output().read().unwrap()
    };
    run(&x);
    b.output_gradient().unwrap().write(&dy).unwrap();
    gpu().run(&Bound::sequence(gpu(), backward).unwrap()).unwrap();
    let dx = a.input_gradient().unwrap().read().unwrap();
    let objective = |x: &[f32]| run(x).iter().zip(&dy).map(|(y, d)| f64::from(y * d)).sum::<f64>();
    for (index, gradient) in dx.iter().enumerate() {
        let moved = |by: f32| {
            let mut x = x.clone();
            x[index] += by;
            objective(&x)
        };
        let difference = (moved(0.01) - moved(-0.01)) / 0.02;
        assert!((difference - f64::from(*gradient)).abs() < 1e-3, "{index}: {difference}, {gradient}");
    }
}
