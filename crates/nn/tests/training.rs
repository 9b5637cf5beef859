//! Losses, optimisers and checkpoints against their definitions, and convergence of training.

use crate::harness::{gpu, values};
use conv1d::Gpu;
use conv1d_nn::{
    Adam, AdamW, BatchNorm1d, Checkpoints, Dataset, Dropout, Error, LastStep, Linear, Loss, Module, Network,
    Sequential, Sgd, Tcn, TcnBlock, TrainerOptions, UpdateRule, Values,
};
use std::ops::ControlFlow;

/// A linear network, whose gradients have a closed form.
fn linear() -> Sequential {
    Sequential::new().then(LastStep).then(Linear::new(3, 2))
}

fn parameters(network: &Network) -> Vec<f64> {
    let state = network.state_dict().unwrap();
    let floats = |name: &str| match &state.entries[name].values {
        Values::Floats(values) => values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    [floats("1.weight"), floats("1.bias")].concat()
}

/// Loss and gradients of the linear network, with weight `[2, 3]` and bias `[2]`, for a batch of 4.
fn exact(loss: Loss, parameters: &[f64], x: &[f32], values: &[f32], classes: &[u32]) -> (f64, Vec<f64>) {
    let mut total = 0.0;
    let mut gradients = vec![0.0; 8];
    for n in 0..4 {
        let input: Vec<f64> = (0..3).map(|c| x[n * 3 + c].into()).collect();
        let y: Vec<f64> =
            (0..2).map(|o| parameters[6 + o] + (0..3).map(|c| parameters[o * 3 + c] * input[c]).sum::<f64>()).collect();
        let dy: Vec<f64> = match loss {
            Loss::CrossEntropy => {
                let sum: f64 = y.iter().map(|y| y.exp()).sum();
                let class = classes[n] as usize;
                total += (sum.ln() - y[class]) / 4.0;
                (0..2).map(|o| (y[o].exp() / sum - f64::from(u8::from(o == class))) / 4.0).collect()
            }
            _ => {
                let errors: Vec<f64> = (0..2).map(|o| y[o] - f64::from(values[n * 2 + o])).collect();
                total += errors.iter().map(|e| e * e).sum::<f64>() / 8.0;
                errors.iter().map(|e| 2.0 * e / 8.0).collect()
            }
        };
        for o in 0..2 {
            (0..3).for_each(|c| gradients[o * 3 + c] += dy[o] * input[c]);
            gradients[6 + o] += dy[o];
        }
    }
    (total, gradients)
}

/// The optimisers as PyTorch's documentation defines them.
struct Definition {
    optimizer: UpdateRule,
    clip: Option<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl Definition {
    /// The number that Adam subtracts from a parameter.
    fn adam(&mut self, i: usize, g: f64, [learning_rate, beta1, beta2, epsilon]: [f64; 4]) -> f64 {
        self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * g;
        self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g * g;
        let mean = self.first[i] / (1.0 - beta1.powi(self.steps));
        let square = self.second[i] / (1.0 - beta2.powi(self.steps));
        learning_rate * mean / (square.sqrt() + epsilon)
    }

    fn step(&mut self, parameters: &mut [f64], gradients: &[f64]) {
        self.steps += 1;
        let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
        let scale = self.clip.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0));
        for i in 0..parameters.len() {
            let mut g = gradients[i] * scale;
            match self.optimizer {
                UpdateRule::Sgd(sgd) => {
                    let momentum = f64::from(sgd.momentum);
                    g += f64::from(sgd.weight_decay) * parameters[i];
                    self.first[i] = momentum * self.first[i] + g;
                    let along = if sgd.nesterov { g + momentum * self.first[i] } else { self.first[i] };
                    parameters[i] -= sgd.learning_rate * along;
                }
                UpdateRule::Adam(adam) => {
                    g += f64::from(adam.weight_decay) * parameters[i];
                    let moments = [adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon.into()];
                    parameters[i] -= self.adam(i, g, moments);
                }
                UpdateRule::AdamW(adam) => {
                    parameters[i] *= 1.0 - adam.learning_rate * f64::from(adam.weight_decay);
                    let moments = [adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon.into()];
                    parameters[i] -= self.adam(i, g, moments);
                }
                _ => panic!("an optimiser without a definition here"),
            }
        }
    }
}

