//! A network bound to an input shape: its memory is there, its dispatches are bound, and running it allocates nothing more.

use super::graph::{Graph, Kind, Module};
use super::input::Input;
use super::layout::{Arena, ArenaLayout};
use super::memory::Placement;
use super::optimizer::Optimizer;
use super::schedule::{Home, Request, Schedule, Step, TensorId, Training, WantedGradients};
use super::state::{Incompatible, StateDict};
use super::summary::Summary;
use super::train::{Loss, Trainer};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Bound, Buffers, Gpu, Tensor, Workspace};
use crate::plan::{Plan, PlanOptions};
use std::fmt;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a network is being trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Dropout drops; batch normalisation uses the statistics of its batch and updates the running ones.
    Training,
    /// Neither.
    #[default]
    Evaluation,
}

/// What a [`Session`] is for.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// How layers behave that are different while training.
    pub mode: Mode,
    /// Whether gradients with respect to the parameters are computed.
    pub parameter_gradients: bool,
    /// Whether the gradient with respect to the input is computed.
    pub input_gradient: bool,
    /// Whether every value between the layers keeps memory of its own, so that it can be looked at: [`Session::value`]. Nothing is
    /// fused then.
    pub keep_values: bool,
    /// Decides which elements dropout drops.
    pub seed: u64,
    /// How convolutions are planned.
    pub plan: PlanOptions,
}

impl SessionOptions {
    /// Sets the mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        SessionOptions { mode, ..self }
    }

    /// Wants all gradients.
    #[must_use]
    pub fn gradients(self) -> Self {
        self.parameter_gradients().input_gradient()
    }

    /// Wants the gradients with respect to the parameters.
    #[must_use]
    pub fn parameter_gradients(self) -> Self {
        SessionOptions { parameter_gradients: true, ..self }
    }

    /// Wants the gradient with respect to the input.
    #[must_use]
    pub fn input_gradient(self) -> Self {
        SessionOptions { input_gradient: true, ..self }
    }

    /// Keeps every value.
    #[must_use]
    pub fn keep_values(self) -> Self {
        SessionOptions { keep_values: true, ..self }
    }

    /// Sets the seed of dropout.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        SessionOptions { seed, ..self }
    }

    /// Sets how convolutions are planned.
    #[must_use]
    pub fn plan(self, plan: PlanOptions) -> Self {
        SessionOptions { plan, ..self }
    }
}

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Parameters and running statistics, which all sessions of a network share.
    pub parameters: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// What the optimiser remembers.
    pub optimizer: u64,
    /// Values and gradients between the layers, in memory that they share one after another.
    pub values: u64,
    /// The same, had each memory of its own.
    pub values_apart: u64,
    /// Input, output, target and their gradients.
    pub ends: u64,
    /// Workspace of the convolutions, which they share.
    pub workspace: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.optimizer + self.values + self.ends + self.workspace
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20));
        write!(f, "{}: parameters {}", mib(self.total()), mib(self.parameters))?;
        for (name, bytes) in [("gradients", self.gradients), ("optimiser", self.optimizer)] {
            if bytes > 0 {
                write!(f, ", {name} {}", mib(bytes))?;
            }
        }
        let (values, apart) = (mib(self.values), mib(self.values_apart));
        let (ends, workspace) = (mib(self.ends), mib(self.workspace));
        write!(f, ", values {values} ({apart} if they shared nothing), ends {ends}, workspace {workspace}")
    }
}

/// A network with its parameters on a device. Clones share the parameters.
#[derive(Debug, Clone)]
pub struct Network {
    gpu: Gpu,
    graph: Graph,
    layout: ArenaLayout,
    state: Tensor,
}

