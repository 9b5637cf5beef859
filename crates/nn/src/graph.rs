//! A network as a graph: values, the operations between them, and the parameters under PyTorch's names. A pure
//! description: nothing is on a device.

use crate::error::{Error, Result};
use conv1d::{Activation, Fused, Layer, Residual};
use std::sync::Arc;

/// A value of a [`Graph`]: its input, a parameter, or the output of an operation. It has no meaning in another graph,
/// where it is either refused or taken for the value with the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) usize);

/// Training or evaluation mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Dropout drops; batch normalisation uses the statistics of its batch and updates the running ones.
    Training,
    /// Dropout does nothing; batch normalisation uses the running statistics.
    #[default]
    Evaluation,
}

/// Initial values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// Every element has this value.
    Constant(f32),
    /// Uniform between minus and plus `1 / sqrt(fan_in)`: PyTorch's initialisation of weights and biases of
    /// convolutions and linear layers (`kaiming_uniform_` with `a = sqrt(5)`).
    FanIn(usize),
    /// The norms of the rows of another parameter.
    NormsOf(Value),
}

/// The key of the metadata in a safetensors file. No tensor can have this name.
pub(crate) const RESERVED: &str = "__metadata__";

/// FNV-1a, a stable hash.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Kind of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A learnt parameter.
    Trained,
    /// A running statistic.
    Statistic,
    /// A count of batches: one `u32`, stored in files as a 64-bit integer.
    Count,
}

/// A parameter of a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) init: Init,
    pub(crate) kind: Kind,
    /// Whether training leaves this learnt parameter unchanged.
    pub(crate) frozen: bool,
}

impl Parameter {
    /// Whether an optimiser changes it.
    pub(crate) fn is_trained(&self) -> bool {
        self.kind == Kind::Trained && !self.frozen
    }

    pub(crate) fn len(&self) -> u64 {
        self.shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
    }
}

/// An operation. Each variant lists its inputs in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// `x, w`, a bias if there is one, a residual if `fused` has one. `flat` marks a linear layer with `x [N, C]`.
    Convolution { fused: Fused, flat: bool },
    /// `g, v`: a weight whose rows have the norms `g` and the directions of the rows of `v`.
    WeightNorm,
    /// `x, gamma, beta, running mean, running variance, batches`.
    BatchNorm { norm: Norm, activation: Activation },
    /// `a`, and `b` if `add`: `activation(dropout(a) + b)`.
    Pointwise { dropout: Option<Dropped>, add: bool, activation: Activation },
    /// One or more values that differ in their channels at most.
    Concat,
    /// `x [N, C, L]`: gives its last position, `[N, C]`.
    LastStep,
    /// `w, gamma, beta, running mean, running variance`: the weight of a layer with batch normalisation folded into it.
    FoldWeight { layer: Layer, norm: Norm },
    /// `gamma, beta, running mean, running variance`, and a bias if there is one: the bias of that layer.
    FoldBias { norm: Norm },
}

/// Arguments of batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Norm {
    pub(crate) epsilon: f32,
    pub(crate) momentum: f32,
}

/// Arguments of dropout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropped {
    pub(crate) probability: f32,
    /// Index of this dropout in the network. Each dropout has its own random stream.
    pub(crate) index: u32,
}

/// An operation in a graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Value>,
    pub(crate) output: Value,
    /// Names of the two terms of a sum, for error messages.
    pub(crate) terms: [&'static str; 2],
}

/// Default names of the terms of a sum.
const TERMS: [&str; 2] = ["the first", "the second value of the sum"];

/// Source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Input,
    Parameter(usize),
    Node,
}

/// The graph of a network. A [`Module`] adds its operations and parameters to it.
///
/// Adding never fails; the graph is checked when it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub(crate) origins: Vec<Origin>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) output: Value,
    /// The output of every named module.
    pub(crate) layers: Vec<(String, Value)>,
    scope: Vec<String>,
    dropouts: u32,
}

/// A layer, or a network of layers.
///
/// ```
/// use conv1d_nn::{Graph, Module, Value};
/// use conv1d::{Activation, Conv1d, Padding};
///
/// /// Two convolutions in a row, and the sum of their outputs.
/// struct Twice {
///     channels: usize,
/// }
///
/// impl Module for Twice {
///     fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
///         let conv = Conv1d::new(self.channels, self.channels, 3).padding(Padding::Same);
///         let once = graph.module("first", &conv, x);
///         let once = graph.activation(once, Activation::Relu);
///         let twice = graph.module("second", &conv, once);
///         graph.add(once, twice)
///     }
/// }
/// assert_eq!(Graph::of(&Twice { channels: 8 }).parameter_count(), 2 * (8 * 8 * 3 + 8));
/// ```
///
/// A module is a plain description that threads can share. Networks of modules are cheap to clone.
pub trait Module: Send + Sync {
    /// Adds the module to a graph, with input `x`, and returns its output.
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value;
}

