//! Training: losses, and steps that run on the device from the batch to the new parameters.

use super::data::{Dataset, Loader, Target, TargetKind};
use super::graph::Kind;
use super::input::Input;
use super::optimizer::Optimizer;
use super::schedule::{KEPT_LOSSES, Training};
use super::session::{Memory, Mode, Network, Session, SessionOptions};
use super::state::{Entry, Incompatible, StateDict};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Bound, Signal, Tensor};
use crate::plan::PlanOptions;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ops::ControlFlow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::path::PathBuf;

/// What training makes small: a mean over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The mean of the squared differences to a target of the output's shape (`torch.nn.MSELoss`).
    MeanSquaredError,
    /// The mean of `-log softmax` over the channels, at the right class (`torch.nn.CrossEntropyLoss`): of `[N, C]`, or at every position
    /// of `[N, C, L]`. Targets are classes, `[N]` or `[N, L]`.
    CrossEntropy,
}

/// What a [`Trainer`] does beside loss and optimiser.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TrainerOptions {
    /// The largest norm of all gradients together (`torch.nn.utils.clip_grad_norm_`); larger ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Decides what dropout drops, and the order of the samples.
    pub seed: u64,
    /// How convolutions are planned.
    pub plan: PlanOptions,
}

impl TrainerOptions {
    /// Sets the largest norm of all gradients together.
    #[must_use]
    pub fn clip_norm(self, norm: f32) -> Self {
        TrainerOptions { clip_norm: Some(norm), ..self }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        TrainerOptions { seed, ..self }
    }

    /// Sets how convolutions are planned.
    #[must_use]
    pub fn plan(self, plan: PlanOptions) -> Self {
        TrainerOptions { plan, ..self }
    }
}

/// Where [`Trainer::fit`] writes checkpoints, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoints {
    /// The file; each replaces the one before.
    pub path: PathBuf,
    /// Steps from one to the next.
    pub every: u64,
}

impl Checkpoints {
    /// Into a file, every so many steps and at the end.
    pub fn new(path: impl Into<PathBuf>, every: u64) -> Self {
        Checkpoints { path: path.into(), every }
    }
}

/// A step that was done.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Steps done, this one included.
    pub step: u64,
    /// The loss of its batch, before the step.
    pub loss: f32,
}

/// Steps that are counted, which no run reaches.
const MOST_STEPS: u64 = 1 << 48;
/// Steps that may be queued on the device: one that runs, and one that waits for it.
const QUEUED: usize = 2;
/// Steps whose losses are read in one go.
const LOSSES_AT_ONCE: u64 = 32;

/// A network that is being trained on batches of one shape.
///
/// All parameters are updated in each step, those without influence on the output too: weight decay shrinks them.
///
/// ```
/// use conv1d::Gpu;
/// use conv1d::nn::{Adam, Loss, Network, Tcn};
/// let gpu = Gpu::new()?;
/// let network = Network::new(&gpu, &Tcn::new(2, 8, 1).layers(2).dropout(0.0), 1)?;
/// let mut trainer = network.trainer([4, 2, 20], Loss::MeanSquaredError, Adam::new(0.01))?;
/// let (x, y) = (vec![0.5; 4 * 2 * 20], [1.0_f32; 4]);
/// for _ in 0..20 {
///     trainer.step(&x, &y)?; // queued: forward, loss, backward, update
/// }
/// let losses = trainer.losses()?;
/// assert!(losses[19].loss < losses[0].loss);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    session: Session,
    step_pass: Bound,
    loss: Loss,
    optimizer: Optimizer,
    clip_norm: Option<f32>,
    seed: u64,
    steps: u64,
    /// Whether this trainer did the last of them.
    stepped: bool,
    /// Steps whose losses were read.
    read: u64,
    /// The ends of the steps that may still be queued.
    queued: VecDeque<Signal>,
}

