//! Training: each step runs on the device, from the batch to the updated parameters.

use crate::data::{Dataset, Loader};
use crate::error::{Error, Result};
use crate::graph::Mode;
use crate::input::Input;
use crate::loss::{Loss, Target, TargetKind};
use crate::network::Network;
use crate::optimizer::{Optimizer, OptimizerOptions, ParameterGroup};
use crate::rule::UpdateRule;
use crate::schedule::KEPT_LOSSES;
use crate::session::{Memory, Session, SessionOptions};
use crate::state::{CHECKSUM, Incompatible, StateDict};
#[cfg(not(target_arch = "wasm32"))]
use conv1d::block_on;
use conv1d::{Bound, PlanOptions, Submission, Tensor};
use std::collections::VecDeque;
use std::ops::ControlFlow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::path::PathBuf;

/// Options of a [`Trainer`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TrainerOptions {
    /// Gradient clipping, and groups of parameters with their own rules.
    pub optimizer: OptimizerOptions,
    /// Factor of all learning rates, as a function of the number of steps done (`torch.optim.lr_scheduler.LambdaLR`).
    pub schedule: Option<fn(u64) -> f64>,
    /// Seed of the dropout masks and of the sample order.
    pub seed: u64,
    /// Options of the convolution plans.
    pub plan: PlanOptions,
}

impl TrainerOptions {
    /// Sets the maximum norm of all gradients together.
    #[must_use]
    pub fn clip_norm(mut self, norm: f32) -> Self {
        self.optimizer.clip_norm = Some(norm);
        self
    }

    /// Adds a group of parameters with its own rule.
    #[must_use]
    pub fn group(self, group: ParameterGroup) -> Self {
        TrainerOptions { optimizer: self.optimizer.group(group), ..self }
    }

    /// Sets the factor of all learning rates, as a function of the number of steps done. Checkpoints do not contain the function: a run
    /// that is resumed must bring the same.
    #[must_use]
    pub fn schedule(self, factor: fn(u64) -> f64) -> Self {
        TrainerOptions { schedule: Some(factor), ..self }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        TrainerOptions { seed, ..self }
    }

    /// Sets the options of the convolution plans.
    #[must_use]
    pub fn plan(self, plan: PlanOptions) -> Self {
        TrainerOptions { plan, ..self }
    }
}

/// Where [`Trainer::fit`] writes checkpoints, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoints {
    /// The file. Each checkpoint replaces the previous one.
    pub path: PathBuf,
    /// Number of steps between checkpoints.
    pub every: u64,
}

impl Checkpoints {
    /// Checkpoints in the file `path`, after every `every` steps and at the end.
    pub fn new(path: impl Into<PathBuf>, every: u64) -> Self {
        Checkpoints { path: path.into(), every }
    }
}

/// A completed step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Number of steps done, including this one.
    pub step: u64,
    /// Loss of the batch, before the update.
    pub loss: f32,
}

/// Prefixes of the names in a checkpoint: parameters and statistics, and state of the optimiser.
const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
/// Maximum number of steps queued on the device: one that runs and one that waits.
const QUEUED: usize = 2;
/// Number of steps whose losses are read at once.
const LOSSES_AT_ONCE: u64 = 32;

/// A network that is being trained on batches of one shape.
///
/// It combines a [`Session`] in training mode, a loss and an [`Optimizer`]. Frozen parameters ([`Network::frozen`]) do
/// not change.
///
/// ```
/// use conv1d::Gpu;
/// use conv1d_nn::{Adam, Loss, Network, Tcn};
/// let gpu = Gpu::new()?;
/// let network = Network::new(&gpu, &Tcn::new(2, 8, 1).layers(2).dropout(0.0), 1)?;
/// let mut trainer = network.trainer([4, 2, 20], Loss::MeanSquaredError, Adam::new(0.01))?;
/// let (x, y) = (vec![0.5; 4 * 2 * 20], [1.0_f32; 4]);
/// for _ in 0..20 {
///     trainer.step(&x, &y)?; // queued: forward, loss, backward, update
/// }
/// let losses = trainer.losses()?;
/// assert!(losses[19].loss < losses[0].loss);
/// # Ok::<(), conv1d_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    session: Session,
    step_pass: Bound,
    loss: Loss,
    optimizer: Optimizer,
    memory: Memory,
    schedule: Option<fn(u64) -> f64>,
    seed: u64,
    /// Number of steps whose losses were read.
    read: u64,
    /// Submissions of the steps that may still be queued.
    queued: VecDeque<Submission>,
}

