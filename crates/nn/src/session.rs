//! A network bound to an input shape: its memory is allocated and its dispatches are bound, so that a run allocates
//! nothing.

use crate::error::{Error, Result};
use crate::gradients::Gradients;
use crate::graph::Mode;
use crate::input::Input;
use crate::launch::{Home, Step, TensorId};
use crate::layout::Arena;
use crate::loss::Loss;
use crate::memory::Placement;
use crate::network::Network;
use crate::schedule::{Request, Schedule, WantedGradients};
use conv1d::{Bound, Buffers, Gpu, Plan, PlanOptions, Tensor, Workspace, wgpu};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The options of a [`Session`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Training or evaluation mode of dropout and batch normalisation.
    pub mode: Mode,
    /// Whether gradients with respect to the parameters are computed.
    pub parameter_gradients: bool,
    /// Whether the gradient with respect to the input is computed.
    pub input_gradient: bool,
    /// Whether every value between the layers keeps its own memory, so that [`Session::value`] can return it. Nothing
    /// is fused then.
    pub keep_values: bool,
    /// Seed of the dropout masks.
    pub seed: u64,
    /// Options of the convolution plans.
    pub plan: PlanOptions,
}

impl SessionOptions {
    /// Sets the mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        SessionOptions { mode, ..self }
    }

    /// Options for a custom training loop: training mode and all gradients.
    pub fn training() -> Self {
        SessionOptions::default().mode(Mode::Training).gradients()
    }

    /// Enables all gradients.
    #[must_use]
    pub fn gradients(self) -> Self {
        self.parameter_gradients().input_gradient()
    }

    /// Enables the gradients with respect to the parameters.
    #[must_use]
    pub fn parameter_gradients(self) -> Self {
        SessionOptions { parameter_gradients: true, ..self }
    }

    /// Enables the gradient with respect to the input.
    #[must_use]
    pub fn input_gradient(self) -> Self {
        SessionOptions { input_gradient: true, ..self }
    }

    /// Keeps every value between the layers.
    #[must_use]
    pub fn keep_values(self) -> Self {
        SessionOptions { keep_values: true, ..self }
    }

    /// Sets the seed of dropout.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        SessionOptions { seed, ..self }
    }

    /// Sets the options of the convolution plans.
    #[must_use]
    pub fn plan(self, plan: PlanOptions) -> Self {
        SessionOptions { plan, ..self }
    }
}

/// Memory on the device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Parameters and running statistics, shared by all sessions of a network.
    pub parameters: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// State of the optimiser.
    pub optimizer: u64,
    /// Values and gradients between the layers, which reuse memory one after another.
    pub values: u64,
    /// The same, if each had its own memory.
    pub values_apart: u64,
    /// Input, output, target and their gradients.
    pub ends: u64,
    /// Workspace, shared by the convolutions.
    pub workspace: u64,
}

impl Memory {
    /// Total of all fields except `values_apart`.
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

/// A network bound to an input shape. Clones share its memory.
///
/// ```
/// use conv1d::Gpu;
/// use conv1d_nn::{Network, Tcn};
/// let gpu = Gpu::new()?;
/// let network = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 7)?;
/// let session = network.session([32, 8, 100])?;
/// session.input().write(&vec![0.5; 32 * 8 * 100])?; // or let another shader write it
/// session.forward()?;
/// assert_eq!(session.output().shape(), [32, 1]);
/// assert!(session.output().read()?.iter().all(|y| y.is_finite()));
/// # Ok::<(), conv1d_nn::Error>(())
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
    /// Whether the values of a forward pass are there for the gradients: the backward pass overwrites them.
    ran_forward: Arc<AtomicBool>,
}

/// Tensors that the caller writes or reads.
#[derive(Debug, Clone)]
struct Ends {
    input: Tensor,
    output: Tensor,
    step: Tensor,
    output_gradient: Option<Tensor>,
    input_gradient: Option<Tensor>,
    target: Option<Tensor>,
    losses: Option<Tensor>,
}

/// Memory that persists between steps.
#[derive(Debug, Clone)]
struct Arenas {
    state: Tensor,
    gradients: Option<Gradients>,
}

impl Network {
    /// Binds the network to inputs `[N, C, L]`, without gradients.
    ///
    /// `[C, L]` is an input without a batch, as in PyTorch: a batch of one, but the tensors of the session have no
    /// batch axis.
    ///
    /// # Errors
    /// [`conv1d::Error::Shape`] if the input has another number of dimensions; [`Error::Layer`] names the layer that
    /// cannot take its input.
    ///
    /// ```
    /// use conv1d_nn::Network;
    /// # let gpu = conv1d::Gpu::new()?;
    /// let network = Network::new(&gpu, &conv1d::Conv1d::new(2, 4, 3), 1)?;
    /// assert_eq!(network.session([8, 2, 10])?.output().shape(), [8, 4, 8]);
    /// assert_eq!(network.session([2, 10])?.output().shape(), [4, 8]);
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    pub fn session(&self, input: impl AsRef<[usize]>) -> Result<Session> {
        self.session_with(input, &SessionOptions::default())
    }

