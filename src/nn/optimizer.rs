//! Optimisers: how parameters follow their gradients.

use super::schedule::CONTROL_WORDS;
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

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, decay: $decay:literal, $(#[$decay_doc:meta])* ; $(#[$new_doc:meta])*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            /// Learning rate.
            pub learning_rate: f64,
            /// Share of the mean of gradients that stays in a step.
            pub beta1: f64,
            /// Share of the mean of their squares that stays.
            pub beta2: f64,
            /// Added to the root of that.
            pub epsilon: f32,
            $(#[$decay_doc])*
            pub weight_decay: f32,
        }

        impl $name {
            $(#[$new_doc])*
            pub const fn new(learning_rate: f64) -> Self {
                $name { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: $decay }
            }

            /// Sets both betas.
            #[must_use]
            pub const fn betas(self, beta1: f64, beta2: f64) -> Self {
                $name { beta1, beta2, ..self }
            }

            /// Sets epsilon.
            #[must_use]
            pub const fn epsilon(self, epsilon: f32) -> Self {
                $name { epsilon, ..self }
            }

            /// Sets the weight decay.
            #[must_use]
            pub const fn weight_decay(self, weight_decay: f32) -> Self {
                $name { weight_decay, ..self }
            }
        }
    };
}

adam! {
    /// Adam (`torch.optim.Adam`).
    Adam, decay: 0.0,
    /// Added to the gradient, times the parameter.
    ;
    /// With PyTorch's betas of 0.9 and 0.999, epsilon of 1e-8 and no weight decay.
}

adam! {
    /// Adam with weight decay that does not go through the gradient's means (`torch.optim.AdamW`).
    AdamW, decay: 0.01,
    /// Subtracted from the parameter, times the parameter and the learning rate.
    ;
    /// With PyTorch's betas of 0.9 and 0.999, epsilon of 1e-8 and weight decay of 0.01.
}

impl AdamW {
    /// Adam with the same numbers: the two differ in the place of the weight decay alone.
    const fn coupled(self) -> Adam {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = self;
        Adam { learning_rate, beta1, beta2, epsilon, weight_decay }
    }
}

/// How parameters follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

/// The optimisers by the shaders that do them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rule {
    Sgd(Sgd),
    Adam {
        adam: Adam,
        /// Whether the weight decay is subtracted from the parameter itself.
        decoupled: bool,
    },
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

impl From<AdamW> for Optimizer {
    fn from(adam: AdamW) -> Self {
        Optimizer::AdamW(adam)
    }
}

impl Optimizer {
    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Optimizer::Sgd(sgd) => sgd.learning_rate,
            Optimizer::Adam(adam) => adam.learning_rate,
            Optimizer::AdamW(adam) => adam.learning_rate,
        }
    }

    /// The rule that the shaders compute.
    pub(super) fn rule(&self) -> Rule {
        match *self {
            Optimizer::Sgd(sgd) => Rule::Sgd(sgd),
            Optimizer::Adam(adam) => Rule::Adam { adam, decoupled: false },
            Optimizer::AdamW(adam) => Rule::Adam { adam: adam.coupled(), decoupled: true },
        }
    }

    /// How many numbers it remembers of every parameter.
    pub(super) fn memory(&self) -> usize {
        self.memories().len()
    }

    /// PyTorch's names of what it remembers.
    pub(super) fn memories(&self) -> &'static [&'static str] {
        match self.rule() {
            Rule::Sgd(sgd) if sgd.momentum == 0.0 => &[],
            Rule::Sgd(_) => &["momentum_buffer"],
            Rule::Adam { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        not_negative("the learning rate", self.learning_rate())?;
        match self.rule() {
            Rule::Sgd(sgd) => {
                not_negative("momentum", sgd.momentum.into())?;
                not_negative("the weight decay", sgd.weight_decay.into())?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(Error::argument("momentum", 0.0, "more than 0 where it is Nesterov's"));
                }
            }
            Rule::Adam { adam, .. } => {
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
            Optimizer::AdamW(adam) => Optimizer::AdamW(AdamW { learning_rate, ..adam }),
        }
    }

    /// The control words of a step, counted from 1.
    pub(super) fn control(&self, step: u64) -> [f32; CONTROL_WORDS] {
        // What dropout and the place of the loss go by is the number of steps before.
        let word = f32::from_bits((step - 1) as u32);
        let learning_rate = self.learning_rate();
        let exponent = step.min(i32::MAX as u64) as i32;
        let (first, second) = match self.rule() {
            Rule::Sgd(_) => (0.0, 0.0),
            Rule::Adam { adam, .. } => {
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
