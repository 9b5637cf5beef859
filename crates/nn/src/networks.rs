//! Common networks, with the parameter names of the usual PyTorch classes.

use crate::graph::{Graph, Module, Value};
use crate::layers::{BatchNorm1d, CausalConv1d, Convolution, Dropout, LastStep, Linear, Parallel, Sequential};
use conv1d::{Activation, Conv1d, Padding};

/// The dilated causal stack of WaveNet (van den Oord et al., 2016): dilations 1, 2, 4, ... A `Sequential` of [`CausalConv1d`]:
/// `0.conv.weight`, `0.conv.bias`, `1.conv.weight`, ...
///
/// ```
/// use conv1d_nn::{Graph, WaveNetStack};
/// assert_eq!(Graph::of(&WaveNetStack::new(64).layers(10)).receptive_field(), 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaveNetStack {
    /// Channels of every layer.
    pub channels: usize,
    /// Kernel size, K.
    pub kernel_size: usize,
    /// Number of layers; the last has the dilation `2^(layers - 1)`.
    pub layers: usize,
}

impl WaveNetStack {
    /// Ten layers with kernel size 2: a receptive field of 1024 samples.
    pub const fn new(channels: usize) -> Self {
        WaveNetStack { channels, kernel_size: 2, layers: 10 }
    }

    /// Sets the kernel size, K.
    #[must_use]
    pub const fn kernel_size(self, kernel_size: usize) -> Self {
        WaveNetStack { kernel_size, ..self }
    }

    /// Sets the number of layers.
    #[must_use]
    pub const fn layers(self, layers: usize) -> Self {
        WaveNetStack { layers, ..self }
    }
}

impl Module for WaveNetStack {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        (0..self.layers.min(MOST_LAYERS)).fold(x, |x, layer| {
            let conv = CausalConv1d::new(self.channels, self.channels, self.kernel_size).dilation(dilation(layer));
            graph.module(layer.to_string(), &conv, x)
        })
    }
}

/// Maximum number of layers added. Dilations double from layer to layer; in a deeper network one exceeds any index, and
/// an error names its layer.
const MOST_LAYERS: usize = 40;

/// `2^layer`, or the largest `usize` if that does not fit.
fn dilation(layer: usize) -> usize {
    u32::try_from(layer).ok().and_then(|layer| 1_usize.checked_shl(layer)).unwrap_or(usize::MAX)
}

/// A block of a temporal convolutional network (Bai, Kolter, Koltun, 2018): two causal convolutions with weight
/// normalisation, each followed by `ReLU` and dropout. The input is added to the result, through a 1 x 1 convolution if
/// the channels differ, followed by `ReLU`. Parameters: `conv1.*`, `conv2.*`, `residual.*`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TcnBlock {
    /// `C_in`.
    pub in_channels: usize,
    /// `C_out`.
    pub out_channels: usize,
    /// Kernel size K of both convolutions.
    pub kernel_size: usize,
    /// Dilation of both convolutions.
    pub dilation: usize,
    /// Dropout probability after each convolution.
    pub dropout: f32,
}

impl TcnBlock {
    /// Dilation 1, dropout 0.2.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        TcnBlock { in_channels, out_channels, kernel_size, dilation: 1, dropout: 0.2 }
    }

    /// Sets the dilation.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        TcnBlock { dilation, ..self }
    }

    /// Sets the dropout probability.
    #[must_use]
    pub const fn dropout(self, dropout: f32) -> Self {
        TcnBlock { dropout, ..self }
    }
}

impl Module for TcnBlock {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let conv = |inputs| {
            let causal = CausalConv1d::new(inputs, self.out_channels, self.kernel_size).dilation(self.dilation);
            Convolution::new(causal.conv()).weight_norm(true)
        };
        let mut y = x;
        for (name, inputs) in [("conv1", self.in_channels), ("conv2", self.out_channels)] {
            y = graph.module(name, &conv(inputs), y);
            y = graph.activation(y, Activation::Relu);
            // With a probability of 0 no dropout is added.
            if self.dropout != 0.0 {
                y = Dropout(self.dropout).add_to(graph, y);
            }
        }
        let residual = if self.in_channels == self.out_channels {
            x
        } else {
            graph.module("residual", &Conv1d::new(self.in_channels, self.out_channels, 1), x)
        };
        let sum = graph.add(y, residual);
        graph.activation(sum, Activation::Relu)
    }
}