impl Network {
    /// Creates a trainer for batches `[N, C, L]`, or `[C, L]` for batches of one.
    pub fn trainer(&self, input: impl AsRef<[usize]>, loss: Loss, rule: impl Into<UpdateRule>) -> Result<Trainer> {
        self.trainer_with(input, loss, rule, &TrainerOptions::default())
    }

    /// As [`Network::trainer`], with options.
    pub fn trainer_with(
        &self,
        input: impl AsRef<[usize]>,
        loss: Loss,
        rule: impl Into<UpdateRule>,
        options: &TrainerOptions,
    ) -> Result<Trainer> {
        Trainer::new(self, Input::of(input.as_ref())?, loss, rule.into(), options)
    }
}

impl Trainer {
    fn new(network: &Network, input: Input, loss: Loss, rule: UpdateRule, options: &TrainerOptions) -> Result<Trainer> {
        let optimizer = network.optimizer_with(rule, &options.optimizer)?;
        let session = SessionOptions::default().mode(Mode::Training).parameter_gradients();
        let session = session.seed(options.seed).plan(options.plan.clone());
        let session = Session::new(network, input, &session, Some(loss))?;
        let passes =
            [session.forward_pass().clone(), session.backward_pass()?.clone(), optimizer.bind(session.gradients()?)?];
        let step_pass = Bound::sequence(network.gpu(), passes)?;
        let memory = Memory { optimizer: optimizer.bytes(), ..*session.memory() };
        Ok(Trainer {
            network: network.clone(),
            session,
            step_pass,
            loss,
            optimizer,
            memory,
            schedule: options.schedule,
            seed: options.seed,
            read: 0,
            queued: VecDeque::new(),
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The optimiser.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Number of steps done, including those before a checkpoint.
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// Sets the learning rate of the following steps. Checkpoints contain it.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.optimizer.set_learning_rate(learning_rate)
    }

    /// Sets the learning rate of a group of the steps to come, counted from 0 as the options have them. Part of checkpoints.
    pub fn set_group_learning_rate(&mut self, group: usize, learning_rate: f64) -> Result<()> {
        self.optimizer.set_group_learning_rate(group, learning_rate)
    }

    /// Memory of the trainer on the device. All of it is already allocated.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Queues a training step on a batch: forward, loss, backward, update. It waits while more than two steps are
    /// queued, except in a browser, where it cannot wait.
    ///
    /// `input` has the trainer's input shape. `target` has the output's shape or, for [`Loss::CrossEntropy`], is a
    /// class for each item or position: `[N]` or `[N, L]`.
    pub fn step<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.enqueue(input, target)?;
        #[cfg(not(target_arch = "wasm32"))]
        block_on(self.wait_for_the_device())?;
        self.queued.drain(..self.queued.len().saturating_sub(QUEUED));
        Ok(())
    }

    /// As [`Trainer::step`], without blocking. It waits in a browser too.
    pub async fn step_async<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.enqueue(input, target)?;
        self.wait_for_the_device().await
    }

    fn enqueue<T: Target>(&mut self, input: &[f32], target: &[T]) -> Result<()> {
        self.check_target::<T>()?;
        let words: &[f32] = bytemuck::cast_slice(target);
        let place = self.session.target().ok_or(conv1d::Error::MissingBuffer { role: "the target" })?;
        // Both are checked before either is written, so that a failed call changes nothing.
        for (what, got, tensor) in
            [("the batch", input.len(), self.session.input()), ("the target", words.len(), place)]
        {
            if got != tensor.len() {
                return Err(conv1d::Error::DataLength { tensor: what, got, expected: tensor.len() }.into());
            }
        }
        if T::KIND == TargetKind::Classes {
            let classes = self.session.batch_output().get(1).copied().unwrap_or_default() as u64;
            if let Some(&class) =
                bytemuck::cast_slice::<T, u32>(target).iter().find(|&&class| u64::from(class) >= classes)
            {
                return Err(Error::too_large("a class", class.into(), classes.saturating_sub(1)));
            }
        }
        let steps = self.steps();
        if steps - self.read >= KEPT_LOSSES as u64 {
            // The oldest losses are overwritten without having been read.
            self.read = steps - KEPT_LOSSES as u64 + 1;
        }
        if let Some(schedule) = self.schedule {
            self.optimizer.set_learning_rate_factor(schedule(steps))?;
        }
        self.session.input().write(input)?;
        place.write(words)?;
        self.session.set_step(steps as u32)?;
        self.optimizer.write_settings()?;
        self.queued.push_back(self.network.gpu().submit(&self.step_pass)?);
        self.optimizer.count_step();
        Ok(())
    }