impl Network {
    /// A network whose parameters start as PyTorch starts them, with random numbers that follow from the seed. Arguments of layers and
    /// their shapes are checked where it is bound to an input.
    pub fn new(gpu: &Gpu, network: &(impl Module + ?Sized), seed: u64) -> Result<Network> {
        let graph = Graph::of(network);
        let layout = ArenaLayout::of(&graph);
        graph.check_parameters()?;
        layout.check(gpu.caps())?;
        let initial = graph.initial(&layout, seed);
        let state = gpu.tensor(&initial, [initial.len()])?;
        Ok(Network { gpu: gpu.clone(), graph, layout, state })
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The network as a graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Reads parameters and statistics back, by PyTorch's names.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn state_dict(&self) -> Result<StateDict> {
        block_on(self.state_dict_async())
    }

    /// As `state_dict`, without blocking.
    pub async fn state_dict_async(&self) -> Result<StateDict> {
        let state = self.state.read_async().await?;
        Ok(StateDict { entries: self.graph.entries(&self.layout, &state, |_| true), ..StateDict::default() })
    }

    /// Takes all parameters and statistics from a dictionary: those of this network, all and no others.
    ///
    /// # Errors
    /// [`Error::StateKeys`] lists what is missing and unexpected, [`Error::Parameter`] names a tensor of another shape. Nothing is
    /// changed then.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_state_dict(&self, dict: &StateDict) -> Result<()> {
        block_on(self.load_state_dict_async(dict))
    }

    /// As `load_state_dict`, without blocking.
    pub async fn load_state_dict_async(&self, dict: &StateDict) -> Result<()> {
        self.fill(dict, Incompatible::refuse).await.map(drop)
    }

    /// Takes the parameters and statistics that both the network and a dictionary have, and returns the names of all others:
    /// `load_state_dict(strict=False)` of PyTorch.
    ///
    /// # Errors
    /// [`Error::Parameter`] names a tensor that both have in different shapes. Nothing is changed then.
    ///
    /// ```
    /// use conv1d::nn::{Network, Tcn};
    /// # let gpu = conv1d::Gpu::new()?;
    /// let published = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(2), 1)?.state_dict()?;
    /// let deeper = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 2)?;
    /// let others = deeper.load_state_dict_partial(&published)?;
    /// assert!(others.missing.iter().all(|name| name.starts_with("network.2.")));
    /// assert!(others.unexpected.is_empty());
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_state_dict_partial(&self, dict: &StateDict) -> Result<Incompatible> {
        block_on(self.load_state_dict_partial_async(dict))
    }

    /// As `load_state_dict_partial`, without blocking.
    pub async fn load_state_dict_partial_async(&self, dict: &StateDict) -> Result<Incompatible> {
        self.fill(dict, |_| Ok(())).await
    }

    async fn fill(&self, dict: &StateDict, judge: impl FnOnce(&Incompatible) -> Result<()>) -> Result<Incompatible> {
        let mut state = self.state.read_async().await?;
        let others = self.graph.fill(&self.layout, &mut state, &dict.entries, |_| true, judge)?;
        self.state.write(&state)?;
        Ok(others)
    }

    /// Writes the state dictionary to a safetensors file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.state_dict()?.save(path)
    }

    /// Reads the state dictionary from a safetensors file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        self.load_state_dict(&StateDict::load(path)?)
    }

    /// Reads what the network has of a safetensors file, as [`Network::load_state_dict_partial`] does.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_partial(&self, path: impl AsRef<Path>) -> Result<Incompatible> {
        self.load_state_dict_partial(&StateDict::load(path)?)
    }

    /// Shapes, parameters and cost of every layer for an input `[N, C, L]` or `[C, L]`.
    pub fn summary(&self, input: impl AsRef<[usize]>) -> Result<Summary> {
        let input = Input::of(input.as_ref())?;
        Summary::new(&self.graph, input, &|fused, operation, shape: &[usize]| {
            self.gpu.plan(fused, operation, shape, &PlanOptions::default())
        })
    }

    /// The network for inputs `[N, C, L]`, forward alone.
    ///
    /// `[C, L]` is an input without a batch, as PyTorch takes it: a batch of one, whose axis no tensor of the session has.
    ///
    /// # Errors
    /// [`Error::Shape`] where the input has other dimensions; [`Error::Layer`] names the layer that cannot take its input.
    ///
    /// ```
    /// use conv1d::nn::Network;
    /// # let gpu = conv1d::Gpu::new()?;
    /// let network = Network::new(&gpu, &conv1d::Conv1d::new(2, 4, 3), 1)?;
    /// assert_eq!(network.session([8, 2, 10])?.output().shape(), [8, 4, 8]);
    /// assert_eq!(network.session([2, 10])?.output().shape(), [4, 8]);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn session(&self, input: impl AsRef<[usize]>) -> Result<Session> {
        self.session_with(input, &SessionOptions::default())
    }

    /// As [`Network::session`], with options.
    pub fn session_with(&self, input: impl AsRef<[usize]>, options: &SessionOptions) -> Result<Session> {
        Session::new(self, Input::of(input.as_ref())?, options, None)
    }

    /// A trainer of the network on batches `[N, C, L]`; or `[C, L]`, batches of one.
    pub fn trainer(&self, input: impl AsRef<[usize]>, loss: Loss, optimizer: impl Into<Optimizer>) -> Result<Trainer> {
        self.trainer_with(input, loss, optimizer, &super::TrainerOptions::default())
    }

    /// As [`Network::trainer`], with options.
    pub fn trainer_with(
        &self,
        input: impl AsRef<[usize]>,
        loss: Loss,
        optimizer: impl Into<Optimizer>,
        options: &super::TrainerOptions,
    ) -> Result<Trainer> {
        Trainer::new(self, Input::of(input.as_ref())?, loss, optimizer.into(), options)
    }

    pub(super) fn state(&self) -> &Tensor {
        &self.state
    }

    pub(super) fn layout(&self) -> &ArenaLayout {
        &self.layout
    }
}

