//! The shape of an input, with or without a batch axis.

use crate::error::{Error, Result};

/// The shape of an input. An input without a batch is a batch of one, whose batch axis is hidden from callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    /// `[N, C, L]`.
    pub(crate) shape: [usize; 3],
    batched: bool,
}

impl Input {
    /// From `[N, C, L]` or `[C, L]`.
    pub(crate) fn of(shape: &[usize]) -> Result<Input> {
        match *shape {
            [batch, channels, length] => Ok(Input { shape: [batch, channels, length], batched: true }),
            [channels, length] => Ok(Input { shape: [1, channels, length], batched: false }),
            _ => Err(Error::shape("the input", shape, "[N, C, L] or, without a batch, [C, L]")),
        }
    }

    /// The shape of a value as callers see it. Only values that depend on the input have a batch axis.
    pub(crate) fn seen<'s>(&self, shape: &'s [usize], follows_input: bool) -> &'s [usize] {
        match shape {
            [1, rest @ ..] if follows_input && !self.batched => rest,
            _ => shape,
        }
    }
}
