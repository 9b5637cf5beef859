//! What is run for a graph on an input shape: every dispatch, forward and backward, and the tensors between them. A plain value;
//! where the tensors lie in memory is decided in `memory`.

mod backward;
mod forward;
mod place;
mod training;

use super::graph::{Dropped, Graph, Kind, Node, Norm, Value, flat_input};
use super::layout::{Arena, ArenaLayout};
use super::optimizer::Optimizer;
use super::shaders::{self, Splits};
use super::train::Loss;
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Fused, Operation, Residual};
use crate::kernels::program::Shader;
use crate::lowering::Role;
use crate::plan::Plan;
use place::Box3;
use std::collections::HashMap;

/// A tensor of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TensorId(pub(in crate::nn) usize);

/// Where a tensor lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In memory that others use before and after.
    Pool,
    /// In memory of its own: the caller has it.
    Own,
    /// From an element of an arena on.
    Arena(Arena, u64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct TensorInfo {
    pub(super) shape: Vec<usize>,
    pub(super) home: Home,
}

impl TensorInfo {
    /// Elements; at least 1, which is the least that can be bound.
    pub(super) fn elements(&self) -> u64 {
        elements(&self.shape).max(1)
    }
}

/// Elements of a shape that was checked.
fn elements(shape: &[usize]) -> u64 {
    if shape.contains(&0) { 0 } else { shape.iter().map(|&d| d as u64).product() }
}

/// A shader outside any plan, and what it is bound to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Launch {
    pub(super) shader: Shader,
    pub(super) params: Vec<u8>,
    pub(super) workgroups: u64,
    pub(super) tensors: Vec<TensorId>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Convolution { plan: Box<Plan>, tensors: Vec<(Role, TensorId)> },
    Shader(Launch),
}

impl Step {
    pub(super) fn tensors(&self) -> Vec<TensorId> {
        match self {
            Step::Convolution { tensors, .. } => tensors.iter().map(|(_, tensor)| *tensor).collect(),
            Step::Shader(launch) => launch.tensors.clone(),
        }
    }
}

/// Which gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WantedGradients {
    pub(super) parameters: bool,
    pub(super) input: bool,
}

impl WantedGradients {
    pub(super) fn any(self) -> bool {
        self.parameters || self.input
    }
}

/// What follows the forward pass of a step of training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Training {
    pub(super) loss: Loss,
    pub(super) optimizer: Optimizer,
    /// Largest common norm of all gradients.
    pub(super) clip: Option<f32>,
}

/// What is wanted of a graph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) graph: &'a Graph,
    pub(super) input: [usize; 3],
    /// Whether batch normalisation uses its batch's statistics.
    pub(super) batch_statistics: bool,
    pub(super) wanted: WantedGradients,
    pub(super) training: Option<Training>,
    /// Decides the random numbers of dropout.
    pub(super) seed: u64,
}

/// Words of the control tensor: the step, and of the optimiser the learning rate and, for Adam, what corrects for the first steps.
pub(super) const CONTROL_WORDS: usize = 4;
/// Losses that stay on the device until somebody looks.
pub(super) const KEPT_LOSSES: usize = 1024;

/// The output of a layer, by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    /// None where other operations do the layer's work as well.
    pub(super) tensor: Option<TensorId>,
    /// Whether it depends on the input.
    pub(super) follows_input: bool,
}

/// All dispatches and tensors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) forward: Vec<Step>,
    pub(super) backward: Vec<Step>,
    pub(super) control: TensorId,
    pub(super) input: TensorId,
    pub(super) output: TensorId,
    /// Given by the caller where there is no loss.
    pub(super) output_gradient: Option<TensorId>,
    pub(super) input_gradient: Option<TensorId>,
    pub(super) target: Option<TensorId>,
    pub(super) losses: Option<TensorId>,
    pub(super) clipping: Option<TensorId>,
    pub(super) values: Vec<Named>,
}

/// Plans an operation of a layer on an input shape.
pub(super) type Planner<'a> = &'a dyn Fn(Fused, Operation, &[usize]) -> Result<Plan>;

