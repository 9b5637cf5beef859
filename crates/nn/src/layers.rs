//! Layers with PyTorch's names, parameters and initialisation.

use crate::graph::{Graph, Init, Kind, Module, Norm, Op, Value};
use conv1d::{Activation, Conv1d, ConvTranspose1d, Layer, Padding};
use std::sync::Arc;

/// A convolution or transposed convolution, with PyTorch's options for bias and weight normalisation.
///
/// Parameters: `weight` and, with a bias, `bias`. With weight normalisation, `parametrizations.weight.original0` (the
/// norms) and `original1` (the directions) replace `weight`. [`Conv1d`] and [`ConvTranspose1d`] are modules too: with a
/// bias, without weight normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Convolution {
    /// The geometry.
    pub layer: Layer,
    /// Whether it has a bias.
    pub bias: bool,
    /// Whether its weight is normalised, row by row (`torch.nn.utils.parametrizations.weight_norm`).
    pub weight_norm: bool,
}

impl Convolution {
    /// With a bias, without weight normalisation.
    pub fn new(layer: impl Into<Layer>) -> Self {
        Convolution { layer: layer.into(), bias: true, weight_norm: false }
    }

    /// Sets whether it has a bias.
    #[must_use]
    pub const fn bias(self, bias: bool) -> Self {
        Convolution { bias, ..self }
    }

    /// Sets whether its weight is normalised.
    #[must_use]
    pub const fn weight_norm(self, weight_norm: bool) -> Self {
        Convolution { weight_norm, ..self }
    }
}

impl Module for Convolution {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        // A number of groups that does not divide the channels is an error when the shapes are checked.
        let (rows, columns, kernel, channels) = match self.layer {
            Layer::Conv(c) => (c.out_channels, c.in_channels.div_ceil(c.groups.max(1)), c.kernel_size, c.out_channels),
            Layer::Transposed(c) => {
                (c.in_channels, c.out_channels.div_ceil(c.groups.max(1)), c.kernel_size, c.out_channels)
            }
        };
        let start = Init::FanIn(columns.saturating_mul(kernel));
        let shape = [rows, columns, kernel];
        let bias = self.bias.then(|| graph.parameter("bias", [channels], start));
        let weight = if self.weight_norm {
            let v = graph.parameter("parametrizations.weight.original1", shape, start);
            let g = graph.parameter("parametrizations.weight.original0", [rows, 1, 1], Init::NormsOf(v));
            graph.weight_norm(g, v)
        } else {
            graph.parameter("weight", shape, start)
        };
        graph.convolution(self.layer, x, weight, bias)
    }
}

impl Module for Conv1d {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        Convolution::new(self).add_to(graph, x)
    }
}

impl Module for ConvTranspose1d {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        Convolution::new(self).add_to(graph, x)
    }
}

impl Module for Activation {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        graph.activation(x, *self)
    }
}

/// A causal convolution: padded only on the left, so that the output at `t` depends on no input after `t`. Parameters:
/// `conv.weight` and `conv.bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CausalConv1d {
    /// Input channels, `C_in`.
    pub in_channels: usize,
    /// Output channels, `C_out`.
    pub out_channels: usize,
    /// Kernel size, K.
    pub kernel_size: usize,
    /// Distance between neighbouring outputs, in input samples.
    pub stride: usize,
    /// Distance between neighbouring taps, in samples.
    pub dilation: usize,
    /// Number of groups of channels.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl CausalConv1d {
    /// Stride 1, dilation 1, one group, with a bias.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        CausalConv1d { in_channels, out_channels, kernel_size, stride: 1, dilation: 1, groups: 1, bias: true }
    }

    /// Sets the stride. The output at `t` depends on no input after `t * stride`; an input `[N, C, L]` gives
    /// `ceil(L / stride)` output positions.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        CausalConv1d { stride, ..self }
    }

    /// Sets the dilation.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        CausalConv1d { dilation, ..self }
    }

    /// Sets the number of groups of channels.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        CausalConv1d { groups, ..self }
    }

    /// Sets whether it has a bias.
    #[must_use]
    pub const fn bias(self, bias: bool) -> Self {
        CausalConv1d { bias, ..self }
    }

    pub(crate) fn conv(&self) -> Conv1d {
        Conv1d::new(self.in_channels, self.out_channels, self.kernel_size)
            .stride(self.stride)
            .dilation(self.dilation)
            .groups(self.groups)
            .padding(Padding::Causal)
    }
}