impl<M: Module + ?Sized> Module for &M {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        (**self).add_to(graph, x)
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        (**self).add_to(graph, x)
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        (**self).add_to(graph, x)
    }
}

impl Graph {
    /// The graph of a network.
    pub fn of(network: &(impl Module + ?Sized)) -> Graph {
        let input = Value(0);
        let mut graph = Graph {
            origins: vec![Origin::Input],
            parameters: Vec::new(),
            nodes: Vec::new(),
            output: input,
            layers: Vec::new(),
            scope: Vec::new(),
            dropouts: 0,
        };
        graph.output = network.add_to(&mut graph, input);
        graph
    }

    /// Number of learnt values.
    pub fn parameter_count(&self) -> u64 {
        let trained = self.parameters.iter().filter(|p| p.kind == Kind::Trained);
        trained.fold(0, |n, p| n.saturating_add(p.len()))
    }

    /// Identifies the network: a hash of all operations and of all parameters except their initial values.
    pub(crate) fn fingerprint(&self) -> u64 {
        let parameters: Vec<_> = self.parameters.iter().map(|p| (&p.name, &p.shape, p.kind)).collect();
        let text = format!("{parameters:?} {:?} {:?}", self.nodes, self.output);
        hash(text.bytes())
    }

    /// Adds a module. The names of its parameters get the prefix `name.`, and its output is the output of the layer
    /// `name`.
    pub fn module(&mut self, name: impl Into<String>, module: &(impl Module + ?Sized), x: Value) -> Value {
        self.scope.push(name.into());
        let y = module.add_to(self, x);
        self.layers.push((self.scope.join("."), y));
        self.scope.pop();
        y
    }

