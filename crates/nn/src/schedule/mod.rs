//! The schedule of a graph on an input shape: every dispatch, forward and backward, and the tensors between them. A
//! plain value; `memory` assigns memory to the tensors.

mod backward;
mod forward;
mod loss;
mod place;

use crate::error::{Error, Result};
use crate::graph::{Dropped, Graph, Node, Norm, Value, flat_input};
use crate::launch::{Home, Launch, Step, TensorId, TensorInfo, Values, elements};
use crate::layout::{Arena, ArenaLayout};
use crate::loss::Loss;
use crate::random;
use crate::shaders::Splits;
use conv1d::{Caps, Fused, Operation, Plan, Residual};
use place::Box3;
use std::collections::HashMap;

/// Which gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WantedGradients {
    pub(crate) parameters: bool,
    pub(crate) input: bool,
}

impl WantedGradients {
    pub(crate) fn any(self) -> bool {
        self.parameters || self.input
    }
}

/// The input of a schedule: a graph, an input shape, and options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) input: [usize; 3],
    /// Whether batch normalisation uses the statistics of the batch.
    pub(crate) batch_statistics: bool,
    pub(crate) wanted: WantedGradients,
    /// The loss that computes the output gradient. Without a loss the caller writes it.
    pub(crate) loss: Option<Loss>,
    /// Seed of the dropout masks.
    pub(crate) seed: u64,
}

/// Number of losses that the device keeps until they are read.
pub(crate) const KEPT_LOSSES: usize = 1024;

/// The output of a layer, and the layer's name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// None if fusion merged the layer into another operation.
    pub(crate) tensor: Option<TensorId>,
    /// Whether it depends on the input.
    pub(crate) follows_input: bool,
}

/// All dispatches and tensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) forward: Vec<Step>,
    pub(crate) backward: Vec<Step>,
    /// The number of the step: one word.
    pub(crate) step: TensorId,
    pub(crate) input: TensorId,
    pub(crate) output: TensorId,
    /// Written by the caller if there is no loss.
    pub(crate) output_gradient: Option<TensorId>,
    pub(crate) input_gradient: Option<TensorId>,
    pub(crate) target: Option<TensorId>,
    pub(crate) losses: Option<TensorId>,
    pub(crate) values: Vec<Named>,
}

/// Plans an operation of a layer on an input shape.
pub(crate) type Planner<'a> = &'a dyn Fn(Fused, Operation, &[usize]) -> Result<Plan>;