impl Trainer {
    pub(super) fn new(
        network: &Network,
        input: Input,
        loss: Loss,
        optimizer: Optimizer,
        options: &TrainerOptions,
    ) -> Result<Trainer> {
        optimizer.check()?;
        if let Some(norm) = options.clip_norm.filter(|norm| norm.is_nan() || *norm <= 0.0) {
            return Err(Error::argument("the largest norm of gradients", norm, "more than 0"));
        }
        let session = SessionOptions::default().mode(Mode::Training).parameter_gradients();
        let session = session.seed(options.seed).plan(options.plan.clone());
        let training = Training { loss, optimizer, clip: options.clip_norm };
        let session = Session::new(network, input, &session, Some(training))?;
        let both = [session.forward_pass().clone(), session.backward_pass()?.clone()];
        let step_pass = Bound::sequence(network.gpu(), both)?;
        Ok(Trainer {
            network: network.clone(),
            session,
            step_pass,
            loss,
            optimizer,
            clip_norm: options.clip_norm,
            seed: options.seed,
            steps: 0,
            stepped: false,
            read: 0,
            queued: VecDeque::new(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Steps done so far, those before a checkpoint included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the learning rate of the steps to come. Part of checkpoints.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let optimizer = self.optimizer.with_learning_rate(learning_rate);
        optimizer.check()?;
        self.optimizer = optimizer;
        Ok(())
    }

    /// What it takes on the device. All of it is there already.
    pub fn memory(&self) -> &Memory {
        self.session.memory()
    }

    /// Does a step on a batch: forward, loss, backward, update, all queued. It waits where the device is two steps behind; a
    /// browser cannot wait, and queues them all.
    ///
    /// The batch has the trainer's shape, its target that of the output, or one of classes for [`Loss::CrossEntropy`].
    pub fn step<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.enqueue(input, target)?;
        #[cfg(not(target_arch = "wasm32"))]
        block_on(self.wait_for_the_device())?;
        self.queued.drain(..self.queued.len().saturating_sub(QUEUED));
        Ok(())
    }

    /// As [`Trainer::step`], without blocking, also in a browser.
    pub async fn step_async<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.enqueue(input, target)?;
        self.wait_for_the_device().await
    }

    fn enqueue<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.check_target::<T>()?;
        let words: &[f32] = bytemuck::cast_slice(target);
        let place = self.session.target().ok_or(Error::MissingBuffer { role: "the target" })?;
        // Both are checked before either is written: a wrong call leaves everything as it was.
        for (what, got, tensor) in
            [("the batch", input.len(), self.session.input()), ("the target", words.len(), place)]
        {
            if got != tensor.len() {
                return Err(Error::DataLength { tensor: what, got, expected: tensor.len() });
            }
        }
        if T::KIND == TargetKind::Classes {
            let classes = self.session.batch_output().get(1).copied().unwrap_or_default() as u64;
            if let Some(&class) =
                bytemuck::cast_slice::<T, u32>(target).iter().find(|&&class| u64::from(class) >= classes)
            {
                return Err(Error::TooLarge { what: "a class", value: class.into(), limit: classes.saturating_sub(1) });
            }
        }
        if self.steps - self.read >= KEPT_LOSSES as u64 {
            // Nobody asked for them.
            self.read = self.steps - KEPT_LOSSES as u64 + 1;
        }
        let gpu = self.network.gpu();
        self.session.input().write(input)?;
        place.write(words)?;
        self.session.control().write(&self.optimizer.control(self.steps + 1))?;
        let submission = gpu.submit(&self.step_pass)?;
        self.queued.push_back(Signal::end_of(submission, gpu.queue()));
        self.steps += 1;
        self.stepped = true;
        Ok(())
    }

    /// Waits until no more than [`QUEUED`] steps are queued.
    async fn wait_for_the_device(&mut self) -> Result<()> {
        while self.queued.len() > QUEUED {
            if let Some(end) = self.queued.pop_front() {
                self.network.gpu().wait(end).await?;
            }
        }
        Ok(())
    }

    fn check_target<T: Target>(&self) -> Result<()> {
        let wanted = match self.loss {
            Loss::MeanSquaredError => TargetKind::Values,
            Loss::CrossEntropy => TargetKind::Classes,
        };
        if T::KIND == wanted { Ok(()) } else { Err(Error::TargetKind { expected: wanted.name(), got: T::KIND.name() }) }
    }