    /// Adds a learnt parameter.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Vec<usize>>, init: Init) -> Value {
        self.declare(name, shape.into(), init, Kind::Trained)
    }

    pub(crate) fn declare(&mut self, name: &str, shape: Vec<usize>, init: Init, kind: Kind) -> Value {
        let name = self.name(name);
        self.parameters.push(Parameter { name, shape, init, kind, frozen: false });
        self.value(Origin::Parameter(self.parameters.len() - 1))
    }

    /// Adds a convolution or transposed convolution of `x [N, C_in, L]`, with a weight and an optional bias.
    pub fn convolution(&mut self, layer: impl Into<Layer>, x: Value, weight: Value, bias: Option<Value>) -> Value {
        let op = Op::Convolution { fused: layer.into().into(), flat: false };
        self.node(op, [x, weight].into_iter().chain(bias))
    }

    /// Adds a linear layer with `features` `[in, out]`: `x [N, in]`, a weight `[out, in]` and an optional bias `[out]`.
    pub fn linear(&mut self, features: [usize; 2], x: Value, weight: Value, bias: Option<Value>) -> Value {
        let [inputs, outputs] = features;
        let op = Op::Convolution { fused: conv1d::Conv1d::new(inputs, outputs, 1).into(), flat: true };
        self.node(op, [x, weight].into_iter().chain(bias))
    }

    /// Adds a weight with the norms `g [rows, 1, 1]` and the directions `v [rows, .., ..]`: `g * v / |v|`, row by row.
    pub fn weight_norm(&mut self, g: Value, v: Value) -> Value {
        self.node(Op::WeightNorm, [g, v])
    }

    /// Adds dropout: in training mode, elements are set to 0 with this probability, and the others are divided by
    /// `1 - probability`.
    pub fn dropout(&mut self, x: Value, probability: f32) -> Value {
        let dropout = Some(Dropped { probability, index: self.dropouts });
        self.dropouts += 1;
        self.node(Op::Pointwise { dropout, add: false, activation: Activation::Identity }, [x])
    }

    /// Adds an activation.
    pub fn activation(&mut self, x: Value, activation: Activation) -> Value {
        self.node(Op::Pointwise { dropout: None, add: false, activation }, [x])
    }

    /// Adds the sum of two values of the same shape.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.sum([a, b], TERMS)
    }

    /// Adds a sum whose error messages name its terms.
    pub(crate) fn sum(&mut self, values: [Value; 2], terms: [&'static str; 2]) -> Value {
        let sum = self.node(Op::Pointwise { dropout: None, add: true, activation: Activation::Identity }, values);
        if let Some(node) = self.nodes.last_mut() {
            node.terms = terms;
        }
        sum
    }

    /// Concatenates values along the channels.
    pub fn concat(&mut self, values: &[Value]) -> Value {
        self.node(Op::Concat, values.iter().copied())
    }

    /// Takes the last position of `[N, C, L]`, which gives `[N, C]`.
    pub fn last_step(&mut self, x: Value) -> Value {
        self.node(Op::LastStep, [x])
    }

    pub(crate) fn node(&mut self, op: Op, inputs: impl IntoIterator<Item = Value>) -> Value {
        let output = self.value(Origin::Node);
        let inputs = inputs.into_iter().collect();
        self.nodes.push(Node { name: self.scope.join("."), op, inputs, output, terms: TERMS });
        output
    }

    fn value(&mut self, origin: Origin) -> Value {
        self.origins.push(origin);
        Value(self.origins.len() - 1)
    }

    fn name(&self, last: &str) -> String {
        self.scope.iter().map(String::as_str).chain([last]).collect::<Vec<_>>().join(".")
    }

    /// Index of the parameter that a value is, if it is one.
    pub(crate) fn parameter_of(&self, value: Value) -> Option<usize> {
        match self.origins.get(value.0) {
            Some(&Origin::Parameter(index)) => Some(index),
            _ => None,
        }
    }

    /// Number of uses of a value. The network's output counts as a use.
    pub(crate) fn uses(&self, value: Value) -> usize {
        let inputs = self.nodes.iter().flat_map(|node| &node.inputs);
        inputs.filter(|&&input| input == value).count() + usize::from(self.output == value)
    }

    /// For every value, whether it depends on the input. If it does, its first axis is the batch.
    pub(crate) fn follows_input(&self) -> Vec<bool> {
        let mut follows: Vec<bool> = self.origins.iter().map(|origin| *origin == Origin::Input).collect();
        for node in &self.nodes {
            follows[node.output.0] = node.inputs.iter().any(|input| follows.get(input.0) == Some(&true));
        }
        follows
    }

    /// Shapes of all values for an input `[N, C, L]`; empty for values that no operation computes.
    pub(crate) fn shapes(&self, input: [usize; 3]) -> Result<Vec<Vec<usize>>> {
        self.check_parameters()?;
        for (argument, size) in [("channels", input[1]), ("length", input[2])] {
            if size == 0 {
                return Err(Error::zero(argument));
            }
        }
        check_size(&input)?;
        let mut shapes: Vec<Vec<usize>> = vec![Vec::new(); self.origins.len()];
        for (shape, origin) in shapes.iter_mut().zip(&self.origins) {
            match origin {
                Origin::Input => *shape = input.to_vec(),
                Origin::Parameter(index) => *shape = self.parameters[*index].shape.clone(),
                Origin::Node => {}
            }
        }
        for node in &self.nodes {
            let foreign = || Error::shape("a value", &[], "one of this graph");
            let inputs: Option<Vec<&[usize]>> =
                node.inputs.iter().map(|v| shapes.get(v.0).map(Vec::as_slice).filter(|s| !s.is_empty())).collect();
            let shape = inputs.ok_or_else(foreign).and_then(|inputs| node.shape(&inputs));
            let shape = shape.and_then(|shape| check_size(&shape).map(|()| shape));
            shapes[node.output.0] = shape.map_err(|error| error.in_layer(&node.name))?;
        }
        if shapes.get(self.output.0).is_none_or(Vec::is_empty) {
            return Err(Error::shape("the network's output", &[], "a value"));
        }
        Ok(shapes)
    }

    /// Checks that names are unique and shapes are valid.
    pub(crate) fn check_parameters(&self) -> Result<()> {
        let mut names = std::collections::HashSet::new();
        for parameter in &self.parameters {
            let wrong = |message: &str| Error::parameter(&parameter.name, message);
            if !names.insert(&parameter.name) {
                return Err(wrong("two parameters of the network have this name"));
            }
            if parameter.name == RESERVED {
                return Err(wrong("safetensors files keep this name for notes"));
            }
            if parameter.shape.is_empty() {
                return Err(wrong("it has no dimensions: a single value has the shape [1]"));
            }
            if let Init::NormsOf(of) = parameter.init {
                let rows = self.parameter_of(of).and_then(|index| self.parameters[index].shape.first());
                if rows.is_none_or(|&rows| rows as u64 != parameter.len()) {
                    return Err(wrong(
                        "it starts as the norms of rows that do not exist, or of another number of rows",
                    ));
                }
            }
            if parameter.shape.contains(&0) {
                return Err(wrong("a dimension of its shape is 0"));
            }
            conv1d::geometry::elements("elements of a parameter", &parameter.shape)
                .map_err(|error| Error::from(error).in_layer(&parameter.name))?;
        }
        Ok(())
    }
}