impl Schedule {
    pub(crate) fn new(request: &Request<'_>, caps: &Caps, planner: Planner<'_>) -> Result<Schedule> {
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
            step: TensorId(0),
        };
        compiler.step = compiler.tensor(&[1], Home::Own)?;
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
    /// Saved pre-activation of a convolution, by its output.
    saved: HashMap<Value, TensorId>,
    /// Statistics of a batch normalisation, by its output.
    statistics: HashMap<Value, TensorId>,
    step: TensorId,
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
            step: self.step,
            input: input_tensor,
            output: output_tensor,
            output_gradient: None,
            input_gradient: None,
            target: None,
            losses: None,
            values: Vec::new(),
        };
        if self.request.wanted.any() {
            let home = if self.request.loss.is_some() { Home::Pool } else { Home::Own };
            let gradient = self.tensor(&self.shapes[output.0].clone(), home)?;
            self.gradients.insert(output, gradient);
            match self.request.loss {
                Some(loss) => self.loss(loss, gradient, &mut schedule)?,
                None => schedule.output_gradient = Some(gradient),
            }
            for node in graph.nodes.iter().rev() {
                if needs[node.output.0] && self.gradients.contains_key(&node.output) {
                    self.backward(node, &needs).map_err(|error| error.in_layer(&node.name))?;
                }
            }
            schedule.input_gradient = match self.gradients.get(&input) {
                // The output does not depend on the input: a gradient of zeros, which nothing writes.
                None if self.request.wanted.input => Some(self.tensor(&self.request.input, Home::Own)?),
                gradient => gradient.copied(),
            };
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

    /// For every value, whether its gradient is needed.
    fn needs(&self) -> Vec<bool> {
        let graph = self.request.graph;
        let mut needs: Vec<bool> = (0..self.shapes.len())
            .map(|value| match graph.parameter_of(Value(value)) {
                Some(index) => self.request.wanted.parameters && graph.parameters[index].is_trained(),
                None => value == 0 && self.request.wanted.input,
            })
            .collect();
        for node in &graph.nodes {
            needs[node.output.0] = node.inputs.iter().any(|input| needs[input.0]);
        }
        needs
    }

    fn tensor(&mut self, shape: &[usize], home: Home) -> Result<TensorId> {
        let (value, limit) = (conv1d::geometry::elements("elements of a tensor", shape)?.into(), self.caps.max_range());
        if value > limit {
            return Err(Error::too_large("elements of a tensor of a network", value, limit));
        }
        self.tensors.push(TensorInfo { shape: shape.to_vec(), home });
        Ok(TensorId(self.tensors.len() - 1))
    }

    fn pooled(&mut self, elements: u64) -> Result<TensorId> {
        self.tensor(&[elements as usize], Home::Pool)
    }

    /// The tensor of a value, created on first use.
    fn value(&mut self, value: Value) -> Result<TensorId> {
        if let Some(&tensor) = self.values.get(&value) {
            return Ok(tensor);
        }
        let tensor = self.new_like(value, Arena::State)?;
        self.values.insert(value, tensor);
        Ok(tensor)
    }

    /// A new tensor for a value or its gradient: in `arena` if the value is a parameter.
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

    /// The input shape of a convolution. That of a linear layer gets a length of 1.
    fn convolution_input(&self, node: &Node, fused: &Fused, flat: bool) -> Result<Vec<usize>> {
        let shape = self.shape(node.inputs[0]);
        if flat { flat_input(shape, fused) } else { Ok(shape.to_vec()) }
    }

    /// Number of rows of a weight, and elements of each row.
    fn rows(&self, value: Value) -> (u64, u64) {
        let shape = self.shape(value);
        (shape[0] as u64, shape[1..].iter().map(|&d| d as u64).product())
    }

    /// The splits of a channel's positions for sums, and the sizes that the shaders of batch normalisation share.
    fn batch_shape(&self, node: &Node) -> Result<Batch> {
        let whole = Box3::of(self.shape(node.output));
        let positions = u64::from(whole.batch) * u64::from(whole.length);
        Ok(Batch { whole, positions: positions as u32, splits: Splits::of(positions, 2, self.caps)? })
    }
}

/// Bias and residual of a convolution, from the inputs after `x` and `w`.
fn bias_and_residual<T: Copy>(fused: &Fused, inputs: &[T]) -> (Option<T>, Option<T>) {
    match (fused.residual == Residual::None, &inputs[2..]) {
        (true, rest) => (rest.first().copied(), None),
        (false, [bias, residual]) => (Some(*bias), Some(*residual)),
        (false, rest) => (None, rest.first().copied()),
    }
}

/// Sizes of a batch normalisation.
struct Batch {
    whole: Box3,
    /// Positions of a channel over all items.
    positions: u32,
    splits: Splits,
}

impl Batch {
    /// `Params` of the shaders of batch normalisation.
    fn values(&self, norm: Norm, slope: f32) -> Values {
        vec![
            ("count", (self.whole.elements() as u32).into()),
            ("channels", self.whole.channels.into()),
            ("length", self.whole.length.into()),
            ("positions", self.positions.into()),
            ("splits", (self.splits.count as u32).into()),
            ("split", (self.splits.split as u32).into()),
            ("slope", slope.into()),
            ("epsilon", norm.epsilon.into()),
            ("momentum", norm.momentum.into()),
        ]
    }
}

/// Random stream of the first dropout. Parameters and the sample order use other streams.
const DROPOUT: u32 = 0x8000_0000;

/// The part of the folder `pointwise/dropout`, and `Params` of both pointwise shaders.
fn pointwise(elements: u64, dropout: Option<Dropped>, slope: f32, seed: u64) -> (&'static str, Values) {
    let (mut scale, mut dropped, mut key) = (1.0_f32, 0, [0; 2]);
    if let Some(dropout) = dropout {
        let probability = f64::from(dropout.probability);
        // With a probability of 1 the scale is zero, because 2^32 does not fit `dropped`.
        scale = if probability < 1.0 { (1.0 / (1.0 - probability)) as f32 } else { 0.0 };
        dropped = (probability * 2_f64.powi(32)) as u32;
        key = random::key(seed, DROPOUT + dropout.index);
    }
    let values = vec![
        ("count", (elements as u32).into()),
        ("slope", slope.into()),
        ("dropped", dropped.into()),
        ("scale", scale.into()),
        ("key_low", key[0].into()),
        ("key_high", key[1].into()),
    ];
    (if dropout.is_some() { "masked" } else { "none" }, values)
}
