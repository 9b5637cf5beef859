use super::{Conv1d, ConvTranspose1d, Cost, Geometry, Shapes};
use crate::error::Result;

/// A convolution or a transposed convolution, for code that handles both alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// A convolution.
    Conv(Conv1d),
    /// A transposed convolution.
    Transposed(ConvTranspose1d),
}

impl Layer {
    /// Shapes of all tensors for an input `[N, C_in, L]` or `[C_in, L]`. Fails if an argument or the input shape is invalid.
    pub fn shapes(&self, input: impl AsRef<[usize]>) -> Result<Shapes> {
        self.resolve(input.as_ref()).map(|(shapes, _)| shapes)
    }

    /// Operations, bytes and parameters of one forward pass.
    pub fn cost(&self, input: impl AsRef<[usize]>) -> Result<Cost> {
        let (shapes, g) = self.resolve(input.as_ref())?;
        Ok(Cost::of(&shapes, &g))
    }

    /// Whether this is a transposed convolution.
    pub const fn is_transposed(&self) -> bool {
        matches!(self, Layer::Transposed(_))
    }

    pub(crate) fn resolve(&self, input: &[usize]) -> Result<(Shapes, Geometry)> {
        match self {
            Layer::Conv(conv) => conv.resolve(input),
            Layer::Transposed(conv) => conv.resolve(input),
        }
    }
}

impl From<Conv1d> for Layer {
    fn from(conv: Conv1d) -> Self {
        Layer::Conv(conv)
    }
}

impl From<&Conv1d> for Layer {
    fn from(conv: &Conv1d) -> Self {
        Layer::Conv(*conv)
    }
}

impl From<ConvTranspose1d> for Layer {
    fn from(conv: ConvTranspose1d) -> Self {
        Layer::Transposed(conv)
    }
}

impl From<&ConvTranspose1d> for Layer {
    fn from(conv: &ConvTranspose1d) -> Self {
        Layer::Transposed(*conv)
    }
}

impl From<&Layer> for Layer {
    fn from(layer: &Layer) -> Self {
        *layer
    }
}
