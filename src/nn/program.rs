//! What is run for a graph on an input shape: every dispatch, forward and backward, and the tensors between them. A plain value;
//! where the tensors lie in memory is decided in `memory`.

use super::graph::{Graph, Init, Kind, Node, Norm, Op, Value, flat_input};
use super::shaders::{self, Shares, each, workgroups};
use super::train::{Loss, Optimizer};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Activation, Fused, Layer, Operation, Residual};
use crate::kernels::program::Specialised;
use crate::lowering::Role;
use crate::plan::Plan;
use std::collections::HashMap;

/// A tensor of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TensorId(pub(super) usize);

/// Memory that outlives a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arena {
    /// Parameters and statistics, as [`Layout`] says.
    State,
    /// Gradients of the parameters, which lie as those do.
    Gradients,
    /// What an optimiser remembers, which lies as the parameters do.
    Memory(usize),
}

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
    pub(super) shader: Specialised,
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

/// Where the parameters of a graph lie: those that are learnt first, each at a multiple of [`Layout::ALIGNMENT`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// First element of each parameter.
    pub(super) offsets: Vec<u64>,
    /// Elements of those that are learnt.
    pub(super) trained: u64,
    /// Elements of all.
    pub(super) total: u64,
}

impl Layout {
    /// In elements: no device asks for more than WebGPU's 256 bytes, and checkpoints lie alike on all.
    const ALIGNMENT: u64 = 64;

    pub(super) fn of(graph: &Graph) -> Layout {
        let mut offsets = vec![0; graph.parameters.len()];
        let mut end = 0u64;
        let mut trained = 0;
        for learnt in [true, false] {
            for (parameter, offset) in graph.parameters.iter().zip(&mut offsets) {
                if (parameter.kind == Kind::Trained) == learnt {
                    *offset = end;
                    let aligned = parameter.len().checked_next_multiple_of(Self::ALIGNMENT);
                    end = end.saturating_add(aligned.unwrap_or(u64::MAX));
                }
            }
            if learnt {
                trained = end;
            }
        }
        Layout { offsets, trained, total: end }
    }

    /// All parameters together must fit one binding.
    pub(super) fn check(&self, caps: &Caps) -> Result<()> {
        let (value, limit) = (self.total, caps.max_window());
        if value > limit { Err(Error::TooLarge { what: "elements of all parameters", value, limit }) } else { Ok(()) }
    }
}

/// Which gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    pub(super) parameters: bool,
    pub(super) input: bool,
}

impl Wanted {
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
    pub(super) wanted: Wanted,
    pub(super) training: Option<Training>,
    /// Decides the random numbers of dropout.
    pub(super) seed: u64,
}

/// Words of the control tensor: the step, and of the optimiser the learning rate and, for Adam, what corrects for the first steps.
pub(super) const CONTROL_WORDS: usize = 4;
/// Losses that stay on the device until somebody looks.
pub(super) const KEPT_LOSSES: usize = 1024;

/// A value by its layer's name, with its gradient where that is computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) value: TensorId,
    pub(super) gradient: Option<TensorId>,
}

/// All dispatches and tensors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Program {
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) forward: Vec<Step>,
    pub(super) backward: Vec<Step>,
    pub(super) layout: Layout,
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