/// A network bound to an input shape. Clones share its memory.
///
/// ```
/// use conv1d::Gpu;
/// use conv1d::nn::{Network, Tcn};
/// let gpu = Gpu::new()?;
/// let network = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 7)?;
/// let session = network.session([32, 8, 100])?;
/// session.input().write(&vec![0.5; 32 * 8 * 100])?; // or let another shader write it
/// session.forward()?;
/// assert_eq!(session.output().shape(), [32, 1]);
/// assert!(session.output().read()?.iter().all(|y| y.is_finite()));
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    network: Network,
    input: Input,
    schedule: Schedule,
    placement: Placement,
    memory: Memory,
    forward: Bound,
    backward: Bound,
    arenas: Arenas,
    places: Vec<Tensor>,
    ends: Ends,
    keep_values: bool,
    wanted: WantedGradients,
    /// Whether what the gradients need is there: the backward pass uses its memory up.
    ran_forward: Arc<AtomicBool>,
}

/// Tensors that others write or read.
#[derive(Debug, Clone)]
struct Ends {
    input: Tensor,
    output: Tensor,
    control: Tensor,
    output_gradient: Option<Tensor>,
    input_gradient: Option<Tensor>,
    target: Option<Tensor>,
    losses: Option<Tensor>,
    clipping: Option<Tensor>,
}

/// Memory that outlives a step.
#[derive(Debug, Clone)]
struct Arenas {
    state: Tensor,
    gradients: Option<Tensor>,
    memory: Vec<Tensor>,
}

