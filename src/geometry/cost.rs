use super::{Conv1d, Geometry, Shapes};

/// Nominal cost of one forward pass, counted from the definition: the work of any algorithm that is not a fast transform.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// Floating-point operations, two for each multiply-add. Taps that meet padding count, as is customary. The input
    /// gradient and the weight gradient each need the same number.
    pub flops: u64,
    /// Bytes of input, weight, bias and output, each moved once.
    pub bytes: u64,
    /// Number of parameters, including the bias.
    pub parameters: u64,
    /// Number of 1-D filters: `C_in * C_out / groups`.
    pub filters: u64,
}

impl Cost {
    pub(crate) fn of(shapes: &Shapes, g: &Geometry) -> Self {
        let count = |shape: &[usize]| shape.iter().fold(1_u64, |n, &d| n.saturating_mul(d as u64));
        let weights = count(&shapes.weight);
        let positions = u64::from(g.batch) * u64::from(g.narrow.length);
        let values = count(&shapes.input) + weights + count(&shapes.bias) + count(&shapes.output);
        Cost {
            flops: weights.saturating_mul(positions).saturating_mul(2),
            bytes: values * 4,
            parameters: weights + count(&shapes.bias),
            filters: weights / u64::from(g.kernel),
        }
    }

    /// FLOP per byte moved.
    pub fn arithmetic_intensity(&self) -> f64 {
        self.flops as f64 / self.bytes as f64
    }
}

/// Number of input samples that one output of a stack of layers sees: `1 + sum over layers of (span - 1) * product of the
/// strides before`.
///
/// ```
/// use conv1d::{Conv1d, Padding, receptive_field};
/// let stack: Vec<_> =
///     (0..10).map(|i| Conv1d::new(64, 64, 2).dilation(1 << i).padding(Padding::Causal)).collect();
/// assert_eq!(receptive_field(&stack), 1024);
/// ```
pub fn receptive_field(layers: &[Conv1d]) -> u64 {
    let mut step = 1_u64;
    let mut field = 1_u64;
    for layer in layers {
        field = field.saturating_add((layer.span() - 1).saturating_mul(step));
        step = step.saturating_mul(layer.stride as u64);
    }
    field
}