impl Module for CausalConv1d {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        graph.module("conv", &Convolution::new(self.conv()).bias(self.bias), x)
    }
}

/// A depthwise convolution followed by a pointwise (1 x 1) convolution. Parameters: `depthwise.weight [C_in, 1, K]`,
/// `pointwise.weight [C_out, C_in, 1]`, and their biases. Stride and dilation apply to the depthwise convolution.
/// `[N, C_in, L]` gives `[N, C_out, ceil(L / stride)]`: the input is padded by [`Padding::Same`], with an odd sample on
/// the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeparableConv1d {
    /// Input channels, `C_in`.
    pub in_channels: usize,
    /// Output channels, `C_out`.
    pub out_channels: usize,
    /// Kernel size, K.
    pub kernel_size: usize,
    /// Distance between neighbouring outputs, in input samples.
    pub stride: usize,
    /// Distance between neighbouring taps, in samples.
    pub dilation: usize,
    /// Whether both convolutions have a bias.
    pub bias: bool,
}

impl SeparableConv1d {
    /// Stride 1, dilation 1, with biases.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        SeparableConv1d { in_channels, out_channels, kernel_size, stride: 1, dilation: 1, bias: true }
    }

    /// Sets the stride.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        SeparableConv1d { stride, ..self }
    }

    /// Sets the dilation.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        SeparableConv1d { dilation, ..self }
    }

    /// Sets whether both convolutions have a bias.
    #[must_use]
    pub const fn bias(self, bias: bool) -> Self {
        SeparableConv1d { bias, ..self }
    }
}

impl Module for SeparableConv1d {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let depthwise = Conv1d::new(self.in_channels, self.in_channels, self.kernel_size);
        let depthwise = depthwise.stride(self.stride).dilation(self.dilation).groups(self.in_channels);
        let depthwise = Convolution::new(depthwise.padding(Padding::Same)).bias(self.bias);
        let pointwise = Convolution::new(Conv1d::new(self.in_channels, self.out_channels, 1)).bias(self.bias);
        let x = graph.module("depthwise", &depthwise, x);
        graph.module("pointwise", &pointwise, x)
    }
}

/// Batch normalisation over batch and positions (`torch.nn.BatchNorm1d`). It uses the statistics of the batch in
/// training mode and the running statistics otherwise. Parameters: `weight` and `bias`; statistics: `running_mean`,
/// `running_var` and `num_batches_tracked`.
///
/// Directly after a convolution or a linear layer, in evaluation without gradients, it is folded into the weights: one
/// pass over the weights, none over the values.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchNorm1d {
    /// Channels, C.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Weight of a batch in the running statistics.
    pub momentum: f32,
}

impl BatchNorm1d {
    /// With PyTorch's `eps` of 1e-5 and `momentum` of 0.1.
    pub const fn new(channels: usize) -> Self {
        BatchNorm1d { channels, eps: 1e-5, momentum: 0.1 }
    }

    /// Sets the number that is added to the variance.
    #[must_use]
    pub const fn eps(self, eps: f32) -> Self {
        BatchNorm1d { eps, ..self }
    }

    /// Sets the weight of a batch in the running statistics.
    #[must_use]
    pub const fn momentum(self, momentum: f32) -> Self {
        BatchNorm1d { momentum, ..self }
    }
}

