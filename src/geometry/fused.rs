use super::{Conv1d, ConvTranspose1d, Layer, Shapes};
use crate::error::{Error, Result};

/// A function that is applied to every output.
///
/// Kernels compute it in `f32`, to within `2^-20 * (1 + |z|)` of its exact value at the `z` that they have.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`, with derivative 0 at 0.
    Relu,
    /// `z` where it is positive, and this slope times `z` elsewhere.
    LeakyRelu(f32),
    /// `z / (1 + e^-z)`, also called swish.
    Silu,
    /// `z * (1 + erf(z / sqrt(2))) / 2`: the exact one, not the approximation by `tanh`.
    Gelu,
    /// `tanh(z)`.
    Tanh,
    /// `1 / (1 + e^-z)`.
    Sigmoid,
}

/// Where a tensor of the output's shape is added to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Residual {
    /// Nowhere.
    #[default]
    None,
    /// Before the activation: `y = activation(z + residual)`, as in ResNet.
    BeforeActivation,
    /// After the activation: `y = activation(z) + residual`, as in WaveNet.
    AfterActivation,
}

/// A convolution with what follows it element by element, in the same dispatch: `y = activation(conv(x) + b)`, with a
/// residual added before the activation or after it.
///
/// Gradients are those of the whole: `dy` is multiplied by the activation's derivative as it is loaded. They need what the
/// forward pass saved, see [`Fused::saves_pre_activation`].
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
    /// What is applied to its output.
    pub activation: Activation,
    /// Where a residual is added.
    pub residual: Residual,
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

    /// Whether the gradients need what went into the activation ([`crate::Role::PreActivation`]), which the forward pass
    /// then has to store beside `y`; otherwise `y` itself is enough, or, without an activation, nothing.
    pub const fn saves_pre_activation(&self) -> bool {
        match self.activation {
            Activation::Identity => false,
            Activation::Silu | Activation::Gelu => true,
            // A negative slope gives both signs of z the same sign of y.
            Activation::LeakyRelu(slope) if slope < 0.0 => true,
            _ => matches!(self.residual, Residual::AfterActivation),
        }
    }

    /// Shapes of all tensors for an input `[N, C_in, L]` or `[C_in, L]`, or why there are none. A residual has the shape of the
    /// output.
    pub fn shapes(&self, input: impl AsRef<[usize]>) -> Result<Shapes> {
        self.check()?;
        self.layer.shapes(input)
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.activation {
            Activation::LeakyRelu(slope) if !slope.is_finite() => Err(Error::Slope { slope }),
            _ => Ok(()),
        }
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