impl Session {
    pub(super) fn new(
        network: &Network,
        input: Input,
        options: &SessionOptions,
        training: Option<Training>,
    ) -> Result<Session> {
        let gpu = &network.gpu;
        let wanted = WantedGradients { parameters: options.parameter_gradients, input: options.input_gradient };
        // Of the graph as it was written: errors name its layers, and what follows can rely on it.
        network.graph.shapes(input.shape)?;
        let graph = if options.keep_values {
            network.graph.apart(options.mode)
        } else {
            network.graph.fused(options.mode, wanted.any())
        };
        let batch_statistics = options.mode == Mode::Training;
        let (shape, seed) = (input.shape, options.seed);
        let request = Request { graph: &graph, input: shape, batch_statistics, wanted, training, seed };
        let planner = |fused, operation, shape: &[usize]| gpu.plan(fused, operation, shape, &options.plan);
        let schedule = Schedule::new(&request, gpu.caps(), &planner)?;
        let placement = Placement::new(&schedule, options.keep_values);

        let uses = |arena: Arena| schedule.tensors.iter().any(|t| matches!(t.home, Home::Arena(a, _) if a == arena));
        let trained = [network.layout.trained as usize];
        let gradients = if uses(Arena::Gradients) { Some(gpu.zeros(trained)?) } else { None };
        let memory =
            (0..training.map_or(0, |t| t.optimizer.memory())).map(|_| gpu.zeros(trained)).collect::<Result<_>>()?;
        let arenas = Arenas { state: network.state.clone(), gradients, memory };
        let places = placement.places.iter().map(|&n| gpu.zeros([n as usize])).collect::<Result<Vec<_>>>()?;
        let own = schedule.tensors.iter().map(|tensor| match tensor.home {
            Home::Own => gpu.zeros(&tensor.shape).map(Some),
            _ => Ok(None),
        });
        let own = own.collect::<Result<Vec<_>>>()?;

        let steps = || schedule.forward.iter().chain(&schedule.backward);
        let plans: Vec<&Plan> = steps()
            .filter_map(|step| match step {
                Step::Convolution { plan, .. } => Some(&**plan),
                Step::Shader(_) => None,
            })
            .collect();
        let workspace = Workspace::new(gpu, &plans)?;
        let bytes = |tensor: &Tensor| tensor.buffer().size();
        let memory = Memory {
            parameters: bytes(&arenas.state),
            gradients: arenas.gradients.as_ref().map_or(0, bytes),
            optimizer: arenas.memory.iter().map(bytes).sum(),
            values: places.iter().map(bytes).sum(),
            values_apart: placement.apart * 4,
            ends: own.iter().flatten().map(bytes).sum(),
            workspace: workspace.bytes(),
        };
        let binder =
            Binder { gpu, schedule: &schedule, placement: &placement, arenas: &arenas, places: &places, own: &own };
        let (forward, backward) =
            (binder.bind(&schedule.forward, &workspace)?, binder.bind(&schedule.backward, &workspace)?);
        let keep_values = options.keep_values;
        let network = network.clone();
        let ran_forward = Arc::default();
        let taken = |id: TensorId| own[id.0].clone().ok_or(Error::MissingBuffer { role: "a tensor of the network" });
        let seen = |id: TensorId, follows_input| {
            let tensor = taken(id)?;
            tensor.reshape(input.seen(tensor.shape(), follows_input))
        };
        let output_follows = graph.follows_input()[graph.output.0];
        let ends = Ends {
            input: seen(schedule.input, true)?,
            output: seen(schedule.output, output_follows)?,
            control: taken(schedule.control)?,
            output_gradient: schedule.output_gradient.map(|id| seen(id, output_follows)).transpose()?,
            input_gradient: schedule.input_gradient.map(|id| seen(id, true)).transpose()?,
            target: schedule.target.map(taken).transpose()?,
            losses: schedule.losses.map(taken).transpose()?,
            clipping: schedule.clipping.map(taken).transpose()?,
        };
        Ok(Session {
            network,
            input,
            schedule,
            placement,
            memory,
            forward,
            backward,
            arenas,
            places,
            ends,
            keep_values,
            wanted,
            ran_forward,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where the input is written, `[N, C, L]` or `[C, L]`.
    pub fn input(&self) -> &Tensor {
        &self.ends.input
    }

    /// What the network gives.
    pub fn output(&self) -> &Tensor {
        &self.ends.output
    }

    /// Where the gradient with respect to the output is written, where gradients are computed.
    pub fn output_gradient(&self) -> Option<&Tensor> {
        self.ends.output_gradient.as_ref()
    }

    /// The gradient with respect to the input, where it is computed.
    pub fn input_gradient(&self) -> Option<&Tensor> {
        self.ends.input_gradient.as_ref()
    }

    /// The shape of the input, with the batch.
    pub(super) fn batch(&self) -> [usize; 3] {
        self.input.shape
    }

    /// The shape of the output, with the batch.
    pub(super) fn batch_output(&self) -> &[usize] {
        &self.schedule.tensors[self.schedule.output.0].shape
    }

    pub(super) fn target(&self) -> Option<&Tensor> {
        self.ends.target.as_ref()
    }

    pub(super) fn losses(&self) -> Option<&Tensor> {
        self.ends.losses.as_ref()
    }

    pub(super) fn clipping(&self) -> Option<&Tensor> {
        self.ends.clipping.as_ref()
    }

    pub(super) fn control(&self) -> &Tensor {
        &self.ends.control
    }

    pub(super) fn optimizer_memory(&self) -> &[Tensor] {
        &self.arenas.memory
    }

    /// Runs the network on what the input holds: queued, nothing waits for it.
    pub fn forward(&self) -> Result<()> {
        self.network.gpu.run(&self.forward)?;
        self.ran_forward.store(true, Ordering::Release);
        Ok(())
    }

    /// Computes the gradients from what the output gradient holds, once after each [`Session::forward`]: gradients take the place of
    /// values that are no longer needed. They are those of that pass as long as input, step and parameters stay what they were.
    ///
    /// # Errors
    /// [`Error::Unprepared`] in a session without gradients, and where no forward pass went before.
    pub fn backward(&self) -> Result<()> {
        self.computes_gradients()?;
        if !self.ran_forward.swap(false, Ordering::AcqRel) {
            return Err(Error::Unprepared { what: "gradients", needs: "a forward pass before each of them" });
        }
        self.network.gpu.run(&self.backward)
    }

    fn computes_gradients(&self) -> Result<()> {
        let needs = "a session made with SessionOptions::gradients";
        if self.wanted.any() { Ok(()) } else { Err(Error::Unprepared { what: "gradients", needs }) }
    }

    /// The dispatches of [`Session::forward`], to record into a pass of one's own. Who records one of the two by hand records both:
    /// [`Session::backward`] only knows of [`Session::forward`].
    pub fn forward_pass(&self) -> &Bound {
        &self.forward
    }

    /// The dispatches of [`Session::backward`], to be recorded once after each forward pass.
    ///
    /// # Errors
    /// [`Error::Unprepared`] in a session without gradients.
    pub fn backward_pass(&self) -> Result<&Bound> {
        self.computes_gradients().map(|()| &self.backward)
    }

    /// Sets the step whose random numbers dropout uses, in both passes: 0 at first, and the same until this is called. (A [`Trainer`]
    /// counts by itself.)
    pub fn set_step(&self, step: u32) -> Result<()> {
        let mut control = [0.0; super::schedule::CONTROL_WORDS];
        control[0] = f32::from_bits(step);
        self.control().write(&control)
    }

    /// Reads the gradients of all parameters back, by PyTorch's names.
    ///
    /// # Errors
    /// [`Error::Unprepared`] in a session without gradients of the parameters.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gradients(&self) -> Result<StateDict> {
        block_on(self.gradients_async())
    }

    /// As `gradients`, without blocking.
    pub async fn gradients_async(&self) -> Result<StateDict> {
        self.computes_gradients()?;
        if !self.wanted.parameters {
            let needs = "a session made with SessionOptions::parameter_gradients";
            return Err(Error::Unprepared { what: "gradients of parameters", needs });
        }
        let layout = &self.network.layout;
        let gradients = match &self.arenas.gradients {
            Some(gradients) => gradients.read_async().await?,
            // The output depends on no parameter.
            None => vec![0.0; layout.trained as usize],
        };
        let entries = self.network.graph.entries(layout, &gradients, |kind| kind == Kind::Trained);
        Ok(StateDict { entries, ..StateDict::default() })
    }

    /// The output of a layer, where values are kept ([`SessionOptions::keep_values`]); that of the last layer is always there. Layers
    /// go by the names of their modules: those that [`Network::summary`] lists, and the modules that contain them.
    ///
    /// # Errors
    /// [`Error::Parameter`] where no layer has the name; [`Error::Unprepared`], in [`Error::Layer`], where its value is not kept.
    pub fn value(&self, layer: &str) -> Result<Tensor> {
        let wrong = |message| Error::Parameter { name: layer.into(), message };
        let named = self.schedule.values.iter().rfind(|named| named.name == layer).ok_or_else(|| {
            let names: Vec<&str> = self.schedule.values.iter().map(|named| &*named.name).collect();
            wrong(format!("no layer has this name; there are {names:?}"))
        })?;
        if named.tensor == Some(self.schedule.output) {
            return Ok(self.ends.output.clone());
        }
        if named.tensor == Some(self.schedule.input) {
            return Ok(self.ends.input.clone());
        }
        if !self.keep_values {
            let needs = "a session made with SessionOptions::keep_values";
            return Err(Error::Unprepared { what: "values between layers", needs }.in_layer(layer));
        }
        let id = named.tensor.ok_or_else(|| wrong("no operation computes its output".into()))?;
        let shape = self.input.seen(&self.schedule.tensors[id.0].shape, named.follows_input);
        if shape.contains(&0) {
            return self.network.gpu.zeros(shape);
        }
        match self.placement.place_of.get(&id) {
            Some(&place) => self.places[place].reshape(shape),
            None => Err(wrong("its output is a parameter: Network::state_dict reads it".into())),
        }
    }

    /// What it takes on the device. All of it is there already.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// What steps are bound to.
struct Binder<'a> {
    gpu: &'a Gpu,
    schedule: &'a Schedule,
    placement: &'a Placement,
    arenas: &'a Arenas,
    places: &'a [Tensor],
    own: &'a [Option<Tensor>],
}

impl<'a> Binder<'a> {
    fn bind(&self, steps: &[Step], workspace: &Workspace) -> Result<Bound> {
        let bind = |step: &Step| match step {
            Step::Convolution { plan, tensors } => {
                let mut buffers = Buffers::new();
                for &(role, tensor) in tensors {
                    buffers = buffers.with(role, self.slice(tensor)?);
                }
                self.gpu.prepare_for(plan, &buffers.roles())?.bind_with(&buffers, workspace)
            }
            Step::Shader(launch) => {
                let slices = launch.tensors.iter().map(|&t| self.slice(t)).collect::<Result<Vec<_>>>()?;
                self.gpu.bind_alone(&launch.shader, &launch.params, &slices, launch.workgroups)
            }
        };
        let bounds = steps.iter().map(bind).collect::<Result<Vec<_>>>()?;
        Bound::sequence(self.gpu, bounds)
    }

    fn slice(&self, id: TensorId) -> Result<wgpu::BufferSlice<'a>> {
        let tensor = &self.schedule.tensors[id.0];
        let missing = || Error::MissingBuffer { role: "a tensor of the network" };
        let (holder, first) = match tensor.home {
            Home::Pool => (self.placement.place_of.get(&id).and_then(|&place| self.places.get(place)), 0),
            Home::Own => (self.own[id.0].as_ref(), 0),
            Home::Arena(Arena::State, first) => (Some(&self.arenas.state), first),
            Home::Arena(Arena::Gradients, first) => (self.arenas.gradients.as_ref(), first),
            Home::Arena(Arena::Memory(index), first) => (self.arenas.memory.get(index), first),
        };
        let buffer = holder.ok_or_else(missing)?.buffer();
        Ok(buffer.slice(first * 4..(first + tensor.elements()) * 4))
    }
}
