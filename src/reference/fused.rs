use super::Exact;
use crate::error::{Error, Result};
use crate::geometry::{Activation, Fused, Residual};

/// Error allowed for computing an activation, relative to its value; for a derivative, relative to the sum of the magnitudes of its
/// terms. Results below the smallest normal number may be off by that number.
const ACTIVATION_ERROR: f64 = 1.0 / (1_u32 << 20) as f64;
/// Unit roundoff of `f32`.
const ROUNDOFF: f64 = 1.0 / (1_u32 << 24) as f64;
/// The smallest normal `f32`.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

impl Activation {
    /// The exact value at `z`. At an infinity it is the limit.
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
            Activation::Silu | Activation::Gelu if z == f64::NEG_INFINITY => -0.0,
            Activation::Silu => z * sigmoid(z),
            Activation::Gelu => z * normal(z),
            Activation::Tanh => z.tanh(),
            Activation::Sigmoid => sigmoid(z),
        }
    }

    /// The exact derivative at `z`. At an infinity it is the limit.
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
            Activation::Silu | Activation::Gelu if z.is_infinite() => f64::from(u8::from(z > 0.0)),
            Activation::Silu => sigmoid(z) * (1.0 + z * sigmoid(-z)),
            Activation::Gelu => normal(z) + z * density(z),
            Activation::Tanh => self.derivative_from_value(z.tanh()),
            Activation::Sigmoid => self.derivative_from_value(sigmoid(z)),
        }
    }

    /// The exact derivative at the tensor that it is computed from: the input of the activation if
    /// [`derivative_needs_input`](Activation::derivative_needs_input), otherwise its output.
    pub fn derivative_at(self, saved: f64) -> f64 {
        if self.derivative_needs_input() { self.derivative(saved) } else { self.derivative_from_value(saved) }
    }

    /// The derivative where the value is `y`; only for activations whose value determines the derivative.
    fn derivative_from_value(self, y: f64) -> f64 {
        match self {
            Activation::Tanh => 1.0 - y * y,
            Activation::Sigmoid => y * (1.0 - y),
            // The value has the sign of the argument.
            other => other.derivative(y),
        }
    }

    /// Upper bound of the magnitude of the slope: how much an error of the argument may grow.
    pub fn steepest(self) -> f64 {
        match self {
            Activation::Identity | Activation::Relu | Activation::Tanh => 1.0,
            Activation::LeakyRelu(slope) => f64::from(slope).abs().max(1.0),
            Activation::Silu => 1.1,
            Activation::Gelu => 1.13,
            Activation::Sigmoid => 0.25,
        }
    }

    /// Error allowed for computing a value of this magnitude: `2^-20` of it, and the smallest normal number, below which a device may
    /// flush to zero. Identity is exact, `ReLU` too unless its value is flushed, and leaky `ReLU` rounds once.
    pub fn value_error(self, value: f64) -> f64 {
        match self {
            Activation::Identity => 0.0,
            Activation::Relu if value.abs() < SMALLEST => value.abs(),
            Activation::Relu => 0.0,
            Activation::LeakyRelu(_) => value.abs() * ROUNDOFF + SMALLEST,
            _ => value.abs() * ACTIVATION_ERROR + SMALLEST,
        }
    }

    /// Error allowed for computing the derivative from `saved`, the input of the activation if `saved_input`, otherwise its output:
    /// `2^-20` of the sum of the magnitudes of its terms, and the smallest normal number. `ReLU` and leaky `ReLU` are exact, but a device
    /// may take a number below the smallest normal number for zero, at which their slope changes.
    ///
    /// | activation | terms |
    /// | --- | --- |
    /// | sigmoid, of output y | `y`, `y^2` |
    /// | tanh, of output y | `1`, `y^2` |
    /// | SiLU, of input z | `sigmoid(z)`, `z * sigmoid(z) * (1 - sigmoid(z))` |
    /// | GELU, of input z | `Phi(z)`, `z * phi(z)`, the normal distribution and its density |
    pub fn derivative_error(self, saved: f64, saved_input: bool) -> f64 {
        let output = || if saved_input { self.value(saved) } else { saved };
        let terms = match self {
            Activation::Relu | Activation::LeakyRelu(_) if saved.abs() < SMALLEST => {
                return (self.derivative(1.0) - self.derivative(-1.0)).abs();
            }
            Activation::Identity | Activation::Relu | Activation::LeakyRelu(_) => return 0.0,
            Activation::Sigmoid => output().abs() + output().powi(2),
            Activation::Tanh => 1.0 + output().powi(2),
            Activation::Silu => sigmoid(saved) * (1.0 + saved.abs() * sigmoid(-saved)),
            Activation::Gelu => normal(saved) + saved.abs() * density(saved),
        };
        terms * ACTIVATION_ERROR + SMALLEST
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Cumulative distribution function of the standard normal distribution.
fn normal(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Density of the standard normal distribution.
fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// `dy` times the derivative of the activation: the output gradient of the convolution itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Back {
    /// `dy` times the derivative, rounded to `f32`.
    pub gradient: Vec<f32>,
    /// Largest error of each element that a kernel computes, beyond rounding.
    pub error: Vec<f32>,
}

impl Fused {
    /// The exact input of the activation, from the convolution's sum and an element of the residual.
    pub fn exact_pre_activation(&self, sum: Exact, residual: Option<f32>) -> Exact {
        let mut sum = sum;
        if let (Residual::BeforeActivation, Some(residual)) = (self.residual, residual) {
            sum.add(residual.into());
        }
        sum
    }

    /// The exact output, from the convolution's sum and an element of the residual. Its bound is the bound of the sum times
    /// the largest slope of the activation, plus the error of the activation itself.
    pub fn exact_output(&self, sum: Exact, residual: Option<f32>) -> Exact {
        let z = self.exact_pre_activation(sum, residual);
        let steepest = self.activation.steepest();
        let value = self.activation.value(z.value);
        let mut y = Exact {
            value,
            magnitude: z.magnitude * steepest,
            slack: z.slack * steepest + self.activation.value_error(value.abs() + z.bound() * steepest),
            ..z
        };
        if let (Residual::AfterActivation, Some(residual)) = (self.residual, residual) {
            let residual = f64::from(residual);
            y.slack += (y.value.abs() + y.bound() + residual.abs()) * ROUNDOFF + SMALLEST;
            y.value += residual;
        }
        y
    }

    /// `dy` times the derivative of the activation. `saved` is the tensor that the forward pass saved, see
    /// [`Fused::saves_pre_activation`]; it is as long as `dy`.
    pub fn exact_back(&self, dy: &[f32], saved: &[f32]) -> Result<Back> {
        if dy.len() != saved.len() {
            return Err(Error::DataLength { tensor: "the saved tensor", got: saved.len(), expected: dy.len() });
        }
        let derivative = |saved: f64| match self.saves_pre_activation() {
            true => self.activation.derivative(saved),
            false => self.activation.derivative_from_value(saved),
        };
        let gradient = |(&dy, &saved): (&f32, &f32)| (f64::from(dy) * derivative(saved.into())) as f32;
        let error = |(&dy, &saved): (&f32, &f32)| {
            let error = self.activation.derivative_error(saved.into(), self.saves_pre_activation());
            // Where there is a derivative, the product with it may be flushed to zero.
            if error == 0.0 { 0.0 } else { (f64::from(dy).abs() * error + SMALLEST) as f32 }
        };
        let pairs = || dy.iter().zip(saved);
        Ok(Back { gradient: pairs().map(gradient).collect(), error: pairs().map(error).collect() })
    }
}

impl Exact {
    /// A gradient through an activation: `self` is computed from [`Back::gradient`], and `error`, for the bound, is the same
    /// gradient computed from [`Back::error`].
    #[must_use]
    pub fn back(self, error: Exact) -> Exact {
        // Two more roundings: of the product with the derivative, here and on the device.
        Exact {
            terms: self.terms + 2,
            chain: self.chain + 2,
            slack: self.slack + error.magnitude * (1.0 + error.bound()),
            ..self
        }
    }
}
