//! Optimisers: how parameters follow their gradients.

use super::program::CONTROL_WORDS;
use crate::error::{Error, Result};

/// Stochastic gradient descent (`torch.optim.SGD`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// What of the step before is done again.
    pub momentum: f32,
    /// Added to the gradient, times the parameter.
    pub weight_decay: f32,
    /// Whether momentum is Nesterov's.
    pub nesterov: bool,
}

impl Sgd {
    /// Without momentum.
    pub const fn new(learning_rate: f64) -> Self {
        Sgd { learning_rate, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// Sets the momentum.
    #[must_use]
    pub const fn momentum(self, momentum: f32) -> Self {
        Sgd { momentum, ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f32) -> Self {
        Sgd { weight_decay, ..self }
    }

    /// Sets whether momentum is Nesterov's.
    #[must_use]
    pub const fn nesterov(self, nesterov: bool) -> Self {
        Sgd { nesterov, ..self }
    }
}

/// Adam (`torch.optim.Adam`), or AdamW (`torch.optim.AdamW`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Adam {
    /// Learning rate.
    pub learning_rate: f64,
    /// What of the mean of gradients stays in a step.
    pub beta1: f64,
    /// What of the mean of their squares stays.
    pub beta2: f64,
    /// Added to the root of that.
    pub epsilon: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Whether the weight decay is decoupled from the gradient: AdamW.
    pub decoupled: bool,
}

impl Adam {
    /// Adam with PyTorch's betas of 0.9 and 0.999, epsilon of 1e-8 and no weight decay.
    pub const fn new(learning_rate: f64) -> Self {
        Adam { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decoupled: false }
    }

    /// AdamW with PyTorch's weight decay of 0.01.
    pub const fn decoupled(learning_rate: f64) -> Self {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::new(learning_rate) }
    }

    /// Sets both betas.
    #[must_use]
    pub const fn betas(self, beta1: f64, beta2: f64) -> Self {
        Adam { beta1, beta2, ..self }
    }

    /// Sets epsilon.
    #[must_use]
    pub const fn epsilon(self, epsilon: f32) -> Self {
        Adam { epsilon, ..self }
    }

    /// Sets the weight decay.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f32) -> Self {
        Adam { weight_decay, ..self }
    }
}

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

impl From<Sgd> for Optimizer {
    fn from(sgd: Sgd) -> Self {
        Optimizer::Sgd(sgd)
    }
}

impl From<Adam> for Optimizer {
    fn from(adam: Adam) -> Self {
        Optimizer::Adam(adam)
    }
}

impl Optimizer {
    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Optimizer::Sgd(sgd) => sgd.learning_rate,
            Optimizer::Adam(adam) => adam.learning_rate,
        }
    }

    /// How many numbers it remembers of every parameter.
    pub(super) fn memory(&self) -> usize {
        self.memories().len()
    }

    /// PyTorch's names of what it remembers.
    pub(super) fn memories(&self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd(sgd) if sgd.momentum == 0.0 => &[],
            Optimizer::Sgd(_) => &["momentum_buffer"],
            Optimizer::Adam(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        not_negative("the learning rate", self.learning_rate())?;
        match self {
            Optimizer::Sgd(sgd) => {
                not_negative("momentum", sgd.momentum.into())?;
                not_negative("the weight decay", sgd.weight_decay.into())?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(Error::argument("momentum", 0.0, "more than 0 where it is Nesterov's"));
                }
            }
            Optimizer::Adam(adam) => {
                for (argument, beta) in [("beta1", adam.beta1), ("beta2", adam.beta2)] {
                    if !(0.0..1.0).contains(&beta) {
                        return Err(Error::argument(argument, beta, "at least 0 and less than 1"));
                    }
                }
                // What the first step multiplies its mean by.
                not_negative("the learning rate over 1 - beta1", adam.learning_rate / (1.0 - adam.beta1))?;
                not_negative("epsilon", adam.epsilon.into())?;
                not_negative("the weight decay", adam.weight_decay.into())?;
            }
        }
        Ok(())
    }

    /// This one with another learning rate.
    pub(super) fn with_learning_rate(self, learning_rate: f64) -> Self {
        match self {
            Optimizer::Sgd(sgd) => Optimizer::Sgd(Sgd { learning_rate, ..sgd }),
            Optimizer::Adam(adam) => Optimizer::Adam(Adam { learning_rate, ..adam }),
        }
    }

    /// The control words of a step, counted from 1.
    pub(super) fn control(&self, step: u64) -> [f32; CONTROL_WORDS] {
        // What dropout and the place of the loss go by is the number of steps before.
        let word = f32::from_bits((step - 1) as u32);
        let learning_rate = self.learning_rate();
        let exponent = step.min(i32::MAX as u64) as i32;
        let (first, second) = match self {
            Optimizer::Sgd(_) => (0.0, 0.0),
            Optimizer::Adam(adam) => {
                let (bias1, bias2) = (1.0 - adam.beta1.powi(exponent), 1.0 - adam.beta2.powi(exponent));
                (learning_rate / bias1, 1.0 / bias2.sqrt())
            }
        };
        [word, learning_rate as f32, first as f32, second as f32]
    }
}

/// Arguments are finite on the device, too, and not negative.
fn not_negative(argument: &'static str, value: f64) -> Result<()> {
    let fine = (value as f32).is_finite() && value >= 0.0;
    if fine { Ok(()) } else { Err(Error::argument(argument, value, "finite and not negative")) }
}
