//! Update rules: how a step changes parameters.

use crate::error::{Error, Result};

/// Stochastic gradient descent (`torch.optim.SGD`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sgd {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum factor.
    pub momentum: f32,
    /// Weight decay: this multiple of the parameter is added to its gradient.
    pub weight_decay: f32,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// Without momentum and weight decay.
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

    /// Sets whether to use Nesterov momentum.
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
            /// Decay of the first moment.
            pub beta1: f64,
            /// Decay of the second moment.
            pub beta2: f64,
            /// Added to the square root of the second moment.
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
    /// Weight decay: this multiple of the parameter is added to its gradient.
    ;
    /// With PyTorch's betas of 0.9 and 0.999, epsilon of 1e-8 and no weight decay.
}

adam! {
    /// Adam with decoupled weight decay (`torch.optim.AdamW`).
    AdamW, decay: 0.01,
    /// Weight decay times learning rate times parameter is subtracted from the parameter.
    ;
    /// With PyTorch's betas of 0.9 and 0.999, epsilon of 1e-8 and weight decay of 0.01.
}

impl AdamW {
    /// Adam with the same hyperparameters. The two rules differ only in how they apply the weight decay.
    const fn coupled(self) -> Adam {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = self;
        Adam { learning_rate, beta1, beta2, epsilon, weight_decay }
    }
}

/// How a step changes parameters, given their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum UpdateRule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

/// The update rules, grouped by shader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    Sgd(Sgd),
    Adam {
        adam: Adam,
        /// Whether the weight decay is subtracted from the parameter itself.
        decoupled: bool,
    },
}

impl From<Sgd> for UpdateRule {
    fn from(sgd: Sgd) -> Self {
        UpdateRule::Sgd(sgd)
    }
}

impl From<Adam> for UpdateRule {
    fn from(adam: Adam) -> Self {
        UpdateRule::Adam(adam)
    }
}

impl From<AdamW> for UpdateRule {
    fn from(adam: AdamW) -> Self {
        UpdateRule::AdamW(adam)
    }
}

impl UpdateRule {
    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            UpdateRule::Sgd(sgd) => sgd.learning_rate,
            UpdateRule::Adam(adam) => adam.learning_rate,
            UpdateRule::AdamW(adam) => adam.learning_rate,
        }
    }

    /// The rule that the shaders compute.
    pub(crate) fn rule(&self) -> Rule {
        match *self {
            UpdateRule::Sgd(sgd) => Rule::Sgd(sgd),
            UpdateRule::Adam(adam) => Rule::Adam { adam, decoupled: false },
            UpdateRule::AdamW(adam) => Rule::Adam { adam: adam.coupled(), decoupled: true },
        }
    }

    /// PyTorch's names of the state tensors. Each has one element for every element of the parameters.
    pub(crate) fn state_names(&self) -> &'static [&'static str] {
        match self.rule() {
            Rule::Sgd(sgd) if sgd.momentum == 0.0 => &[],
            Rule::Sgd(_) => &["momentum_buffer"],
            Rule::Adam { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        not_negative("the learning rate", self.learning_rate())?;
        match self.rule() {
            Rule::Sgd(sgd) => {
                not_negative("momentum", sgd.momentum.into())?;
                not_negative("the weight decay", sgd.weight_decay.into())?;
                if sgd.nesterov && sgd.momentum == 0.0 {
                    return Err(Error::argument("momentum", 0.0, "more than 0 for Nesterov momentum"));
                }
            }
            Rule::Adam { adam, .. } => {
                for (argument, beta) in [("beta1", adam.beta1), ("beta2", adam.beta2)] {
                    if !(0.0..1.0).contains(&beta) {
                        return Err(Error::argument(argument, beta, "at least 0 and less than 1"));
                    }
                }
                // Factor of the mean in the first step.
                not_negative("the learning rate over 1 - beta1", adam.learning_rate / (1.0 - adam.beta1))?;
                not_negative("epsilon", adam.epsilon.into())?;
                not_negative("the weight decay", adam.weight_decay.into())?;
            }
        }
        Ok(())
    }

    /// This rule with another learning rate.
    pub(crate) fn with_learning_rate(self, learning_rate: f64) -> Self {
        match self {
            UpdateRule::Sgd(sgd) => UpdateRule::Sgd(Sgd { learning_rate, ..sgd }),
            UpdateRule::Adam(adam) => UpdateRule::Adam(Adam { learning_rate, ..adam }),
            UpdateRule::AdamW(adam) => UpdateRule::AdamW(AdamW { learning_rate, ..adam }),
        }
    }

    /// Settings of a parameter group for a step, counted from 1: learning rate, step size of Adam, factor of the root,
    /// padding.
    pub(crate) fn settings(&self, step: u64, factor: f64) -> [f32; SETTINGS] {
        let learning_rate = self.learning_rate() * factor;
        let exponent = step.min(i32::MAX as u64) as i32;
        let (first, second) = match self.rule() {
            Rule::Sgd(_) => (0.0, 0.0),
            Rule::Adam { adam, .. } => {
                let (bias1, bias2) = (1.0 - adam.beta1.powi(exponent), 1.0 - adam.beta2.powi(exponent));
                (learning_rate / bias1, 1.0 / bias2.sqrt())
            }
        };
        [learning_rate as f32, first as f32, second as f32, 0.0]
    }

    /// Whether both rules are of the same kind: the same shader and the same state for each parameter.
    pub(crate) fn is_like(&self, other: &UpdateRule) -> bool {
        match (self.rule(), other.rule()) {
            (Rule::Sgd(a), Rule::Sgd(b)) => (a.momentum == 0.0) == (b.momentum == 0.0),
            (Rule::Adam { decoupled: a, .. }, Rule::Adam { decoupled: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Number of words in the settings of a parameter group.
pub(crate) const SETTINGS: usize = 4;

/// Checks that an argument is not negative and finite as an `f32`.
fn not_negative(argument: &'static str, value: f64) -> Result<()> {
    let fine = (value as f32).is_finite() && value >= 0.0;
    if fine { Ok(()) } else { Err(Error::argument(argument, value, "finite and not negative")) }
}