impl Program {
    pub(super) fn new(request: &Request<'_>, caps: &Caps, planner: Planner<'_>) -> Result<Program> {
        let shapes = request.graph.shapes(request.input)?;
        let layout = Layout::of(request.graph);
        layout.check(caps)?;
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
    layout: Layout,
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
    fn compile(mut self) -> Result<Program> {
        let graph = self.request.graph;
        let (input, output) = (Value(0), graph.output);
        let input_tensor = self.tensor(&self.request.input, Home::Own)?;
        self.values.insert(input, input_tensor);
        let output_tensor = self.tensor(&self.shapes[output.0].clone(), Home::Own)?;
        self.values.insert(output, output_tensor);

        let needs = self.needs();
        for node in &graph.nodes {
            let back = needs[node.output.0];
            self.forward(node, back).map_err(|error| error.in_layer(&node.name))?;
        }
        let forward = std::mem::take(&mut self.steps);

        let mut program = Program {
            tensors: Vec::new(),
            forward,
            backward: Vec::new(),
            layout: self.layout.clone(),
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
                Some(training) => self.loss(training.loss, gradient, &mut program)?,
                None => program.output_gradient = Some(gradient),
            }
            for node in graph.nodes.iter().rev() {
                if needs[node.output.0] && self.gradients.contains_key(&node.output) {
                    self.backward(node, &needs).map_err(|error| error.in_layer(&node.name))?;
                }
            }
            program.input_gradient = self.gradients.get(&input).copied();
            if let Some(training) = &self.request.training {
                self.update(training, &mut program)?;
            }
        }
        program.backward = self.steps;
        program.values = graph
            .nodes
            .iter()
            .map(|node| Named {
                name: node.name.clone(),
                value: self.values[&node.output],
                gradient: self.gradients.get(&node.output).copied(),
            })
            .collect();
        program.tensors = self.tensors;
        Ok(program)
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
        let (value, limit) = (crate::geometry::elements("elements of a tensor", shape)?.into(), self.caps.max_window());
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

    fn forward(&mut self, node: &Node, back: bool) -> Result<()> {
        let y = self.value(node.output)?;
        let inputs = node.inputs.iter().map(|&v| self.value(v)).collect::<Result<Vec<_>>>()?;
        let elements = self.elements(node.output);
        match &node.op {
            Op::Convolution { fused, flat } => {
                let shape = self.convolution_input(node, fused, *flat)?;
                let plan = (self.planner)(*fused, Operation::Forward, &shape)?;
                let (bias, residual) = bias_and_residual(fused, &inputs);
                let mut tensors = vec![(Role::Input, inputs[0]), (Role::Weight, inputs[1]), (Role::Output, y)];
                tensors.extend(bias.map(|tensor| (Role::Bias, tensor)));
                tensors.extend(residual.map(|tensor| (Role::Residual, tensor)));
                if back && fused.saves_pre_activation() {
                    let z = self.new_like(node.output, Arena::State)?;
                    self.saved.insert(node.output, z);
                    tensors.push((Role::PreActivation, z));
                }
                self.steps.push(Step::Convolution { plan: Box::new(plan), tensors });
            }
            Op::WeightNorm => {
                let (rows, length) = self.rows(node.output);
                shaders::check_row(length, 2, self.caps)?;
                let params = shaders::WeightNormParams { rows: rows as u32, length: length as u32 };
                self.launch(workgroups(&shaders::WEIGHT_NORM, &[], params, rows, &[inputs[0], inputs[1], y]));
            }
            Op::BatchNorm { norm, activation } => self.batch_norm(node, *norm, *activation, &inputs, y)?,
            Op::Pointwise { dropout, add, activation } => {
                let (code, slope) = shaders::code(*activation);
                let constants = [("DROPOUT", dropout.is_some().into()), ("ADD", (*add).into()), ("ACTIVATION", code)];
                let drop = Drop::new(dropout, self.request.seed);
                let params = shaders::PointwiseParams {
                    count: elements as u32,
                    slope,
                    dropped: drop.dropped,
                    scale: drop.scale,
                    key_low: drop.key[0],
                    key_high: drop.key[1],
                };
                let b = inputs.get(1).copied().unwrap_or(inputs[0]);
                let tensors = [inputs[0], b, self.control, y];
                self.launch(each(&shaders::POINTWISE, &constants, params, elements, &tensors));
            }
            Op::Concat => {
                let mut first = 0;
                for (&value, &tensor) in node.inputs.iter().zip(&inputs) {
                    let part = Box3::of(self.shape(value));
                    let whole = Box3::of(self.shape(node.output));
                    let place = Place { box_: part, to: whole, to_channel: first, from: part, ..Place::default() };
                    self.launch(place.launch(tensor, y));
                    first += part.channels;
                }
            }
            Op::LastStep => {
                let (whole, last) = (Box3::of(self.shape(node.inputs[0])), Box3::of(self.shape(node.output)));
                let from_position = 1 - whole.length as i32;
                let place = Place { box_: last, to: last, from: whole, from_position, ..Place::default() };
                self.launch(place.launch(inputs[0], y));
            }
            Op::FoldWeight { layer, norm } => {
                // Of the weight of a transposed convolution the output channels are the columns.
                let (row, rows_per_group, kernel, channels_per_group) = match layer {
                    Layer::Conv(c) => (c.in_channels / c.groups * c.kernel_size, 1, c.kernel_size, 1),
                    Layer::Transposed(c) => {
                        let columns = c.out_channels / c.groups;
                        (columns * c.kernel_size, c.in_channels / c.groups, c.kernel_size, columns)
                    }
                };
                let [row, rows_per_group, kernel, channels_per_group] =
                    [row, rows_per_group, kernel, channels_per_group].map(|n| n as u32);
                let epsilon = norm.epsilon;
                let count = elements as u32;
                let params =
                    shaders::FoldBatchNormParams { count, row, rows_per_group, kernel, channels_per_group, epsilon };
                let tensors = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], y];
                self.launch(each(&shaders::FOLD_BATCH_NORM, &[("FOLDED", 0)], params, elements, &tensors));
            }
            Op::FoldBias { norm, .. } => {
                let params = shaders::FoldBatchNormParams {
                    count: elements as u32,
                    row: 1,
                    rows_per_group: 1,
                    kernel: 1,
                    channels_per_group: 1,
                    epsilon: norm.epsilon,
                };
                let folded = if inputs.len() > 4 { 1 } else { 2 };
                let bias = inputs.get(4).copied().unwrap_or(inputs[0]);
                let tensors = [bias, inputs[0], inputs[1], inputs[2], inputs[3], y];
                self.launch(each(&shaders::FOLD_BATCH_NORM, &[("FOLDED", folded)], params, elements, &tensors));
            }
        }
        Ok(())
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
        Ok(Batch { whole, positions: positions as u32, shares: Shares::of(positions, 2, self.caps)? })
    }

    fn batch_norm(
        &mut self,
        node: &Node,
        norm: Norm,
        activation: Activation,
        inputs: &[TensorId],
        y: TensorId,
    ) -> Result<()> {
        let &[x, gamma, beta, mean, variance, batches] = inputs else { return Ok(()) };
        let Batch { whole, positions, shares } = self.batch_shape(node)?;
        let channels = u64::from(whole.channels);
        let statistics = self.pooled(2 * channels)?;
        self.statistics.insert(node.output, statistics);
        let frozen = !self.request.batch_statistics;
        let partials = if frozen {
            // The variances of splits that nobody computed are not looked at.
            self.pooled(1)?
        } else {
            if positions < 2 {
                return Err(Error::TooFewPositions { positions: positions.into() });
            }
            let partials = self.pooled(2 * channels * shares.count)?;
            let params = shaders::BatchStatsParams {
                workgroups: (channels * shares.count) as u32,
                channels: whole.channels,
                length: whole.length,
                positions,
                split: shares.share as u32,
            };
            let count = channels * shares.count;
            self.launch(workgroups(&shaders::BATCH_STATS, &[], params, count, &[x, partials]));
            partials
        };
        let params = shaders::BatchFinishParams {
            count: whole.channels,
            splits: shares.count as u32,
            positions,
            split: shares.share as u32,
            epsilon: norm.epsilon,
            momentum: norm.momentum,
        };
        let tensors = [partials, mean, variance, batches, statistics];
        self.launch(each(&shaders::BATCH_FINISH, &[("FROZEN", frozen.into())], params, channels, &tensors));
        let (code, slope) = shaders::code(activation);
        let count = self.elements(node.output);
        let params =
            shaders::BatchNormParams { count: count as u32, channels: whole.channels, length: whole.length, slope };
        let tensors = [x, statistics, gamma, beta, y];
        self.launch(each(&shaders::BATCH_NORM, &[("ACTIVATION", code)], params, count, &tensors));
        Ok(())
    }

    /// Where a share of the gradient of a value is written: into its tensor if it is the first share, otherwise into another that
    /// [`Compiler::settle`] adds to it.
    fn share(&mut self, value: Value) -> Result<GradientShare> {
        match self.gradients.get(&value) {
            Some(&sum) => {
                let tensor = self.tensor(&self.shapes[value.0].clone(), Home::Pool)?;
                Ok(GradientShare { tensor, sum: Some(sum), value })
            }
            None => {
                let tensor = self.new_like(value, Arena::Gradients)?;
                self.gradients.insert(value, tensor);
                Ok(GradientShare { tensor, sum: None, value })
            }
        }
    }

    fn settle(&mut self, share: GradientShare) {
        if let Some(sum) = share.sum {
            let all = Box3::of(self.shape(share.value));
            let place = Place { box_: all, to: all, from: all, accumulate: true, ..Place::default() };
            self.launch(place.launch(share.tensor, sum));
        }
    }

    /// The tensor of the gradient of a value, and whether it already holds something that is to be added to.
    fn sum(&mut self, value: Value) -> Result<(TensorId, bool)> {
        let held = self.gradients.contains_key(&value);
        let tensor = if held { self.gradients[&value] } else { self.share(value)?.tensor };
        Ok((tensor, held))
    }

    fn backward(&mut self, node: &Node, needs: &[bool]) -> Result<()> {
        let dy = self.gradients[&node.output];
        let needed = |index: usize| node.inputs.get(index).is_some_and(|input| needs[input.0]);
        let inputs = node.inputs.iter().map(|&v| self.value(v)).collect::<Result<Vec<_>>>()?;
        match &node.op {
            Op::Convolution { fused, flat } => self.convolution_backward(node, fused, *flat, needs)?,
            Op::WeightNorm => {
                let (rows, length) = self.rows(node.output);
                shaders::check_row(length, 2, self.caps)?;
                let (dg, dv) = (self.share(node.inputs[0])?, self.share(node.inputs[1])?);
                let params = shaders::WeightNormBackParams { rows: rows as u32, length: length as u32 };
                let tensors = [inputs[0], inputs[1], dy, dg.tensor, dv.tensor];
                self.launch(workgroups(&shaders::WEIGHT_NORM_BACK, &[], params, rows, &tensors));
                self.settle(dg);
                self.settle(dv);
            }
            Op::BatchNorm { activation, .. } => self.batch_norm_backward(node, *activation, &inputs, needs)?,
            Op::Pointwise { dropout, add, activation } => {
                // From the output where that is enough; then the inputs need not be kept for it.
                let before = Fused::from(crate::Conv1d::new(1, 1, 1)).activation(*activation).saves_pre_activation();
                let y = self.value(node.output)?;
                let (a, b) = (inputs[0], inputs.get(1).copied().unwrap_or(inputs[0]));
                let drop = Drop::new(dropout, self.request.seed);
                let saved = if before { Saved::PreActivation(a, b) } else { Saved::Output(y) };
                let same = *add && node.inputs[0] == node.inputs[1];
                self.pointwise_backward(PointwiseBack {
                    values: [needed(0).then_some(node.inputs[0]), (*add && needed(1) && !same).then(|| node.inputs[1])],
                    drop,
                    dropped: dropout.is_some(),
                    add: *add,
                    activation: *activation,
                    saved,
                    dy,
                })?;
                if same && needed(0) {
                    // Both sides of the sum are one value: the second share by itself.
                    let values = [None, Some(node.inputs[1])];
                    let dropped = dropout.is_some();
                    let back = PointwiseBack { values, drop, dropped, add: true, activation: *activation, saved, dy };
                    self.pointwise_backward(back)?;
                }
            }
            Op::Concat => {
                let mut first = 0;
                for &value in &node.inputs {
                    let (part, whole) = (Box3::of(self.shape(value)), Box3::of(self.shape(node.output)));
                    if needs[value.0] {
                        let (tensor, accumulate) = self.sum(value)?;
                        let from_channel = -(first as i32);
                        let place =
                            Place { box_: part, to: part, from: whole, from_channel, accumulate, ..Place::default() };
                        self.launch(place.launch(dy, tensor));
                    }
                    first += part.channels;
                }
            }
            Op::LastStep => {
                let (whole, last) = (Box3::of(self.shape(node.inputs[0])), Box3::of(self.shape(node.output)));
                let (tensor, accumulate) = self.sum(node.inputs[0])?;
                let from_position = whole.length as i32 - 1;
                let place = Place { box_: whole, to: whole, from: last, from_position, accumulate, ..Place::default() };
                self.launch(place.launch(dy, tensor));
            }
            // Only where no gradient is wanted.
            Op::FoldWeight { .. } | Op::FoldBias { .. } => {}
        }
        Ok(())
    }

    fn convolution_backward(&mut self, node: &Node, fused: &Fused, flat: bool, needs: &[bool]) -> Result<()> {
        let (dy, y) = (self.gradients[&node.output], self.value(node.output)?);
        let shape = self.convolution_input(node, fused, flat)?;
        let (bias, residual) = bias_and_residual(fused, &node.inputs);
        let z = self.saved.get(&node.output).copied();
        for (operation, value) in [
            (Operation::WeightGradient, Some(node.inputs[1])),
            (Operation::BiasGradient, bias),
            (Operation::InputGradient, Some(node.inputs[0])),
        ] {
            let Some(value) = value.filter(|value| needs[value.0]) else { continue };
            let plan = (self.planner)(*fused, operation, &shape)?;
            let share = self.share(value)?;
            let mut tensors = vec![(plan.output(), share.tensor)];
            for role in plan.inputs() {
                let tensor = match role {
                    Role::Input => Some(self.value(node.inputs[0])?),
                    Role::Weight => Some(self.value(node.inputs[1])?),
                    Role::Output => Some(y),
                    Role::OutputGradient => Some(dy),
                    Role::PreActivation => z,
                    _ => None,
                };
                tensors.extend(tensor.map(|tensor| (role, tensor)));
            }
            self.steps.push(Step::Convolution { plan: Box::new(plan), tensors });
            self.settle(share);
        }
        if let Some(value) = residual.filter(|value| needs[value.0]) {
            let before = fused.residual == Residual::BeforeActivation;
            let activation = if before { fused.activation } else { Activation::Identity };
            let saved = z.map_or(Saved::Output(y), |z| Saved::PreActivation(z, z));
            let (drop, values) = (Drop::new(&None, 0), [Some(value), None]);
            let back = PointwiseBack { values, drop, dropped: false, add: false, activation, saved, dy };
            self.pointwise_backward(back)?;
        }
        Ok(())
    }

    fn pointwise_backward(&mut self, back: PointwiseBack) -> Result<()> {
        let PointwiseBack { values, drop, dropped, add, activation, saved, dy } = back;
        let Some(value) = values.into_iter().flatten().next() else { return Ok(()) };
        let (elements, (code, slope)) = (self.elements(value), shaders::code(activation));
        let mut gradients = [(None, 0); 2];
        for (place, value) in gradients.iter_mut().zip(values) {
            if let Some(value) = value {
                let (tensor, held) = self.sum(value)?;
                *place = (Some(tensor), if held { 2 } else { 1 });
            }
        }
        let (output, a, b, saved_input) = match saved {
            // A derivative of 1 needs nothing, which then need not be kept.
            _ if activation == Activation::Identity => (dy, dy, dy, 0),
            Saved::Output(y) => (y, y, y, 0),
            Saved::PreActivation(a, b) => (a, a, b, 1),
        };
        let constants = [
            ("DROPOUT", dropped.into()),
            ("ADD", add.into()),
            ("DERIVATIVE", code),
            ("SAVED_INPUT", saved_input),
            ("GRADIENT_A", gradients[0].1),
            ("GRADIENT_B", gradients[1].1),
        ];
        let params = shaders::PointwiseBackParams {
            count: elements as u32,
            slope,
            dropped: drop.dropped,
            scale: drop.scale,
            key_low: drop.key[0],
            key_high: drop.key[1],
        };
        // What is not wanted is not written, but something must be bound there.
        let mut tensor = |gradient: Option<TensorId>| gradient.map_or_else(|| self.pooled(1), Ok);
        let (da, db) = (tensor(gradients[0].0)?, tensor(gradients[1].0)?);
        let tensors = [dy, output, a, b, self.control, da, db];
        self.launch(each(&shaders::POINTWISE_BACK, &constants, params, elements, &tensors));
        Ok(())
    }

    fn batch_norm_backward(
        &mut self,
        node: &Node,
        activation: Activation,
        inputs: &[TensorId],
        needs: &[bool],
    ) -> Result<()> {
        let &[x, gamma, beta, ..] = inputs else { return Ok(()) };
        let (dy, statistics) = (self.gradients[&node.output], self.statistics[&node.output]);
        let Batch { whole, positions, shares } = self.batch_shape(node)?;
        let channels = u64::from(whole.channels);
        let (code, slope) = shaders::code(activation);
        let partials = self.pooled(2 * channels * shares.count)?;
        let params = shaders::BatchSumsParams {
            workgroups: (channels * shares.count) as u32,
            channels: whole.channels,
            length: whole.length,
            positions,
            split: shares.share as u32,
            slope,
        };
        let tensors = [dy, x, statistics, gamma, beta, partials];
        let count = channels * shares.count;
        self.launch(workgroups(&shaders::BATCH_SUMS, &[("DERIVATIVE", code)], params, count, &tensors));

        let sums = self.pooled(2 * channels)?;
        let shares_of = [node.inputs[1], node.inputs[2]]
            .map(|value| if needs[value.0] { self.share(value).map(Some) } else { Ok(None) });
        let [dgamma, dbeta] = shares_of;
        let (dgamma, dbeta) = (dgamma?, dbeta?);
        let tensor = |compiler: &mut Self, share: &Option<GradientShare>| match share {
            Some(share) => Ok(share.tensor),
            None => compiler.pooled(channels),
        };
        let tensors = [partials, tensor(self, &dgamma)?, tensor(self, &dbeta)?, sums];
        let params = shaders::BatchGradientsParams { count: whole.channels, splits: shares.count as u32 };
        self.launch(each(&shaders::BATCH_GRADIENTS, &[], params, channels, &tensors));
        [dgamma, dbeta].into_iter().flatten().for_each(|share| self.settle(share));

        if needs[node.inputs[0].0] {
            let dx = self.share(node.inputs[0])?;
            let count = self.elements(node.output);
            let params = shaders::BatchBackParams {
                count: count as u32,
                channels: whole.channels,
                length: whole.length,
                positions,
                slope,
            };
            let frozen = (!self.request.batch_statistics).into();
            let constants = [("DERIVATIVE", code), ("FROZEN", frozen)];
            let tensors = [dy, x, statistics, gamma, beta, sums, dx.tensor];
            self.launch(each(&shaders::BATCH_BACK, &constants, params, count, &tensors));
            self.settle(dx);
        }
        Ok(())
    }

    fn loss(&mut self, loss: Loss, gradient: TensorId, program: &mut Program) -> Result<()> {
        let shape = self.shape(self.request.graph.output).to_vec();
        let whole = Box3::of(&shape);
        let elements = self.elements(self.request.graph.output);
        if elements == 0 {
            return Err(Error::Zero { argument: "batch" });
        }
        let output = program.output;
        let losses = self.tensor(&[KEPT_LOSSES], Home::Own)?;
        let (target, shares, partials) = match loss {
            Loss::MeanSquaredError => {
                let shares = Shares::of(elements, 1, self.caps)?;
                let (target, partials) = (self.tensor(&shape, Home::Own)?, self.pooled(shares.count)?);
                let params = shaders::MeanSquaredErrorParams {
                    workgroups: shares.count as u32,
                    count: elements as u32,
                    share: shares.share as u32,
                };
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(&shaders::MEAN_SQUARED_ERROR, &[], params, shares.count, &tensors));
                (target, shares, partials)
            }
            Loss::CrossEntropy => {
                if shape.len() < 2 {
                    let expected = "[N, classes] or [N, classes, L]".into();
                    return Err(Error::Shape { tensor: "the network's output", got: shape, expected });
                }
                let positions = u64::from(whole.batch) * u64::from(whole.length);
                let shares = Shares::of(positions, 1 + 3 * u64::from(whole.channels), self.caps)?;
                let target: Vec<usize> = std::iter::once(shape[0]).chain(shape[2..].iter().copied()).collect();
                let (target, partials) = (self.tensor(&target, Home::Own)?, self.pooled(shares.count)?);
                let params = shaders::CrossEntropyParams {
                    workgroups: shares.count as u32,
                    count: positions as u32,
                    share: shares.share as u32,
                    classes: whole.channels,
                    length: whole.length,
                };
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(&shaders::CROSS_ENTROPY, &[], params, shares.count, &tensors));
                (target, shares, partials)
            }
        };
        let params = shaders::LossParams { count: shares.count as u32, kept: KEPT_LOSSES as u32 };
        self.launch(workgroups(&shaders::LOSS, &[], params, 1, &[partials, self.control, losses]));
        program.target = Some(target);
        program.losses = Some(losses);
        Ok(())
    }

    fn update(&mut self, training: &Training, program: &mut Program) -> Result<()> {
        let trained = self.layout.trained;
        let arena = |compiler: &mut Self, arena| compiler.tensor(&[trained as usize], Home::Arena(arena, 0));
        let (parameters, gradients) = (arena(self, Arena::State)?, arena(self, Arena::Gradients)?);
        // What is not clipped is not looked at, but something must be bound there.
        let mut clipping = self.control;
        if let Some(limit) = training.clip {
            clipping = self.tensor(&[2], Home::Own)?;
            program.clipping = Some(clipping);
            let shares = Shares::of(trained, 1, self.caps)?;
            let partials = self.pooled(shares.count)?;
            let params = shaders::SumSquaresParams {
                workgroups: shares.count as u32,
                count: trained as u32,
                share: shares.share as u32,
            };
            self.launch(workgroups(&shaders::SUM_SQUARES, &[], params, shares.count, &[gradients, partials]));
            let params = shaders::ClipParams { count: shares.count as u32, limit };
            self.launch(workgroups(&shaders::CLIP, &[], params, 1, &[partials, clipping]));
        }
        let clipped = ("CLIPPED", training.clip.is_some().into());
        let memory = (0..training.optimizer.memory())
            .map(|index| arena(self, Arena::Memory(index)))
            .collect::<Result<Vec<_>>>()?;
        let mut tensors = vec![self.control, clipping, gradients, parameters];
        tensors.extend(memory);
        if training.optimizer.memory() == 0 {
            tensors.push(self.pooled(1)?);
        }
        let count = trained as u32;
        self.launch(match training.optimizer {
            Optimizer::Sgd(sgd) => {
                let params = shaders::SgdParams { count, momentum: sgd.momentum, weight_decay: sgd.weight_decay };
                let momentum = ("MOMENTUM", (sgd.momentum != 0.0).into());
                let constants = [clipped, momentum, ("NESTEROV", sgd.nesterov.into())];
                each(&shaders::SGD, &constants, params, trained, &tensors)
            }
            Optimizer::Adam(adam) => {
                let [beta1, beta2] = [adam.beta1, adam.beta2];
                let params = shaders::AdamParams {
                    count,
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    rest1: (1.0 - beta1) as f32,
                    rest2: (1.0 - beta2) as f32,
                    epsilon: adam.epsilon,
                    weight_decay: adam.weight_decay,
                };
                each(&shaders::ADAM, &[clipped, ("DECOUPLED", adam.decoupled.into())], params, trained, &tensors)
            }
        });
        Ok(())
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

/// A share of the gradient of a value.
#[derive(Debug, Clone, Copy)]
struct GradientShare {
    tensor: TensorId,
    /// What it is to be added to.
    sum: Option<TensorId>,
    value: Value,
}

/// What the derivative of an activation is taken at.
#[derive(Debug, Clone, Copy)]
enum Saved {
    Output(TensorId),
    /// The two inputs, from which it is computed again.
    PreActivation(TensorId, TensorId),
}

/// Gradients of `activation(dropout(a) + b)`.
struct PointwiseBack {
    /// Those of `a` and `b` that are wanted.
    values: [Option<Value>; 2],
    drop: Drop,
    dropped: bool,
    add: bool,
    activation: Activation,
    saved: Saved,
    dy: TensorId,
}

/// Batch normalisation of a shape.
struct Batch {
    whole: Box3,
    /// Positions of a channel in all items.
    positions: u32,
    shares: Shares,
}

/// Stream of the random numbers of the first dropout; those of parameters and of the order of samples are other ones.
const DROPOUT: u32 = 0x8000_0000;

/// Dropout as the shaders see it.
#[derive(Debug, Clone, Copy)]
struct Drop {
    dropped: u32,
    scale: f32,
    key: [u32; 2],
}

impl Drop {
    fn new(dropout: &Option<super::graph::Dropped>, seed: u64) -> Drop {
        let Some(dropout) = dropout else { return Drop { dropped: 0, scale: 1.0, key: [0; 2] } };
        let probability = f64::from(dropout.probability);
        // Everything dropped is a scale of zero: 2^32 random numbers do not fit.
        let scale = if probability < 1.0 { (1.0 / (1.0 - probability)) as f32 } else { 0.0 };
        let dropped = (probability * 2f64.powi(32)) as u32;
        Drop { dropped, scale, key: super::random::key(seed, DROPOUT + dropout.index) }
    }
}

/// A tensor as `[N, C, L]`, whatever rank it has.
#[derive(Debug, Clone, Copy, Default)]
struct Box3 {
    batch: u32,
    channels: u32,
    length: u32,
}

impl Box3 {
    fn of(shape: &[usize]) -> Box3 {
        let [batch, channels] = [0, 1].map(|i| shape.get(i).copied().unwrap_or(1) as u32);
        let length = shape.get(2..).unwrap_or_default().iter().map(|&d| d as u32).product();
        Box3 { batch, channels, length }
    }

    fn elements(self) -> u64 {
        u64::from(self.batch) * u64::from(self.channels) * u64::from(self.length)
    }
}

/// A box of elements copied from one tensor into another.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    box_: Box3,
    to: Box3,
    to_channel: u32,
    from: Box3,
    /// What is subtracted from a channel and a position of the box for those it is read from.
    from_channel: i32,
    from_position: i32,
    accumulate: bool,
}