impl Schedule {
    pub(super) fn new(request: &Request<'_>, caps: &Caps, planner: Planner<'_>) -> Result<Schedule> {
        let shapes = request.graph.shapes(request.input)?;
        let layout = ArenaLayout::of(request.graph);
        let mut compiler = Compiler {
            request,
            caps,
            planner,
            shapes,
            layout,
            tensors: Vec::new(),
            steps: Vec::new(),
            values: HashMap::new(),
            gradients: HashMap::new(),
            saved: HashMap::new(),
            statistics: HashMap::new(),
            control: TensorId(0),
        };
        compiler.control = compiler.tensor(&[CONTROL_WORDS], Home::Own)?;
        compiler.compile()
    }
}

struct Compiler<'a> {
    request: &'a Request<'a>,
    caps: &'a Caps,
    planner: Planner<'a>,
    shapes: Vec<Vec<usize>>,
    layout: ArenaLayout,
    tensors: Vec<TensorInfo>,
    steps: Vec<Step>,
    values: HashMap<Value, TensorId>,
    gradients: HashMap<Value, TensorId>,
    /// What went into the activation of a convolution, by its output.
    saved: HashMap<Value, TensorId>,
    /// Statistics of a batch normalisation, by its output.
    statistics: HashMap<Value, TensorId>,
    control: TensorId,
}

impl Compiler<'_> {
    fn compile(mut self) -> Result<Schedule> {
        let graph = self.request.graph;
        let (input, output) = (Value(0), graph.output);
        let input_tensor = self.tensor(&self.request.input, Home::Own)?;
        self.values.insert(input, input_tensor);
        let last = graph.nodes.iter().rfind(|node| node.output == output).map_or("", |node| &*node.name);
        let output_tensor = self.tensor(&self.shapes[output.0].clone(), Home::Own);
        let output_tensor = output_tensor.map_err(|error| error.in_layer(last))?;
        self.values.insert(output, output_tensor);

        let needs = self.needs();
        for node in &graph.nodes {
            let back = needs[node.output.0];
            self.forward(node, back).map_err(|error| error.in_layer(&node.name))?;
        }
        let forward = std::mem::take(&mut self.steps);

        let mut schedule = Schedule {
            tensors: Vec::new(),
            forward,
            backward: Vec::new(),
            control: self.control,
            input: input_tensor,
            output: output_tensor,
            output_gradient: None,
            input_gradient: None,
            target: None,
            losses: None,
            clipping: None,
            values: Vec::new(),
        };
        if self.request.wanted.any() {
            let home = if self.request.training.is_some() { Home::Pool } else { Home::Own };
            let gradient = self.tensor(&self.shapes[output.0].clone(), home)?;
            self.gradients.insert(output, gradient);
            match &self.request.training {
                Some(training) => self.loss(training.loss, gradient, &mut schedule)?,
                None => schedule.output_gradient = Some(gradient),
            }
            for node in graph.nodes.iter().rev() {
                if needs[node.output.0] && self.gradients.contains_key(&node.output) {
                    self.backward(node, &needs).map_err(|error| error.in_layer(&node.name))?;
                }
            }
            schedule.input_gradient = self.gradients.get(&input).copied();
            if let Some(training) = &self.request.training {
                self.update(training, &mut schedule)?;
            }
        }
        schedule.backward = self.steps;
        let follows = graph.follows_input();
        let named = |(name, value): &(String, Value)| Named {
            name: name.clone(),
            tensor: self.values.get(value).copied(),
            follows_input: follows.get(value.0).copied().unwrap_or_default(),
        };
        schedule.values = graph.layers.iter().map(named).collect();
        schedule.tensors = self.tensors;
        Ok(schedule)
    }

    /// For every value, whether something depends on its gradient.
    fn needs(&self) -> Vec<bool> {
        let graph = self.request.graph;
        let mut needs: Vec<bool> = (0..self.shapes.len())
            .map(|value| match graph.parameter_of(Value(value)) {
                Some(index) => self.request.wanted.parameters && graph.parameters[index].kind == Kind::Trained,
                None => value == 0 && self.request.wanted.input,
            })
            .collect();
        for node in &graph.nodes {
            needs[node.output.0] = node.inputs.iter().any(|input| needs[input.0]);
        }
        needs
    }

    fn tensor(&mut self, shape: &[usize], home: Home) -> Result<TensorId> {
        let (value, limit) = (crate::geometry::elements("elements of a tensor", shape)?.into(), self.caps.max_range());
        if value > limit {
            return Err(Error::TooLarge { what: "elements of a tensor of a network", value, limit });
        }
        self.tensors.push(TensorInfo { shape: shape.to_vec(), home });
        Ok(TensorId(self.tensors.len() - 1))
    }

    fn pooled(&mut self, elements: u64) -> Result<TensorId> {
        self.tensor(&[elements as usize], Home::Pool)
    }

    /// The tensor of a value: made when it is first asked for.
    fn value(&mut self, value: Value) -> Result<TensorId> {
        if let Some(&tensor) = self.values.get(&value) {
            return Ok(tensor);
        }
        let tensor = self.new_like(value, Arena::State)?;
        self.values.insert(value, tensor);
        Ok(tensor)
    }

    /// A tensor for a value or its gradient: in an arena where it is a parameter's.
    fn new_like(&mut self, value: Value, arena: Arena) -> Result<TensorId> {
        let home = match self.request.graph.parameter_of(value) {
            Some(index) => Home::Arena(arena, self.layout.offsets[index]),
            None if value == Value(0) => Home::Own,
            None => Home::Pool,
        };
        self.tensor(&self.shapes[value.0].clone(), home)
    }

    fn launch(&mut self, launch: Launch) {
        if launch.workgroups > 0 {
            self.steps.push(Step::Shader(launch));
        }
    }

    fn shape(&self, value: Value) -> &[usize] {
        &self.shapes[value.0]
    }

    fn elements(&self, value: Value) -> u64 {
        elements(self.shape(value))
    }

    /// The input of a convolution as it sees it.
    fn convolution_input(&self, node: &Node, fused: &Fused, flat: bool) -> Result<Vec<usize>> {
        let shape = self.shape(node.inputs[0]);
        if flat { flat_input(shape, fused) } else { Ok(shape.to_vec()) }
    }

    /// Rows of a weight, and elements of each.
    fn rows(&self, value: Value) -> (u64, u64) {
        let shape = self.shape(value);
        (shape[0] as u64, shape[1..].iter().map(|&d| d as u64).product())
    }

    /// How the positions of a channel are split for sums, and what the shaders of batch normalisation share.
    fn batch_shape(&self, node: &Node) -> Result<Batch> {
        let whole = Box3::of(self.shape(node.output));
        let positions = u64::from(whole.batch) * u64::from(whole.length);
        Ok(Batch { whole, positions: positions as u32, splits: Splits::of(positions, 2, self.caps)? })
    }
}