    /// Waits until no more than [`QUEUED`] steps are queued.
    async fn wait_for_the_device(&mut self) -> Result<()> {
        while self.queued.len() > QUEUED {
            if let Some(end) = self.queued.pop_front() {
                end.wait_async().await?;
            }
        }
        Ok(())
    }

    fn check_target<T: Target>(&self) -> Result<()> {
        let wanted = self.loss.target();
        if T::KIND == wanted { Ok(()) } else { Err(Error::TargetKind { expected: wanted.name(), got: T::KIND.name() }) }
    }

    /// Waits, and reads the losses of the steps since the last call, at most the last 1024. Each is the loss of the
    /// batch before the update.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn losses(&mut self) -> Result<Vec<Progress>> {
        block_on(self.losses_async())
    }

    /// As `losses`, without blocking.
    pub async fn losses_async(&mut self) -> Result<Vec<Progress>> {
        let Some(losses) = self.session.losses().filter(|_| self.read < self.steps()) else { return Ok(Vec::new()) };
        let kept = losses.read_async().await?;
        let first = self.read.max(self.steps().saturating_sub(KEPT_LOSSES as u64));
        let progress = (first..self.steps())
            // The shader derives the index from the step's 32-bit word.
            .map(|step| Progress { step: step + 1, loss: kept[step as u32 as usize % KEPT_LOSSES] })
            .collect();
        self.read = self.steps();
        Ok(progress)
    }

    /// Waits, and reads the norm of all gradients of the last step together, before clipping.
    ///
    /// # Errors
    /// [`Error::Unprepared`] without clipping or before the first step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gradient_norm(&self) -> Result<f32> {
        self.optimizer.gradient_norm()
    }

    /// As `gradient_norm`, without blocking.
    pub async fn gradient_norm_async(&self) -> Result<f32> {
        self.optimizer.gradient_norm_async().await
    }

    /// Trains on batches of a dataset until [`Trainer::steps`] reaches `until`. The seed determines the order of the
    /// samples. Each epoch uses every sample once, except the last ones if they do not fill a batch. Batches are made
    /// on another thread while the device works.
    ///
    /// `observe` is called for every step, after up to 32 steps at a time, and can stop the training; steps done by
    /// then are kept. Checkpoints are written at their interval and at the end, but not after `observe` has stopped the
    /// training. A run resumed from a checkpoint continues with the next batch. Panics of the dataset are propagated.
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
            return Err(Error::zero("steps between checkpoints"));
        }
        loader.run(self.steps()..until, |input, target| {
            self.step(input, target)?;
            let save = checkpoints.filter(|c| self.steps().is_multiple_of(c.every) || self.steps() == until);
            let mut flow = ControlFlow::Continue(());
            if save.is_some() || self.steps().is_multiple_of(LOSSES_AT_ONCE) || self.steps() == until {
                let losses = self.losses()?;
                flow = self.tell(losses, &mut observe);
            }
            // If `observe` stopped the training, the state may not be worth keeping.
            if let Some(checkpoints) = save.filter(|_| flow.is_continue()) {
                self.save(&checkpoints.path)?;
            }
            Ok(flow)
        })
    }

    /// As `fit`, without blocking and without checkpoints. Batches are made between the steps.
    pub async fn fit_async<D: Dataset>(
        &mut self,
        data: &D,
        until: u64,
        mut observe: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let loader = self.loader(data)?;
        for step in self.steps()..until {
            let (input, target) = loader.make(step);
            self.step_async(&input, &target).await?;
            if self.steps().is_multiple_of(LOSSES_AT_ONCE) || self.steps() == until {
                let losses = self.losses_async().await?;
                if self.tell(losses, &mut observe).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Calls `observe` for one step after another until it breaks. The losses of the remaining steps can still be read.
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

    /// Writes a checkpoint, from which [`Trainer::resume`] continues bit for bit: parameters, statistics, the state of
    /// the optimiser, and the step. An existing file is replaced only once the new one is complete.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        block_on(self.checkpoint_async())?.save(path)
    }

    /// The tensors and metadata of a checkpoint, for [`Trainer::resume_async`].
    pub async fn checkpoint_async(&self) -> Result<StateDict> {
        let mut dict = StateDict::default();
        let mut add = |prefix: &str, part: StateDict| {
            dict.entries.extend(part.entries.into_iter().map(|(name, entry)| (format!("{prefix}{name}"), entry)));
            dict.metadata.extend(part.metadata);
        };
        add(MODEL, self.network.state_dict_async().await?);
        add(OPTIMIZER, self.optimizer.state_dict_async().await?);
        dict.metadata.insert("run".to_owned(), self.run());
        dict.metadata.insert(CHECKSUM.to_owned(), dict.checksum().to_string());
        Ok(dict)
    }

    /// Everything that determines the result of a step besides the values in a checkpoint.
    fn run(&self) -> String {
        let rule =
            |rule: &UpdateRule| format!("{:?}", rule.with_learning_rate(0.0)).replace("learning_rate: 0.0, ", "");
        let OptimizerOptions { clip_norm, groups } = self.optimizer.options();
        let groups: String =
            groups.iter().map(|group| format!(", group {:?} {}", group.names, rule(&group.rule))).collect();
        let trained: Vec<&str> = self.network.trained_names().collect();
        let all_trained = trained.len() == self.network.parameter_names().count();
        let frozen = if all_trained { String::new() } else { format!(", trained {trained:?}") };
        let (loss, seed, shape) = (self.loss, self.seed, self.session.batch());
        let (network, rule) = (self.network.graph().fingerprint(), rule(self.optimizer.rule()));
        format!(
            "network {network:016x}, {loss:?}, {rule}{groups}{frozen}, clip {clip_norm:?}, seed {seed}, batches {shape:?}"
        )
    }

    /// Continues from a checkpoint. It must be of the same network, loss, optimiser, clipping, seed and batch shape;
    /// the learning rate is that of the checkpoint. On an error nothing is changed.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let resumed = block_on(self.resume_async(StateDict::load(path)?));
        resumed.map_err(|error| match error {
            error @ (Error::Parameter { .. } | Error::StateKeys { .. }) => Error::file(path, error),
            error => error,
        })
    }

    /// As `resume`, from a checkpoint in memory.
    pub async fn resume_async(&mut self, dict: StateDict) -> Result<()> {
        let wrong = |message: String| Error::parameter("the checkpoint", message);
        let note = |name: &str| {
            dict.metadata.get(name).ok_or_else(|| wrong(format!("it has no {name}, so it is not a checkpoint")))
        };
        for name in ["step", "learning_rate"] {
            note(name)?;
        }
        if note(CHECKSUM)?.parse() != Ok(dict.checksum()) {
            return Err(wrong("it is damaged: its checksum does not match".into()));
        }
        let (run, own) = (note("run")?, self.run());
        if *run != own {
            return Err(wrong(format!("it is of another run: {run}; this one is {own}")));
        }
        let mut model = StateDict::default();
        let mut optimizer = StateDict { metadata: dict.metadata, ..StateDict::default() };
        for (name, entry) in dict.entries {
            let part = [(MODEL, &mut model), (OPTIMIZER, &mut optimizer)]
                .into_iter()
                .find_map(|(prefix, part)| Some((name.strip_prefix(prefix)?.to_owned(), part)));
            match part {
                Some((name, part)) => drop(part.entries.insert(name, entry)),
                None => return Err(Error::StateKeys { missing: Vec::new(), unexpected: vec![name] }),
            }
        }
        // Everything is checked before anything is written.
        let optimizer = self.optimizer.checked(&optimizer)?;
        let mut state = self.network.state().read_async().await?;
        let (graph, layout) = (self.network.graph(), self.network.layout());
        drop(graph.fill(layout, &mut state, &model.entries, |_| true, Incompatible::refuse)?);
        self.network.state().write(&state)?;
        optimizer.apply(&mut self.optimizer)?;
        self.read = self.steps();
        Ok(())
    }
}