    /// Waits, and reads the losses of the steps since the last call, 1024 of them at most. Each is that of its batch before the
    /// step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn losses(&mut self) -> Result<Vec<Progress>> {
        block_on(self.losses_async())
    }

    /// As `losses`, without blocking.
    pub async fn losses_async(&mut self) -> Result<Vec<Progress>> {
        let Some(losses) = self.session.losses().filter(|_| self.read < self.steps) else { return Ok(Vec::new()) };
        let kept = losses.read_async().await?;
        let first = self.read.max(self.steps.saturating_sub(KEPT_LOSSES as u64));
        let progress = (first..self.steps)
            // The place on the device goes by the step's 32-bit word.
            .map(|step| Progress { step: step + 1, loss: kept[step as u32 as usize % KEPT_LOSSES] })
            .collect();
        self.read = self.steps;
        Ok(progress)
    }

    /// Waits, and reads the norm of all gradients together of the last step, before clipping.
    ///
    /// # Errors
    /// [`Error::Unprepared`] without clipping, and before the first step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gradient_norm(&self) -> Result<f32> {
        block_on(self.gradient_norm_async())
    }

    /// As `gradient_norm`, without blocking.
    pub async fn gradient_norm_async(&self) -> Result<f32> {
        let unprepared = |needs| Error::Unprepared { what: "norms of gradients", needs };
        let clipping = self.session.clipping().ok_or(unprepared("a trainer made with TrainerOptions::clip_norm"))?;
        if !self.stepped {
            return Err(unprepared("a step before them"));
        }
        Ok(clipping.read_async().await?[1])
    }

    /// Trains until so many steps are done, on batches of a dataset in an order that follows from the seed: every sample once an
    /// epoch, but for those that fill no batch. Batches are made on another thread while the device works.
    ///
    /// `observe` is told of every step, 32 steps at a time, and can end the training; steps that are done by then stay done. Checkpoints
    /// are written as often as they say and at the end, but not once `observe` has ended it. A run that is resumed from a checkpoint
    /// goes on with the batches where it stopped. What a dataset panics with comes through.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit<D: Dataset>(
        &mut self,
        data: &D,
        until: u64,
        checkpoints: Option<&Checkpoints>,
        mut observe: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let loader = self.loader(data)?;
        if checkpoints.is_some_and(|c| c.every == 0) {
            return Err(Error::Zero { argument: "steps between checkpoints" });
        }
        loader.run(self.steps..until, |input, target| {
            self.step(input, target)?;
            let save = checkpoints.filter(|c| self.steps.is_multiple_of(c.every) || self.steps == until);
            let mut flow = ControlFlow::Continue(());
            if save.is_some() || self.steps.is_multiple_of(LOSSES_AT_ONCE) || self.steps == until {
                let losses = self.losses()?;
                flow = self.tell(losses, &mut observe);
            }
            // Whoever ends it may have seen what is not worth keeping.
            if let Some(checkpoints) = save.filter(|_| flow.is_continue()) {
                self.save(&checkpoints.path)?;
            }
            Ok(flow)
        })
    }

    /// As `fit`, without blocking and without checkpoints; batches are made in between.
    pub async fn fit_async<D: Dataset>(
        &mut self,
        data: &D,
        until: u64,
        mut observe: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let loader = self.loader(data)?;
        for step in self.steps..until {
            let (input, target) = loader.make(step);
            self.step_async(&input, &target).await?;
            if self.steps.is_multiple_of(LOSSES_AT_ONCE) || self.steps == until {
                let losses = self.losses_async().await?;
                if self.tell(losses, &mut observe).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Tells of steps, one after another, until somebody has enough; the losses of the others can still be read.
    fn tell(&mut self, steps: Vec<Progress>, observe: &mut impl FnMut(Progress) -> ControlFlow<()>) -> ControlFlow<()> {
        steps.into_iter().try_for_each(|progress| {
            self.read = progress.step;
            observe(progress)
        })
    }

    fn loader<'d, D: Dataset>(&self, data: &'d D) -> Result<Loader<'d, D>> {
        self.check_target::<D::Target>()?;
        let target = self.session.target().map_or(0, Tensor::len);
        let [batch, input] = [self.session.batch()[0], self.session.input().len()];
        Loader::new(data, batch, input, target, self.seed)
    }

    /// Writes a checkpoint, from which [`Trainer::resume`] goes on bit for bit: parameters, statistics, what the optimiser remembers,
    /// and the step. A file that is there is replaced once the new one is whole.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        block_on(self.checkpoint_async())?.save(path)
    }

    /// What [`Trainer::resume_async`] goes on from: the tensors and notes of a checkpoint.
    pub async fn checkpoint_async(&self) -> Result<StateDict> {
        let (graph, layout) = (self.network.graph(), self.network.layout());
        let mut dict = StateDict::default();
        let mut add = |prefix: &str, entries: BTreeMap<String, Entry>| {
            dict.entries.extend(entries.into_iter().map(|(name, entry)| (format!("{prefix}.{name}"), entry)));
        };
        add("model", self.network.state_dict_async().await?.entries);
        for (name, memory) in self.optimizer.memories().iter().zip(self.session.optimizer_memory()) {
            let values = memory.read_async().await?;
            add(&format!("optimizer.{name}"), graph.entries(layout, &values, |kind| kind == Kind::Trained));
        }
        let notes = [
            ("step", self.steps.to_string()),
            ("learning_rate", self.optimizer.learning_rate().to_bits().to_string()),
            ("run", self.run()),
            ("checksum", dict.checksum().to_string()),
        ];
        dict.metadata = notes.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Ok(dict)
    }

    /// All that decides what a step does beside the numbers in a checkpoint.
    fn run(&self) -> String {
        let optimizer = format!("{:?}", self.optimizer.with_learning_rate(0.0)).replace("learning_rate: 0.0, ", "");
        let (loss, clip, seed, shape) = (self.loss, self.clip_norm, self.seed, self.session.batch());
        let network = self.network.graph().fingerprint();
        format!("network {network:016x}, {loss:?}, {optimizer}, clip {clip:?}, seed {seed}, batches {shape:?}")
    }

    /// Goes on where a checkpoint was written: of the same network, with the same loss, optimiser (but for the learning rate, which is
    /// the checkpoint's), clipping, seed and batch. An error leaves everything as it was.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let resumed = block_on(self.resume_async(StateDict::load(path)?));
        resumed.map_err(|error| match error {
            Error::Parameter { .. } | Error::StateKeys { .. } => Error::file(path, error),
            error => error,
        })
    }

    /// As `resume`, from a checkpoint in memory.
    pub async fn resume_async(&mut self, dict: StateDict) -> Result<()> {
        let wrong = |message: String| Error::Parameter { name: "the checkpoint".into(), message };
        let note =
            |name: &str| dict.metadata.get(name).ok_or_else(|| wrong(format!("it has no {name}: no checkpoint")));
        let number = |name: &str| {
            let text = note(name)?;
            text.parse::<u64>().map_err(|_| wrong(format!("its {name} is {text:?}")))
        };
        let (steps, learning_rate) = (number("step")?, f64::from_bits(number("learning_rate")?));
        if steps > MOST_STEPS {
            return Err(Error::TooLarge { what: "steps of a checkpoint", value: steps, limit: MOST_STEPS });
        }
        let optimizer = self.optimizer.with_learning_rate(learning_rate);
        optimizer.check()?;
        if number("checksum")? != dict.checksum() {
            return Err(wrong("it is damaged: its checksum is another".into()));
        }
        let (run, own) = (note("run")?, self.run());
        if *run != own {
            return Err(wrong(format!("it is of another run: {run}; this one is {own}")));
        }
        let (graph, layout) = (self.network.graph(), self.network.layout());
        let mut parts: Vec<(String, BTreeMap<String, Entry>)> = vec![("model.".into(), BTreeMap::new())];
        parts.extend(self.optimizer.memories().iter().map(|name| (format!("optimizer.{name}."), BTreeMap::new())));
        for (name, entry) in dict.entries {
            let part =
                parts.iter_mut().find_map(|(prefix, part)| Some((name.strip_prefix(&**prefix)?.to_owned(), part)));
            match part {
                Some((name, part)) => drop(part.insert(name, entry)),
                None => return Err(Error::StateKeys { missing: Vec::new(), unexpected: vec![name] }),
            }
        }
        // Everything is checked before anything is written.
        let trained = layout.trained as usize;
        let mut contents = Vec::new();
        for (index, (_, entries)) in parts.iter().enumerate() {
            let mut values = if index == 0 { self.network.state().read_async().await? } else { vec![0.0; trained] };
            let only = |kind| index == 0 || kind == Kind::Trained;
            drop(graph.fill(layout, &mut values, entries, only, Incompatible::refuse)?);
            contents.push(values);
        }
        let places = std::iter::once(self.network.state()).chain(self.session.optimizer_memory());
        for (place, values) in places.zip(&contents) {
            place.write(values)?;
        }
        self.optimizer = optimizer;
        (self.steps, self.read, self.stepped) = (steps, steps, false);
        Ok(())
    }
}