/// Bias and residual of a convolution, of what follows its input and weight.
fn bias_and_residual<T: Copy>(fused: &Fused, inputs: &[T]) -> (Option<T>, Option<T>) {
    match (fused.residual == Residual::None, &inputs[2..]) {
        (true, rest) => (rest.first().copied(), None),
        (false, [bias, residual]) => (Some(*bias), Some(*residual)),
        (false, rest) => (None, rest.first().copied()),
    }
}

/// Batch normalisation of a shape.
struct Batch {
    whole: Box3,
    /// Positions of a channel in all items.
    positions: u32,
    splits: Splits,
}

impl Batch {
    /// Parameters of the shaders of batch normalisation.
    fn params(&self, norm: Norm, slope: f32) -> shaders::BatchNormParams {
        shaders::BatchNormParams {
            count: self.whole.elements() as u32,
            channels: self.whole.channels,
            length: self.whole.length,
            positions: self.positions,
            splits: self.splits.count as u32,
            split: self.splits.split as u32,
            slope,
            epsilon: norm.epsilon,
            momentum: norm.momentum,
        }
    }
}

/// Stream of the random numbers of the first dropout; those of parameters and of the order of samples are other ones.
const DROPOUT: u32 = 0x8000_0000;

/// The part of `pointwise/dropout`, and the parameters of both shaders of pointwise operations.
fn pointwise(
    elements: u64,
    dropout: Option<Dropped>,
    slope: f32,
    seed: u64,
) -> ((&'static str, &'static str), shaders::PointwiseParams) {
    let mut params = shaders::PointwiseParams { count: elements as u32, slope, scale: 1.0, ..Default::default() };
    if let Some(dropout) = dropout {
        let probability = f64::from(dropout.probability);
        // Everything dropped is a scale of zero: 2^32 random numbers do not fit.
        params.scale = if probability < 1.0 { (1.0 / (1.0 - probability)) as f32 } else { 0.0 };
        params.dropped = (probability * 2f64.powi(32)) as u32;
        [params.key_low, params.key_high] = crate::nn::random::key(seed, DROPOUT + dropout.index);
    }
    (("pointwise/dropout", if dropout.is_some() { "masked" } else { "none" }), params)
}