/// A temporal convolutional network: blocks `network.0`, `network.1`, ... with dilations 1, 2, 4, ..., and a linear
/// layer `output_layer` on the last time step. With `every_step`, `output_layer` is a 1 x 1 convolution on every time
/// step.
///
/// ```
/// use conv1d_nn::{Graph, Tcn};
/// let tcn = Tcn::new(8, 64, 1).layers(8); // from 8 features, say of 256 days, to one prediction
/// assert_eq!(Graph::of(&tcn).receptive_field(), 1021);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Tcn {
    /// Input channels.
    pub in_channels: usize,
    /// Channels of all blocks.
    pub hidden_channels: usize,
    /// Number of output features.
    pub output_size: usize,
    /// Kernel size K of all blocks.
    pub kernel_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Dropout probability.
    pub dropout: f32,
    /// Whether the output has every time step, `[N, output_size, L]`. Otherwise it has only the last one,
    /// `[N, output_size]`.
    pub every_step: bool,
}

impl Tcn {
    /// Six blocks with kernel size 3, dropout 0.2, output of the last time step only.
    pub const fn new(in_channels: usize, hidden_channels: usize, output_size: usize) -> Self {
        Tcn { in_channels, hidden_channels, output_size, kernel_size: 3, layers: 6, dropout: 0.2, every_step: false }
    }

    /// Sets the kernel size, K.
    #[must_use]
    pub const fn kernel_size(self, kernel_size: usize) -> Self {
        Tcn { kernel_size, ..self }
    }

    /// Sets the number of blocks.
    #[must_use]
    pub const fn layers(self, layers: usize) -> Self {
        Tcn { layers, ..self }
    }

    /// Sets the dropout probability.
    #[must_use]
    pub const fn dropout(self, dropout: f32) -> Self {
        Tcn { dropout, ..self }
    }

    /// Sets whether there is an output for every time step.
    #[must_use]
    pub const fn every_step(self, every_step: bool) -> Self {
        Tcn { every_step, ..self }
    }
}

impl Module for Tcn {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let mut y = x;
        let mut channels = self.in_channels;
        for layer in 0..self.layers.min(MOST_LAYERS) {
            let block = TcnBlock::new(channels, self.hidden_channels, self.kernel_size);
            let block = block.dilation(dilation(layer)).dropout(self.dropout);
            y = graph.module(format!("network.{layer}"), &block, y);
            channels = self.hidden_channels;
        }
        if self.every_step {
            return graph.module("output_layer", &Conv1d::new(channels, self.output_size, 1), y);
        }
        let last = LastStep.add_to(graph, y);
        graph.module("output_layer", &Linear::new(channels, self.output_size), last)
    }
}

/// Features of a series at three time scales: convolutions with kernel sizes 3, 5 and 21 that keep the length, each
/// with batch normalisation and `ReLU`, concatenated along the channels to `[N, 3 * hidden, L]`. Parameters:
/// `short_conv.0.*`, `short_conv.1.*`, `medium_conv.0.*`, ... It is not causal: an output depends on later samples too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureExtractor {
    /// Input channels.
    pub in_channels: usize,
    /// Channels of each scale.
    pub hidden_channels: usize,
}

impl FeatureExtractor {
    /// Name and kernel size of each scale.
    pub const SCALES: [(&'static str, usize); 3] = [("short_conv", 3), ("medium_conv", 5), ("long_conv", 21)];

    /// An extractor with `hidden_channels` channels at each scale.
    pub const fn new(in_channels: usize, hidden_channels: usize) -> Self {
        FeatureExtractor { in_channels, hidden_channels }
    }
}

impl Module for FeatureExtractor {
    fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
        let scale = |kernel| {
            Sequential::new()
                .then(Conv1d::new(self.in_channels, self.hidden_channels, kernel).padding(Padding::Same))
                .then(BatchNorm1d::new(self.hidden_channels))
                .then(Activation::Relu)
        };
        let scales = Self::SCALES.into_iter();
        scales.fold(Parallel::new(), |all, (name, kernel)| all.with(name, scale(kernel))).add_to(graph, x)
    }
}
