use super::Exact;
use crate::error::{Error, Result};
use crate::geometry::{Activation, Fused, Residual};

/// What computing an activation, or its derivative, may add to an error at `z`, in units of `1 + |z|`.
const ACTIVATION_ERROR: f64 = 1.0 / (1u32 << 20) as f64;
/// Unit roundoff of `f32`.
const ROUNDOFF: f64 = 1.0 / (1u32 << 24) as f64;

impl Activation {
    /// Its exact value.
    pub fn value(self, z: f64) -> f64 {
        match self {
            Activation::Identity => z,
            Activation::Relu => {
                if z <= 0.0 {
                    0.0
                } else {
                    z
                }
            }
            Activation::LeakyRelu(slope) => {
                if z > 0.0 {
                    z
                } else {
                    f64::from(slope) * z
                }
            }
            Activation::Silu => z * sigmoid(z),
            Activation::Gelu => z * normal(z),
            Activation::Tanh => z.tanh(),
            Activation::Sigmoid => sigmoid(z),
        }
    }

    /// Its exact derivative.
    pub fn derivative(self, z: f64) -> f64 {
        match self {
            Activation::Identity => 1.0,
            Activation::Relu => {
                if z <= 0.0 {
                    0.0
                } else {
                    1.0
                }
            }
            Activation::LeakyRelu(slope) => {
                if z <= 0.0 {
                    slope.into()
                } else {
                    1.0
                }
            }
            Activation::Silu => sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z))),
            Activation::Gelu => normal(z) + z * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Activation::Tanh => self.derivative_from_value(z.tanh()),
            Activation::Sigmoid => self.derivative_from_value(sigmoid(z)),
        }
    }

    /// Its derivative where its value is `y`; only for those that have one derivative for a value.
    fn derivative_from_value(self, y: f64) -> f64 {
        match self {
            Activation::Tanh => 1.0 - y * y,
            Activation::Sigmoid => y * (1.0 - y),
            // Their values have the sign of their arguments.
            other => other.derivative(y),
        }
    }

    /// The largest slope that it has anywhere.
    fn steepest(self) -> f64 {
        match self {
            Activation::Identity | Activation::Relu | Activation::Tanh => 1.0,
            Activation::LeakyRelu(slope) => f64::from(slope).abs().max(1.0),
            Activation::Silu => 1.1,
            Activation::Gelu => 1.13,
            Activation::Sigmoid => 0.25,
        }
    }

    /// What computing it at a `z` of this magnitude may add to an error.
    fn error(self, z: f64) -> f64 {
        match self {
            Activation::Identity | Activation::Relu => 0.0,
            Activation::LeakyRelu(slope) => f64::from(slope).abs() * z * ROUNDOFF + f64::from(f32::MIN_POSITIVE),
            _ => ACTIVATION_ERROR * (1.0 + z),
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The standard normal distribution's function.
fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// `dy` on its way back through an activation: what the gradients of the convolution start from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Back {
    /// `dy` times the derivative, rounded to `f32`.
    pub gradient: Vec<f32>,
    /// How far each element that a kernel computes may be from it, beyond rounding.
    pub error: Vec<f32>,
}

impl Fused {
    /// What goes into the activation, from the convolution's sum and an element of the residual.
    pub fn exact_pre_activation(&self, sum: Exact, residual: Option<f32>) -> Exact {
        let mut sum = sum;
        if let (Residual::BeforeActivation, Some(residual)) = (self.residual, residual) {
            sum.add(residual.into());
        }
        sum
    }

    /// The output, from the convolution's sum and an element of the residual. Its bound is that of the sum, as steep as the
    /// activation is anywhere, and what the activation itself may add.
    pub fn exact_output(&self, sum: Exact, residual: Option<f32>) -> Exact {
        let z = self.exact_pre_activation(sum, residual);
        let steepest = self.activation.steepest();
        let mut y = Exact {
            value: self.activation.value(z.value),
            magnitude: z.magnitude * steepest,
            terms: z.terms,
            slack: z.slack * steepest + self.activation.error(z.value.abs() + z.bound()),
        };
        if let (Residual::AfterActivation, Some(residual)) = (self.residual, residual) {
            let residual = f64::from(residual);
            y.slack += (y.value.abs() + y.bound() + residual.abs()) * ROUNDOFF;
            y.value += residual;
        }
        y
    }

    /// `dy` times the derivative at what the forward pass saved, see [`Fused::saves_pre_activation`].
    pub fn exact_back(&self, dy: &[f32], saved: &[f32]) -> Result<Back> {
        if dy.len() != saved.len() {
            return Err(Error::DataLength { tensor: "what was saved", got: saved.len(), expected: dy.len() });
        }
        let derivative = |saved: f64| match self.saves_pre_activation() {
            true => self.activation.derivative(saved),
            false => self.activation.derivative_from_value(saved),
        };
        let gradient = |(&dy, &saved): (&f32, &f32)| (f64::from(dy) * derivative(saved.into())) as f32;
        let error = |(&dy, &saved): (&f32, &f32)| match self.activation {
            Activation::Identity | Activation::Relu | Activation::LeakyRelu(_) => 0.0,
            _ => (f64::from(dy).abs() * ACTIVATION_ERROR * (1.0 + f64::from(saved).abs())) as f32,
        };
        let pairs = || dy.iter().zip(saved);
        Ok(Back { gradient: pairs().map(gradient).collect(), error: pairs().map(error).collect() })
    }
}

impl Exact {
    /// A gradient through an activation: from that of [`Back::gradient`], and that of [`Back::error`] for its bound.
    #[must_use]
    pub fn back(self, error: Exact) -> Exact {
        // Two roundings more: of the product with the derivative, here and on the device.
        Exact { terms: self.terms + 2, slack: self.slack + error.magnitude * (1.0 + error.bound()), ..self }
    }
}