impl Module for BatchNorm1d {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let shape = || vec![self.channels];
        let gamma = graph.parameter("weight", shape(), Init::Constant(1.0));
        let beta = graph.parameter("bias", shape(), Init::Constant(0.0));
        let mean = graph.declare("running_mean", shape(), Init::Constant(0.0), Kind::Statistic);
        let variance = graph.declare("running_var", shape(), Init::Constant(1.0), Kind::Statistic);
        let batches = graph.declare("num_batches_tracked", vec![1], Init::Constant(0.0), Kind::Count);
        let norm = Norm { epsilon: self.eps, momentum: self.momentum };
        let op = Op::BatchNorm { norm, activation: Activation::Identity };
        graph.node(op, [x, gamma, beta, mean, variance, batches])
    }
}

/// Dropout. In training mode, elements are set to 0 with probability p, and the others are divided by 1 - p. Seed,
/// step, layer and element index determine the mask: it is not stored, and gradients use the same mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout(
    /// The probability p.
    pub f32,
);

impl Module for Dropout {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        graph.dropout(x, self.0)
    }
}

/// A linear layer: `y = x w^T + b` for `x [N, in]`. Parameters: `weight [out, in]` and `bias [out]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Linear {
    /// Number of input features.
    pub in_features: usize,
    /// Number of output features.
    pub out_features: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl Linear {
    /// With a bias.
    pub const fn new(in_features: usize, out_features: usize) -> Self {
        Linear { in_features, out_features, bias: true }
    }

    /// Sets whether it has a bias.
    #[must_use]
    pub const fn bias(self, bias: bool) -> Self {
        Linear { bias, ..self }
    }
}

impl Module for Linear {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let start = Init::FanIn(self.in_features);
        let weight = graph.parameter("weight", [self.out_features, self.in_features], start);
        let bias = self.bias.then(|| graph.parameter("bias", [self.out_features], start));
        graph.linear([self.in_features, self.out_features], x, weight, bias)
    }
}

/// The last position of every channel: `[N, C, L]` to `[N, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastStep;

impl Module for LastStep {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        graph.last_step(x)
    }
}

/// Named modules applied one after another (`torch.nn.Sequential`). Clones share the modules.
#[derive(Clone, Default)]
pub struct Sequential {
    modules: Vec<(String, Arc<dyn Module>)>,
}

impl Sequential {
    /// An empty sequence: its output is its input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module, named by its index.
    #[must_use]
    pub fn then(self, module: impl Module + 'static) -> Self {
        let name = self.modules.len().to_string();
        self.then_named(name, module)
    }

    /// Adds a module under a name.
    #[must_use]
    pub fn then_named(mut self, name: impl Into<String>, module: impl Module + 'static) -> Self {
        self.modules.push((name.into(), Arc::new(module)));
        self
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.modules.iter().map(|(name, _)| name)).finish()
    }
}

impl Module for Sequential {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        self.modules.iter().fold(x, |x, (name, module)| graph.module(name, module, x))
    }
}

/// Named modules applied to the same input, with their outputs concatenated along the channels. Clones share the
/// modules.
#[derive(Clone, Default)]
pub struct Parallel {
    modules: Vec<(String, Arc<dyn Module>)>,
}

impl Parallel {
    /// No modules yet. A network needs at least one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module under a name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, module: impl Module + 'static) -> Self {
        self.modules.push((name.into(), Arc::new(module)));
        self
    }
}

impl std::fmt::Debug for Parallel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.modules.iter().map(|(name, _)| name)).finish()
    }
}

impl Module for Parallel {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let outputs: Vec<Value> = self.modules.iter().map(|(name, module)| graph.module(name, module, x)).collect();
        graph.concat(&outputs)
    }
}

/// A residual connection: `x + f(x)`. Input and output of the module must have the same shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skip<M>(
    /// The module f.
    pub M,
);

impl<M: Module> Module for Skip<M> {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let y = self.0.add_to(graph, x);
        graph.sum([x, y], ["its input", "the output of the module in Skip"])
    }
}