#[test]
fn optimisers_and_losses_are_those_of_pytorch() {
    let cases: [(Loss, UpdateRule, Option<f32>); 7] = [
        (Loss::MeanSquaredError, Sgd::new(0.1).into(), None),
        (Loss::MeanSquaredError, Sgd::new(0.05).momentum(0.9).weight_decay(0.1).into(), None),
        (Loss::CrossEntropy, Sgd::new(0.1).momentum(0.8).nesterov(true).into(), Some(0.05)),
        (Loss::CrossEntropy, Adam::new(0.01).into(), None),
        (Loss::MeanSquaredError, Adam::new(0.02).betas(0.8, 0.95).weight_decay(0.2).into(), Some(0.1)),
        (Loss::MeanSquaredError, AdamW::new(0.02).weight_decay(0.3).into(), None),
        (Loss::CrossEntropy, AdamW::new(0.01).epsilon(1e-3).betas(0.7, 0.9).into(), Some(100.0)),
    ];
    for (loss, optimizer, clip) in cases {
        let what = format!("{loss:?} {optimizer:?}");
        let network = Network::new(gpu(), &linear(), 5).unwrap();
        let mut options = TrainerOptions::default();
        options.optimizer.clip_norm = clip;
        let mut trainer = network.trainer_with([4, 3, 1], loss, optimizer, &options).unwrap();
        let mut expected = parameters(&network);
        let zeros = || vec![0.0; 8];
        let clip_exact = clip.map(f64::from);
        let mut definition = Definition { optimizer, clip: clip_exact, first: zeros(), second: zeros(), steps: 0 };
        for step in 0..6 {
            let (x, targets, classes) = (values(step, 12), values(step + 50, 8), [step as u32 % 2, 1, 0, 1]);
            match loss {
                Loss::CrossEntropy => trainer.step(&x, &classes).unwrap(),
                _ => trainer.step(&x, &targets).unwrap(),
            }
            let (total, gradients) = exact(loss, &expected, &x, &targets, &classes);
            definition.step(&mut expected, &gradients);
            let losses = trainer.losses().unwrap();
            assert_eq!(losses.len(), 1);
            assert_eq!(losses[0].step, step + 1);
            assert!((f64::from(losses[0].loss) - total).abs() < 2e-6 * (1.0 + total), "{what}: {losses:?}, {total}");
            if clip.is_some() {
                let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
                let got = f64::from(trainer.gradient_norm().unwrap());
                assert!((got - norm).abs() < 1e-5 * norm, "{what}: norm {got}, {norm}");
            }
            // An Adam step is a ratio: where numerator and denominator are small, they have few correct digits.
            for (got, expected) in parameters(&network).iter().zip(&expected) {
                assert!(
                    (got - expected).abs() < 2e-5 * (1.0 + expected.abs()),
                    "{what}, step {step}: {got}, {expected}"
                );
            }
        }
    }
}

/// The target at every time step is the class of the input three steps before.
struct Echo;

const ECHO: [usize; 3] = [16, 4, 24];

impl Dataset for Echo {
    type Target = u32;

    fn len(&self) -> usize {
        200
    }

    fn sample(&self, index: usize, input: &mut [f32], target: &mut [u32]) {
        let [_, classes, length] = ECHO;
        let random = values(index as u64 + 1, length);
        let class = |t: usize| ((random[t] + 1.0) * 2.0) as usize % classes;
        input.fill(0.0);
        for t in 0..length {
            input[class(t) * length + t] = 1.0;
            target[t] = if t < 3 { 0 } else { class(t - 3) as u32 };
        }
    }
}

