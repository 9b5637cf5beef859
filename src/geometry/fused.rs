use super::{Conv1d, ConvTranspose1d, Layer, Shapes};
use crate::error::{Error, Result};

/// A function applied to every element of the output.
///
/// Kernels compute it in `f32`, to within `2^-20` of its value at the `z` that they computed, relative to that value, however small it
/// is. Results below the smallest normal number may be zero. `tanh` and sigmoid do not decrease, and no result has the wrong sign. See
/// [`Activation::value_error`] and [`Activation::derivative_error`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`, with derivative 0 at 0.
    Relu,
    /// `z` where `z` is positive, and this slope times `z` elsewhere.
    LeakyRelu(f32),
    /// `z / (1 + e^-z)`, also called swish.
    Silu,
    /// `z * (1 + erf(z / sqrt(2))) / 2`: the exact form, not the approximation by `tanh`.
    Gelu,
    /// `tanh(z)`.
    Tanh,
    /// `1 / (1 + e^-z)`.
    Sigmoid,
}

/// Where a residual, a tensor of the output's shape, is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Residual {
    /// No residual.
    #[default]
    None,
    /// Before the activation: `y = activation(z + residual)`, as in `ResNet`.
    BeforeActivation,
    /// After the activation: `y = activation(z) + residual`, as in WaveNet.
    AfterActivation,
}

/// A convolution with an activation and a residual in the same dispatch: `y = activation(conv(x) + b)`, with the residual
/// added before the activation or after it.
///
/// Gradients are those of the whole expression: `dy` is multiplied by the activation's derivative as it is loaded. They need
/// a tensor that the forward pass saved, see [`Fused::saves_pre_activation`].
///
/// ```
/// use conv1d::{Activation, Conv1d, Residual};
/// let block = Conv1d::new(64, 64, 3).activation(Activation::Relu).residual(Residual::BeforeActivation);
/// assert_eq!(block.shapes([2, 64, 100])?.output, [2, 64, 98]);
/// assert!(!block.saves_pre_activation()); // its gradients need y alone
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Fused {
    /// The convolution.
    pub layer: Layer,
    /// The activation.
    pub activation: Activation,
    /// Where a residual is added.
    pub residual: Residual,
}

impl Activation {
    /// Every activation. Leaky `ReLU` is there with a positive and with a negative slope.
    pub const ALL: [Activation; 8] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.125),
        Activation::LeakyRelu(-0.5),
        Activation::Silu,
        Activation::Gelu,
        Activation::Tanh,
        Activation::Sigmoid,
    ];

    /// Checks its argument.
    ///
    /// # Errors
    /// [`Error::Slope`] where the slope of a leaky `ReLU` is not finite.
    pub fn check(self) -> Result<()> {
        match self {
            Activation::LeakyRelu(slope) if !slope.is_finite() => Err(Error::Slope { slope }),
            _ => Ok(()),
        }
    }

    /// The part of the folder `activation` that computes it in a [`Shader`](crate::Shader), and the argument `slope` of that part's
    /// functions: the slope of a leaky `ReLU`, 0 otherwise.
    pub const fn shader_part(self) -> (&'static str, f32) {
        match self {
            Activation::Identity => ("identity", 0.0),
            Activation::Relu => ("relu", 0.0),
            Activation::LeakyRelu(slope) => ("leaky_relu", slope),
            Activation::Silu => ("silu", 0.0),
            Activation::Gelu => ("gelu", 0.0),
            Activation::Tanh => ("tanh", 0.0),
            Activation::Sigmoid => ("sigmoid", 0.0),
        }
    }

    /// Whether its derivative is computed from its input (`SiLU`, GELU, a leaky `ReLU` of a negative slope); otherwise from its output.
    pub const fn derivative_needs_input(self) -> bool {
        match self {
            Activation::Silu | Activation::Gelu => true,
            // A negative slope gives both signs of the input the same sign of the output.
            Activation::LeakyRelu(slope) => slope < 0.0,
            _ => false,
        }
    }
}

impl Fused {
    /// Sets the activation.
    #[must_use]
    pub const fn activation(self, activation: Activation) -> Self {
        Fused { activation, ..self }
    }

    /// Sets where a residual is added.
    #[must_use]
    pub const fn residual(self, residual: Residual) -> Self {
        Fused { residual, ..self }
    }

    /// Whether the gradients need the input of the activation ([`crate::Role::PreActivation`]), which the forward pass must
    /// then store beside `y`. Otherwise they need `y` or, without an activation, neither.
    pub const fn saves_pre_activation(&self) -> bool {
        match self.activation {
            Activation::Identity => false,
            activation => activation.derivative_needs_input() || matches!(self.residual, Residual::AfterActivation),
        }
    }

    /// Shapes of all tensors for an input `[N, C_in, L]` or `[C_in, L]`. A residual has the shape of the output. Fails if an
    /// argument or the input shape is invalid.
    pub fn shapes(&self, input: impl AsRef<[usize]>) -> Result<Shapes> {
        self.check()?;
        self.layer.shapes(input)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.activation.check()
    }
}

impl<L: Into<Layer>> From<L> for Fused {
    fn from(layer: L) -> Self {
        Fused { layer: layer.into(), activation: Activation::Identity, residual: Residual::None }
    }
}

impl From<&Fused> for Fused {
    fn from(fused: &Fused) -> Self {
        *fused
    }
}

impl Layer {
    /// This layer with an activation in the same dispatch.
    pub const fn activation(self, activation: Activation) -> Fused {
        Fused { layer: self, activation, residual: Residual::None }
    }

    /// This layer with a residual added in the same dispatch.
    pub const fn residual(self, residual: Residual) -> Fused {
        Fused { layer: self, activation: Activation::Identity, residual }
    }
}

impl Conv1d {
    /// This convolution with an activation in the same dispatch.
    pub const fn activation(self, activation: Activation) -> Fused {
        Layer::Conv(self).activation(activation)
    }

    /// This convolution with a residual added in the same dispatch.
    pub const fn residual(self, residual: Residual) -> Fused {
        Layer::Conv(self).residual(residual)
    }
}

impl ConvTranspose1d {
    /// This convolution with an activation in the same dispatch.
    pub const fn activation(self, activation: Activation) -> Fused {
        Layer::Transposed(self).activation(activation)
    }

    /// This convolution with a residual added in the same dispatch.
    pub const fn residual(self, residual: Residual) -> Fused {
        Layer::Transposed(self).residual(residual)
    }
}