impl Node {
    /// Shape of the node's output.
    fn shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
        let wrong = |tensor, got: &[usize], expected: String| Error::shape(tensor, got, expected);
        match (&self.op, inputs) {
            (Op::Convolution { fused, flat }, [x, w, rest @ ..]) => {
                // Values of a network always have a batch axis: two axes are `[N, features]`, not a signal without a
                // batch.
                let signal = if *flat { flat_input(x, fused)? } else { x.to_vec() };
                if signal.len() != 3 {
                    return Err(wrong("the input", x, "[N, C, L]".into()));
                }
                let output = fused.shapes(signal)?;
                let weight = if *flat { &output.weight[..2] } else { &output.weight[..] };
                if *w != weight {
                    return Err(wrong("the weight", w, format!("{weight:?}")));
                }
                let y = if *flat { &output.output[..2] } else { &output.output[..] };
                let residual = fused.residual != Residual::None;
                if let Some(bias) = rest.get(..rest.len() - usize::from(residual)).and_then(|b| b.first())
                    && *bias != output.bias
                {
                    return Err(wrong("the bias", bias, format!("{:?}", output.bias)));
                }
                Ok(y.to_vec())
            }
            (Op::WeightNorm, [g, v]) => {
                let Some((&rows, rest)) = v.split_first() else { return Err(wrong("v", v, "[rows, ..]".into())) };
                let norms: Vec<usize> = std::iter::once(rows).chain(rest.iter().map(|_| 1)).collect();
                if *g != norms {
                    return Err(wrong("g", g, format!("{norms:?}")));
                }
                Ok(v.to_vec())
            }
            (Op::BatchNorm { norm, .. }, [x, rest @ ..]) => {
                norm.check()?;
                let channels = rest.first().and_then(|gamma| gamma.first()).copied().unwrap_or_default();
                if x.get(1) != Some(&channels) {
                    return Err(wrong("the input", x, format!("[N, {channels}, ..]")));
                }
                Ok(x.to_vec())
            }
            (Op::Pointwise { dropout, activation, .. }, [a, rest @ ..]) => {
                if let Some(b) = rest.first().filter(|b| *b != a) {
                    let [first, second] = self.terms;
                    return Err(wrong(second, b, format!("{a:?}, the shape of {first}")));
                }
                if let Some(dropped) = dropout {
                    dropped.check()?;
                }
                activation.check()?;
                Ok(a.to_vec())
            }
            (Op::Concat, [first, ..]) => {
                let mut shape = first.to_vec();
                for x in &inputs[1..] {
                    if x.len() != first.len() || x.len() < 2 || x[0] != first[0] || x[2..] != first[2..] {
                        return Err(wrong(
                            "a value of the concatenation",
                            x,
                            format!("{first:?} but for the channels"),
                        ));
                    }
                    shape[1] = shape[1].saturating_add(x[1]);
                }
                Ok(shape)
            }
            (Op::LastStep, [x]) => match **x {
                [n, c, _] => Ok(vec![n, c]),
                _ => Err(wrong("the input", x, "[N, C, L]".into())),
            },
            (Op::FoldWeight { .. }, [w, ..]) => Ok(w.to_vec()),
            (Op::FoldBias { .. }, [gamma, ..]) => Ok(gamma.to_vec()),
            _ => Err(wrong("the operation", &[], "at least one value to work on".into())),
        }
    }
}

/// Checks that one item is addressable, even if the batch is empty: strides are computed all the same.
fn check_size(shape: &[usize]) -> Result<()> {
    let item: Vec<usize> = shape.iter().enumerate().map(|(i, &d)| if i == 0 { d.max(1) } else { d }).collect();
    conv1d::geometry::elements("elements of a value of a network", &item)?;
    Ok(())
}

/// The input shape of a linear layer as that of a convolution: `[N, C, 1]`.
pub(crate) fn flat_input(x: &[usize], fused: &Fused) -> Result<Vec<usize>> {
    match *x {
        [n, c] => Ok(vec![n, c, 1]),
        _ => {
            let features = match fused.layer {
                Layer::Conv(conv) => conv.in_channels,
                Layer::Transposed(conv) => conv.in_channels,
            };
            Err(Error::shape("the input", x, format!("[N, {features}]")))
        }
    }
}

impl Norm {
    fn check(&self) -> Result<()> {
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(Error::argument("eps", self.epsilon, "finite and not negative"));
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Error::argument("momentum", self.momentum, "between 0 and 1"));
        }
        Ok(())
    }
}

impl Dropped {
    fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::argument("the probability of dropout", self.probability, "between 0 and 1"));
        }
        Ok(())
    }
}