fn echo() -> Tcn {
    Tcn::new(4, 16, 4).layers(2).dropout(0.1).every_step(true)
}

#[test]
fn training_converges_on_classes() {
    let network = Network::new(gpu(), &echo(), 1).unwrap();
    let mut trainer = network.trainer(ECHO, Loss::CrossEntropy, Adam::new(0.01)).unwrap();
    let mut losses = Vec::new();
    trainer
        .fit(&Echo, 150, None, |progress| {
            losses.push(progress.loss);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(losses.len(), 150);
    let last = losses[140..].iter().sum::<f32>() / 10.0;
    // A guess has the loss ln 4 = 1.39.
    assert!(last < 0.2, "{last} after {:?}", &losses[..3]);
}

/// A small adding problem: the target is the mean of the two marked numbers of a row.
struct Adding;

impl Dataset for Adding {
    type Target = f32;

    fn len(&self) -> usize {
        512
    }

    fn sample(&self, index: usize, input: &mut [f32], target: &mut [f32]) {
        let length = input.len() / 2;
        let random = values(index as u64 + 1, length + 2);
        let (numbers, marks) = input.split_at_mut(length);
        numbers.copy_from_slice(&random[..length]);
        marks.fill(0.0);
        let half = length / 2;
        let place = |v: f32| ((v + 1.0) / 2.0 * half as f32) as usize % half;
        let (first, second) = (place(random[length]), half + place(random[length + 1]));
        (marks[first], marks[second]) = (1.0, 1.0);
        target[0] = (numbers[first] + numbers[second]) / 2.0;
    }
}

#[test]
fn training_converges_on_numbers() {
    let network = Network::new(gpu(), &Tcn::new(2, 12, 1).kernel_size(4).layers(3).dropout(0.0), 2).unwrap();
    let options = TrainerOptions::default().clip_norm(1.0);
    let shape = [32, 2, 20];
    let mut trainer = network.trainer_with(shape, Loss::MeanSquaredError, Adam::new(0.01), &options).unwrap();
    let mut losses = Vec::new();
    trainer
        .fit(&Adding, 300, None, |progress| {
            losses.push(progress.loss);
            ControlFlow::Continue(())
        })
        .unwrap();
    let last = losses[290..].iter().sum::<f32>() / 10.0;
    // An output of 0 has the loss 1/6.
    assert!(last < 0.02, "{last} after {:?}", &losses[..3]);
}

/// A network with dropout and running statistics. The test adds momenta and the order of samples.
fn stateful() -> Sequential {
    Sequential::new()
        .then(TcnBlock::new(4, 8, 3).dropout(0.3))
        .then(BatchNorm1d::new(8))
        .then(Dropout(0.2))
        .then(conv1d::Conv1d::new(8, 4, 1))
}

#[test]
fn a_resumed_run_is_the_same_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    for optimizer in [UpdateRule::from(AdamW::new(0.01)), Sgd::new(0.05).momentum(0.9).into()] {
        let options = TrainerOptions::default().clip_norm(0.5).seed(11);
        let trainer = || {
            let network = Network::new(gpu(), &stateful(), 3).unwrap();
            network.trainer_with(ECHO, Loss::CrossEntropy, optimizer, &options).unwrap()
        };
        let mut losses = [Vec::new(), Vec::new()];
        let mut whole = trainer();
        let checkpoints = Checkpoints::new(&path, 7);
        // More than an epoch of 12 batches.
        whole
            .fit(&Echo, 17, Some(&checkpoints), |progress| {
                losses[0].push((progress.step, progress.loss.to_bits()));
                ControlFlow::Continue(())
            })
            .unwrap();
        let mut resumed = trainer();
        resumed.resume(&path).unwrap();
        assert_eq!(resumed.steps(), 17);

        let mut stopped = trainer();
        stopped.set_learning_rate(0.123).unwrap();
        let early = folder.path().join("early");
        let checkpoints = Checkpoints::new(&early, 7);
        stopped.set_learning_rate(optimizer.learning_rate()).unwrap();
        stopped.fit(&Echo, 7, Some(&checkpoints), |_| ControlFlow::Continue(())).unwrap();
        let mut resumed = trainer();
        resumed.resume(&early).unwrap();
        assert_eq!(resumed.steps(), 7);
        resumed
            .fit(&Echo, 17, None, |progress| {
                losses[1].push((progress.step, progress.loss.to_bits()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(losses[0][7..], losses[1]);
        assert_eq!(whole.network().state_dict().unwrap(), resumed.network().state_dict().unwrap());
        let again = folder.path().join("again");
        resumed.save(&again).unwrap();
        whole.save(&path).unwrap();
        let load = |path| conv1d_nn::StateDict::load(path).unwrap();
        assert_eq!(load(&again), load(&path));
    }
}

#[test]
fn checkpoints_of_other_runs_are_refused_and_good_ones_survive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let network = Network::new(gpu(), &linear(), 1).unwrap();
    let mut trainer = network.trainer([4, 3, 1], Loss::MeanSquaredError, Adam::new(0.01)).unwrap();
    trainer.step(&values(1, 12), &values(2, 8)).unwrap();
    trainer.save(&path).unwrap();
    let state = network.state_dict().unwrap();

    let refused = |module: &dyn Module, loss, optimizer: UpdateRule, seed| {
        let network = Network::new(gpu(), module, 1).unwrap();
        let options = TrainerOptions::default().seed(seed);
        let mut trainer = network.trainer_with([4, 3, 1], loss, optimizer, &options).unwrap();
        let before = network.state_dict().unwrap();
        let error = trainer.resume(&path).unwrap_err();
        assert_eq!((network.state_dict().unwrap(), trainer.steps()), (before, 0));
        error
    };
    let (mse, adam) = (Loss::MeanSquaredError, UpdateRule::from(Adam::new(0.01)));
    assert!(matches!(refused(&linear(), mse, adam, 5), Error::Conv1d(conv1d::Error::File { .. })));
    assert!(matches!(refused(&linear(), Loss::CrossEntropy, adam, 0), Error::Conv1d(conv1d::Error::File { .. })));
    assert!(matches!(refused(&linear(), mse, Sgd::new(0.1).into(), 0), Error::Conv1d(conv1d::Error::File { .. })));
    assert!(matches!(
        refused(&linear(), mse, Adam::new(0.01).betas(0.8, 0.9).into(), 0),
        Error::Conv1d(conv1d::Error::File { .. })
    ));
    let other = Sequential::new().then(LastStep).then(Linear::new(3, 2).bias(false));
    assert!(matches!(refused(&other, mse, adam, 0), Error::Conv1d(conv1d::Error::File { .. })));
    // The same parameters in another network.
    let other = Sequential::new().then(LastStep).then(Linear::new(3, 2)).then(conv1d::Activation::Tanh);
    assert!(matches!(refused(&other, mse, adam, 0), Error::Conv1d(conv1d::Error::File { .. })));

    // Changed metadata.
    let whole = conv1d_nn::StateDict::load(&path).unwrap();
    for (note, value) in [("step", u64::MAX), ("learning_rate", f64::NAN.to_bits())] {
        let mut changed = whole.clone();
        changed.metadata.insert(note.into(), value.to_string());
        changed.save(folder.path().join("half")).unwrap();
        assert!(trainer.resume(folder.path().join("half")).is_err(), "{note}");
        assert_eq!((network.state_dict().unwrap(), trainer.steps()), (state.clone(), 1));
    }

    // A run that the observer stopped is not saved.
    struct One;
    impl Dataset for One {
        type Target = f32;
        fn len(&self) -> usize {
            4
        }
        fn sample(&self, _: usize, input: &mut [f32], target: &mut [f32]) {
            input.fill(1.0);
            target.fill(f32::NAN);
        }
    }
    let kept = std::fs::read(&path).unwrap();
    let checkpoints = Checkpoints::new(&path, 1);
    trainer.fit(&One, 5, Some(&checkpoints), |_| ControlFlow::Break(())).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), kept);
    trainer.resume(&path).unwrap();

    // A flipped bit in the middle of the numbers.
    let mut damaged = std::fs::read(&path).unwrap();
    let last = damaged.len() - 9;
    damaged[last] ^= 1;
    std::fs::write(folder.path().join("half"), damaged).unwrap();
    assert!(matches!(trainer.resume(folder.path().join("half")), Err(Error::Conv1d(conv1d::Error::File { .. }))));
    // Saving through a link writes its target, and the link stays.
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        trainer.save(&link).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        std::fs::remove_file(&link).unwrap();
    }

    // A failed write leaves the old file; a truncated file is refused.
    let bytes = std::fs::read(&path).unwrap();
    assert!(matches!(
        trainer.save(folder.path().join("no/such/folder")),
        Err(Error::Conv1d(conv1d::Error::File { .. }))
    ));
    std::fs::write(folder.path().join("half"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(trainer.resume(folder.path().join("half")), Err(Error::Conv1d(conv1d::Error::File { .. }))));
    network.save(folder.path().join("model")).unwrap();
    assert!(matches!(trainer.resume(folder.path().join("model")), Err(Error::Conv1d(conv1d::Error::File { .. }))));
    assert_eq!(network.state_dict().unwrap(), state);
    trainer.resume(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "something was left behind");
}

#[test]
fn wrong_batches_leave_everything_as_it_was() {
    let network = Network::new(gpu(), &linear(), 1).unwrap();
    let mut trainer = network.trainer([4, 3, 1], Loss::CrossEntropy, Adam::new(0.01)).unwrap();
    let before = network.state_dict().unwrap();
    let x = values(1, 12);
    assert!(matches!(
        trainer.step(&x[1..], &[0_u32; 4]),
        Err(Error::Conv1d(conv1d::Error::DataLength { got: 11, expected: 12, .. }))
    ));
    assert!(matches!(
        trainer.step(&x, &[0_u32; 5]),
        Err(Error::Conv1d(conv1d::Error::DataLength { got: 5, expected: 4, .. }))
    ));
    assert!(matches!(
        trainer.step(&x, &[0, 1, 2, 0_u32]),
        Err(Error::Conv1d(conv1d::Error::TooLarge { value: 2, limit: 1, .. }))
    ));
    assert!(matches!(trainer.step(&x, &[0.0_f32; 4]), Err(Error::TargetKind { .. })));
    assert!(matches!(trainer.set_learning_rate(f64::NAN), Err(Error::Argument { .. })));
    assert_eq!((network.state_dict().unwrap(), trainer.steps()), (before, 0));
    assert!(trainer.losses().unwrap().is_empty());

    let wrong = |optimizer: UpdateRule| network.trainer([4, 3, 1], Loss::CrossEntropy, optimizer).unwrap_err();
    for optimizer in [
        UpdateRule::from(Sgd::new(-1.0)),
        Sgd::new(0.1).momentum(f32::NAN).into(),
        Sgd::new(0.1).nesterov(true).into(),
        Adam::new(f64::INFINITY).into(),
        Adam::new(0.1).betas(1.0, 0.9).into(),
        Adam::new(0.1).epsilon(-1.0).into(),
        AdamW::new(0.1).weight_decay(-1.0).into(),
        Adam::new(1e30).betas(1.0 - 1e-12, 0.9).into(),
    ] {
        assert!(matches!(wrong(optimizer), Error::Argument { .. }), "{optimizer:?}");
    }
    let no_batch = network.trainer([0, 3, 1], Loss::CrossEntropy, Adam::new(0.1));
    assert!(matches!(no_batch, Err(Error::Conv1d(conv1d::Error::Zero { argument: "batch" }))));
    let options = TrainerOptions::default().clip_norm(0.0);
    let clip = network.trainer_with([4, 3, 1], Loss::CrossEntropy, Adam::new(0.1), &options);
    assert!(matches!(clip, Err(Error::Argument { .. })));

    struct Few;
    impl Dataset for Few {
        type Target = u32;
        fn len(&self) -> usize {
            3
        }
        fn sample(&self, _: usize, _: &mut [f32], _: &mut [u32]) {}
    }
    let few = trainer.fit(&Few, 1, None, |_| ControlFlow::Continue(()));
    assert!(matches!(few, Err(Error::TooFewSamples { samples: 3, batch: 4 })));
}

/// More classes than one lane handles in a split of the usual size, and a network whose output has no classes.
#[test]
fn cross_entropy_of_many_classes() {
    let network = Network::new(gpu(), &Sequential::new().then(LastStep).then(Linear::new(3, 700)), 1).unwrap();
    let mut trainer = network.trainer([4, 3, 1], Loss::CrossEntropy, Sgd::new(0.0)).unwrap();
    trainer.step(&values(1, 12), &[0_u32, 1, 698, 699]).unwrap();
    let loss = trainer.losses().unwrap()[0].loss;
    assert!((loss - 700_f32.ln()).abs() < 0.5, "{loss}");

    struct Constant;
    impl Module for Constant {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, _: conv1d_nn::Value) -> conv1d_nn::Value {
            graph.parameter("p", [5], conv1d_nn::Init::Constant(1.0))
        }
    }
    let network = Network::new(gpu(), &Constant, 1).unwrap();
    let refused = network.trainer([4, 3, 1], Loss::CrossEntropy, Sgd::new(0.1));
    assert!(matches!(refused, Err(Error::Conv1d(conv1d::Error::Shape { .. }))));
    // Mean squared error works: the target has the shape of the constant.
    let mut trainer = network.trainer([4, 3, 1], Loss::MeanSquaredError, Sgd::new(1.0)).unwrap();
    trainer.step(&values(1, 12), &[0.0_f32; 5]).unwrap();
    assert_eq!(trainer.losses().unwrap()[0].loss, 1.0);
}

/// A parameter without influence has no gradient, and a NaN target makes every parameter NaN, even with clipping.
#[test]
fn gradients_of_nothing_and_of_no_number() {
    struct Unused;
    impl Module for Unused {
        fn add_to(&self, graph: &mut conv1d_nn::Graph, x: conv1d_nn::Value) -> conv1d_nn::Value {
            graph.parameter("unused", [2], conv1d_nn::Init::Constant(1.0));
            linear().add_to(graph, x)
        }
    }
    let network = Network::new(gpu(), &Unused, 1).unwrap();
    let mut trainer = network.trainer([4, 3, 1], Loss::MeanSquaredError, Adam::new(0.1).epsilon(0.0)).unwrap();
    trainer.step(&values(1, 12), &values(2, 8)).unwrap();
    assert_eq!(network.state_dict().unwrap().entries["unused"].values, Values::Floats(vec![1.0; 2]));
    assert!(parameters(&network).iter().all(|p| p.is_finite()));

    let options = TrainerOptions::default().clip_norm(1.0);
    let network = Network::new(gpu(), &linear(), 1).unwrap();
    let mut trainer = network.trainer_with([4, 3, 1], Loss::MeanSquaredError, Sgd::new(0.1), &options).unwrap();
    trainer.step(&values(1, 12), &[f32::NAN; 8]).unwrap();
    assert!(parameters(&network).iter().all(|p| p.is_nan()));
}

/// The norm of zero gradients is available, too.
#[test]
fn the_norm_of_gradients_is_told_where_they_are_clipped() {
    let network = Network::new(gpu(), &linear(), 1).unwrap();
    let options = TrainerOptions::default().clip_norm(1.0);
    let session = network.session([4, 3, 1]).unwrap();
    session.input().write(&values(1, 12)).unwrap();
    session.forward().unwrap();
    let target = session.output().read().unwrap();
    let mut trainer = network.trainer_with([4, 3, 1], Loss::MeanSquaredError, Sgd::new(0.1), &options).unwrap();
    assert!(matches!(trainer.gradient_norm(), Err(Error::Unprepared { .. })));
    trainer.step(&values(1, 12), &target).unwrap();
    assert_eq!(trainer.gradient_norm(), Ok(0.0));
    let mut trainer = network.trainer([4, 3, 1], Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
    trainer.step(&values(1, 12), &target).unwrap();
    assert!(matches!(trainer.gradient_norm(), Err(Error::Unprepared { .. })));
}

/// Endless datasets, and datasets that panic: the panic is propagated, and nothing hangs.
#[test]
fn datasets_may_be_endless_and_may_panic() {
    struct Endless;
    impl Dataset for Endless {
        type Target = f32;
        fn len(&self) -> usize {
            usize::MAX
        }
        fn sample(&self, index: usize, input: &mut [f32], target: &mut [f32]) {
            input.fill((index % 7) as f32);
            target.fill(1.0);
        }
    }
    struct Panics;
    impl Dataset for Panics {
        type Target = f32;
        fn len(&self) -> usize {
            100
        }
        fn sample(&self, _: usize, _: &mut [f32], _: &mut [f32]) {
            panic!("no sample today");
        }
    }
    let network = Network::new(gpu(), &linear(), 1).unwrap();
    let mut trainer = network.trainer([4, 3, 1], Loss::MeanSquaredError, Sgd::new(0.001)).unwrap();
    let mut told = 0;
    trainer
        .fit(&Endless, 40, None, |_| {
            told += 1;
            if told == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((told, trainer.steps()), (10, 32));
    // The other losses can still be read.
    assert_eq!(trainer.losses().unwrap().iter().map(|p| p.step).collect::<Vec<_>>(), (11..=32).collect::<Vec<_>>());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trainer.fit(&Panics, 40, None, |_| ControlFlow::Continue(()))
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"no sample today"));
}

/// Training allocates the planned memory, and a thousand steps allocate no more. It has its own device, because
/// allocations of other tests would count.
#[test]
fn a_thousand_steps_take_no_more_memory() {
    let gpu = Gpu::new().unwrap();
    let network = Network::new(&gpu, &Tcn::new(2, 6, 1).layers(2), 1).unwrap();
    let report =
        || gpu.device().generate_allocator_report().expect("the backend reports what is allocated").allocations;
    let allocated = || report().iter().map(|a| a.size).sum::<u64>();
    let mut trainer = network.trainer([4, 2, 16], Loss::MeanSquaredError, Adam::new(0.001)).unwrap();
    let memory = *trainer.memory();
    let tensors: Vec<u64> = report().iter().filter(|a| a.name == "conv1d tensor").map(|a| a.size).collect();
    let (planned, there) = (memory.total() - memory.workspace, tensors.iter().sum::<u64>());
    // Drivers round sizes up.
    assert!((planned..=planned + 256 * tensors.len() as u64).contains(&there), "{planned} planned, {there} allocated");
    let (x, y) = (values(1, 4 * 2 * 16), values(2, 4));
    let mut most = [0, 0];
    for step in 0..1000 {
        trainer.step(&x, &y).unwrap();
        let half = &mut most[step / 500];
        *half = allocated().max(*half);
    }
    assert!(most[1] <= most[0], "grew from {} to {}", most[0], most[1]);
    let tensors: u64 = report().iter().filter(|a| a.name == "conv1d tensor").map(|a| a.size).sum();
    assert_eq!(tensors, there);
    assert_eq!(trainer.losses().unwrap().len(), 1000);
}