    /// As [`Network::session`], with options.
    pub fn session_with(&self, input: impl AsRef<[usize]>, options: &SessionOptions) -> Result<Session> {
        Session::new(self, Input::of(input.as_ref())?, options, None)
    }
}

impl Session {
    pub(crate) fn new(
        network: &Network,
        input: Input,
        options: &SessionOptions,
        loss: Option<Loss>,
    ) -> Result<Session> {
        let gpu = network.gpu();
        let wanted = WantedGradients { parameters: options.parameter_gradients, input: options.input_gradient };
        // Checks the graph before fusion: errors name its layers, and the code below relies on valid shapes.
        network.graph().shapes(input.shape)?;
        let graph = if options.keep_values {
            network.graph().apart(options.mode)
        } else {
            network.graph().fused(options.mode, wanted.any())
        };
        let batch_statistics = options.mode == Mode::Training;
        let (shape, seed) = (input.shape, options.seed);
        let request = Request { graph: &graph, input: shape, batch_statistics, wanted, loss, seed };
        let planner = |fused, operation, shape: &[usize]| Ok(gpu.plan(fused, operation, shape, &options.plan)?);
        let schedule = Schedule::new(&request, gpu.caps(), &planner)?;
        let placement = Placement::new(&schedule, options.keep_values);

        let uses = |arena: Arena| schedule.tensors.iter().any(|t| matches!(t.home, Home::Arena(a, _) if a == arena));
        let gradients =
            if uses(Arena::Gradients) || options.parameter_gradients { Some(Gradients::zeros(network)?) } else { None };
        let arenas = Arenas { state: network.state().clone(), gradients };
        let places = placement.places.iter().map(|&n| Ok(gpu.zeros([n as usize])?)).collect::<Result<Vec<_>>>()?;
        let own = schedule.tensors.iter().map(|tensor| match tensor.home {
            Home::Own => Ok(Some(gpu.zeros(&tensor.shape)?)),
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
            gradients: arenas.gradients.as_ref().map_or(0, |gradients| bytes(gradients.values())),
            optimizer: 0,
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
        let taken = |id: TensorId| own[id.0].clone().ok_or_else(missing);
        let seen = |id: TensorId, follows_input| {
            let tensor = taken(id)?;
            Ok::<_, Error>(tensor.reshape(input.seen(tensor.shape(), follows_input))?)
        };
        let output_follows = graph.follows_input()[graph.output.0];
        let ends = Ends {
            input: seen(schedule.input, true)?,
            output: seen(schedule.output, output_follows)?,
            step: taken(schedule.step)?,
            output_gradient: schedule.output_gradient.map(|id| seen(id, output_follows)).transpose()?,
            input_gradient: schedule.input_gradient.map(|id| seen(id, true)).transpose()?,
            target: schedule.target.map(taken).transpose()?,
            losses: schedule.losses.map(taken).transpose()?,
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

    /// The input, `[N, C, L]` or `[C, L]`. Write it before [`Session::forward`].
    pub fn input(&self) -> &Tensor {
        &self.ends.input
    }

    /// The output of the network.
    pub fn output(&self) -> &Tensor {
        &self.ends.output
    }

    /// The gradient with respect to the output, if gradients are computed. Write it before [`Session::backward`].
    pub fn output_gradient(&self) -> Option<&Tensor> {
        self.ends.output_gradient.as_ref()
    }

    /// The gradient with respect to the input, if it is computed.
    pub fn input_gradient(&self) -> Option<&Tensor> {
        self.ends.input_gradient.as_ref()
    }

    /// The shape of the input, with the batch.
    pub(crate) fn batch(&self) -> [usize; 3] {
        self.input.shape
    }

    /// The shape of the output, with the batch.
    pub(crate) fn batch_output(&self) -> &[usize] {
        &self.schedule.tensors[self.schedule.output.0].shape
    }

    pub(crate) fn target(&self) -> Option<&Tensor> {
        self.ends.target.as_ref()
    }

    pub(crate) fn losses(&self) -> Option<&Tensor> {
        self.ends.losses.as_ref()
    }

    /// Queues a forward pass on the input, without waiting for it.
    pub fn forward(&self) -> Result<()> {
        self.network.gpu().run(&self.forward)?;
        self.ran_forward.store(true, Ordering::Release);
        Ok(())
    }

    /// Queues a backward pass, which computes the gradients from the output gradient. It can run once after each
    /// [`Session::forward`], because gradients reuse the memory of values that are no longer needed. Input, step and
    /// parameters must not change between the two passes. Each call replaces the gradients of the previous call;
    /// [`Gradients::add`] accumulates.
    ///
    /// # Errors
    /// [`Error::Unprepared`] in a session without gradients, or without a forward pass before.
    ///
    /// ```
    /// use conv1d_nn::{Network, SessionOptions};
    /// # let gpu = conv1d::Gpu::new()?;
    /// let network = Network::new(&gpu, &conv1d::Conv1d::new(1, 1, 2), 1)?;
    /// network.parameter("weight")?.write(&[2.0, 3.0])?;
    /// let session = network.session_with([1, 1, 3], &SessionOptions::default().gradients())?;
    /// session.input().write(&[1.0, 2.0, 3.0])?;
    /// session.forward()?;
    /// session.output_gradient().unwrap().write(&[1.0, 1.0])?; // of the loss: here the sum of the outputs
    /// session.backward()?;
    /// assert_eq!(session.input_gradient().unwrap().read()?, [2.0, 5.0, 3.0]);
    /// assert_eq!(session.gradients()?.tensor("weight")?.read()?, [3.0, 5.0]);
    /// # Ok::<(), conv1d_nn::Error>(())
    /// ```
    pub fn backward(&self) -> Result<()> {
        self.computes_gradients()?;
        if !self.ran_forward.swap(false, Ordering::AcqRel) {
            return Err(Error::Unprepared { what: "gradients", needs: "a forward pass before each of them" });
        }
        Ok(self.network.gpu().run(&self.backward)?)
    }

    fn computes_gradients(&self) -> Result<()> {
        let needs = "a session made with SessionOptions::gradients";
        if self.wanted.any() { Ok(()) } else { Err(Error::Unprepared { what: "gradients", needs }) }
    }

    /// The dispatches of [`Session::forward`], to record into your own compute pass. If you record one of the two
    /// passes, record both: [`Session::backward`] takes into account only calls of [`Session::forward`].
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

    /// Sets the step, which determines the dropout masks of both passes. It is 0 at first and changes only by this
    /// call. (A [`Trainer`](crate::Trainer) counts its steps itself.)
    pub fn set_step(&self, step: u32) -> Result<()> {
        Ok(self.ends.step.write(&[f32::from_bits(step)])?)
    }

    /// The gradients of the parameters, on the device. [`Session::backward`] writes them.
    ///
    /// # Errors
    /// [`Error::Unprepared`] in a session that computes no gradients of the parameters.
    pub fn gradients(&self) -> Result<&Gradients> {
        self.computes_gradients()?;
        let needs = "a session made with SessionOptions::parameter_gradients";
        let gradients = self.arenas.gradients.as_ref().filter(|_| self.wanted.parameters);
        gradients.ok_or(Error::Unprepared { what: "gradients of parameters", needs })
    }

    /// The output of a layer. This needs [`SessionOptions::keep_values`], except for the last layer. Layers have the
    /// names of their modules: those that [`Network::summary`] lists, and the modules that contain them.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no layer has the name; [`Error::Unprepared`], in [`Error::Layer`], if its value is not
    /// kept.
    pub fn value(&self, layer: &str) -> Result<Tensor> {
        let wrong = |message: String| Error::parameter(layer, message);
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
            return Ok(self.network.gpu().zeros(shape)?);
        }
        match self.placement.place_of.get(&id) {
            Some(&place) => Ok(self.places[place].part(0, shape)?),
            None => Err(wrong("its output is a parameter: Network::state_dict reads it".into())),
        }
    }

    /// Memory of the session on the device. All of it is already allocated.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

/// The memory that steps are bound to.
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
                Ok(self.gpu.prepare_for(plan, &buffers.roles())?.bind_with(&buffers, workspace)?)
            }
            Step::Shader(launch) => launch.bind(self.gpu, |tensor| self.slice(tensor)),
        };
        let bounds = steps.iter().map(bind).collect::<Result<Vec<_>>>()?;
        Ok(Bound::sequence(self.gpu, bounds)?)
    }

    fn slice(&self, id: TensorId) -> Result<wgpu::BufferSlice<'a>> {
        let tensor = &self.schedule.tensors[id.0];
        let (holder, first) = match tensor.home {
            Home::Pool => (self.placement.place_of.get(&id).and_then(|&place| self.places.get(place)), 0),
            Home::Own => (self.own[id.0].as_ref(), 0),
            Home::Arena(Arena::State, first) => (Some(&self.arenas.state), first),
            Home::Arena(Arena::Gradients, first) => (self.arenas.gradients.as_ref().map(Gradients::values), first),
        };
        let buffer = holder.ok_or_else(missing)?.buffer();
        Ok(buffer.slice(first * 4..(first + tensor.elements()) * 4))
    }
}

/// The error for a tensor of the schedule without memory: a bug in this crate.
fn missing() -> Error {
    conv1d::Error::MissingBuffer { role: "a tensor of the network" }.into()
}
