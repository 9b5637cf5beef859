//! Networks of these layers, under the names that they have as the usual PyTorch classes.

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
    /// K.
    pub kernel_size: usize,
    /// Number of layers; the last has the dilation `2^(layers - 1)`.
    pub layers: usize,
}

impl WaveNetStack {
    /// Ten layers of kernels of 2: a receptive field of 1024.
    pub const fn new(channels: usize) -> Self {
        WaveNetStack { channels, kernel_size: 2, layers: 10 }
    }

    /// Sets K.
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

/// Layers of doubled dilations: the last of more would have one that no index reaches, and is refused with its name.
const MOST_LAYERS: usize = 40;

/// `2^layer`; beyond what an index can be, the largest number.
fn dilation(layer: usize) -> usize {
    u32::try_from(layer).ok().and_then(|layer| 1usize.checked_shl(layer)).unwrap_or(usize::MAX)
}

/// A block of a temporal convolutional network (Bai, Kolter, Koltun, 2018): two causal convolutions with weight normalisation, ReLU
/// and dropout, and the input added, through a convolution 1 x 1 where channels differ. `conv1.*`, `conv2.*`, `residual.*`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct TcnBlock {
    /// C_in.
    pub in_channels: usize,
    /// C_out.
    pub out_channels: usize,
    /// K of both convolutions.
    pub kernel_size: usize,
    /// Dilation of both.
    pub dilation: usize,
    /// Probability of dropout after each.
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

    /// Sets the probability of dropout.
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
            // A dropout of nothing is none.
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

/// A temporal convolutional network: blocks of dilations 1, 2, 4, ..., called `network.0`, `network.1`, ...; and a linear layer on
/// the last time step, `output_layer`, unless the network is to give one output for every time step.
///
/// ```
/// use conv1d_nn::{Graph, Tcn};
/// let tcn = Tcn::new(8, 64, 1).layers(8); // 8 features of 256 days to a prediction
/// assert_eq!(Graph::of(&tcn).receptive_field(), 1021);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Tcn {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of all blocks.
    pub hidden_channels: usize,
    /// Features of the output.
    pub output_size: usize,
    /// K of all blocks.
    pub kernel_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Probability of dropout.
    pub dropout: f32,
    /// Whether the output is one of every time step, `[N, output_size, L]`, of a convolution 1 x 1; otherwise it is that of the last,
    /// `[N, output_size]`.
    pub every_step: bool,
}

impl Tcn {
    /// Six blocks of kernels of 3, dropout 0.2, one output of the last time step.
    pub const fn new(in_channels: usize, hidden_channels: usize, output_size: usize) -> Self {
        Tcn { in_channels, hidden_channels, output_size, kernel_size: 3, layers: 6, dropout: 0.2, every_step: false }
    }

    /// Sets K.
    #[must_use]
    pub const fn kernel_size(self, kernel_size: usize) -> Self {
        Tcn { kernel_size, ..self }
    }

    /// Sets the number of blocks.
    #[must_use]
    pub const fn layers(self, layers: usize) -> Self {
        Tcn { layers, ..self }
    }

    /// Sets the probability of dropout.
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

/// Features of a series at three time scales: convolutions of 3, 5 and 21 samples as long as the input, each with batch
/// normalisation and ReLU, one after another along the channels: `[N, 3 * hidden, L]`. `short_conv.0`, `short_conv.1`,
/// `medium_conv.0`, ... It sees the future of a sample as well as its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureExtractor {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of each scale.
    pub hidden_channels: usize,
}

impl FeatureExtractor {
    /// The three scales, and how they are called.
    pub const SCALES: [(&'static str, usize); 3] = [("short_conv", 3), ("medium_conv", 5), ("long_conv", 21)];

    /// Of so many channels at each scale.
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