impl Place {
    fn launch(self, from: TensorId, to: TensorId) -> Launch {
        let params = shaders::PlaceParams {
            count: self.box_.elements() as u32,
            channels: self.box_.channels,
            length: self.box_.length,
            out_channels: self.to.channels,
            out_length: self.to.length,
            out_channel: self.to_channel,
            out_position: 0,
            in_channels: self.from.channels,
            in_length: self.from.length,
            in_channel: self.from_channel,
            in_position: self.from_position,
            accumulate: self.accumulate.into(),
        };
        each(&shaders::PLACE, &[], params, self.box_.elements(), &[from, to])
    }
}

impl Graph {
    /// The values that parameters start with, in the order of the layout.
    pub(super) fn initial(&self, layout: &Layout, seed: u64) -> Vec<f32> {
        let mut state = vec![0.0; layout.total as usize];
        // Norms of others last.
        for dependent in [false, true] {
            for (index, parameter) in self.parameters.iter().enumerate() {
                let range = |index: usize| {
                    let first = layout.offsets[index] as usize;
                    first..first + self.parameters[index].len() as usize
                };
                match parameter.init {
                    Init::Constant(value) if !dependent => state[range(index)].fill(value),
                    Init::FanIn(fan_in) if !dependent => {
                        let bound = if fan_in > 0 { 1.0 / (fan_in as f32).sqrt() } else { 0.0 };
                        let key = super::random::key(seed, index as u32);
                        for (i, value) in state[range(index)].iter_mut().enumerate() {
                            *value = (2.0 * super::random::unit(i as u64, key) - 1.0) * bound;
                        }
                    }
                    Init::NormsOf(of) if dependent => {
                        let Some(of) = self.parameter_of(of) else { continue };
                        let rows = parameter.len().max(1) as usize;
                        let directions = state[range(of)].to_vec();
                        let length = (directions.len() / rows).max(1);
                        for (norm, row) in state[range(index)].iter_mut().zip(directions.chunks(length)) {
                            let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
                            *norm = squares.sqrt() as f32;
                        }
                    }
                    _ => {}
                }
            }
        }
        state
    }
}
