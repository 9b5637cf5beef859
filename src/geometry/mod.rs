//! Arguments, shapes, padding and cost of a convolution. Pure arithmetic, checked: a convolution that cannot exist is a
//! typed [`Error`].

mod conv;
mod cost;
mod extension;
mod fused;
mod layer;
mod padding;
mod shape;
mod transposed;

pub use conv::Conv1d;
pub use cost::{Cost, receptive_field};
pub use fused::{Activation, Fused, Residual};
pub use layer::Layer;
pub use padding::{Padding, PaddingMode};
pub use shape::Shape;
pub use transposed::ConvTranspose1d;

pub(crate) use extension::Extension;

use crate::error::{Error, Result};

/// The four operations of a convolution. All of them exist for [`Conv1d`] and for [`ConvTranspose1d`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `y` from `x`, `w` and an optional bias.
    Forward,
    /// `dx` from `dy` and `w`.
    InputGradient,
    /// `dw` from `x` and `dy`.
    WeightGradient,
    /// `db` from `dy`.
    BiasGradient,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 4] =
        [Operation::Forward, Operation::InputGradient, Operation::WeightGradient, Operation::BiasGradient];

    /// Whether it reads the weight.
    pub(crate) const fn reads_weight(self) -> bool {
        matches!(self, Operation::Forward | Operation::InputGradient)
    }

    /// Name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Forward => "forward",
            Operation::InputGradient => "input gradient",
            Operation::WeightGradient => "weight gradient",
            Operation::BiasGradient => "bias gradient",
        }
    }
}

/// The shapes of all tensors of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Shapes {
    /// `[N, C_in, L]` or `[C_in, L]`; also the shape of the input gradient.
    pub input: Shape,
    /// `[C_out, C_in/groups, K]`, or `[C_in, C_out/groups, K]` when transposed; also the shape of the weight gradient.
    pub weight: [usize; 3],
    /// `[C_out]`; also the shape of the bias gradient.
    pub bias: [usize; 1],
    /// `[N, C_out, L_out]`, or `[C_out, L_out]` for an input without a batch; also the shape of the output gradient.
    pub output: Shape,
}

/// Channels and length of one side of a [`Geometry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) channels: u32,
    pub(crate) length: u32,
}

/// The checked sizes of either convolution: sample `i` of the narrow side and tap `k` meet at sample
/// `i*stride + k*dilation - pad_left` of the wide side. A convolution reads the wide side and writes the narrow side; a
/// transposed convolution does the reverse, so each computes the input gradient of the other. The weight is
/// `[narrow channels, wide channels / groups, kernel]` for both.
///
/// Every field and the padded length of the wide side fit an `i32`, every tensor has fewer than 2^32 elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Geometry {
    pub(crate) batch: u32,
    pub(crate) wide: Side,
    pub(crate) narrow: Side,
    pub(crate) kernel: u32,
    pub(crate) stride: u32,
    pub(crate) dilation: u32,
    pub(crate) groups: u32,
    pub(crate) pad_left: u32,
    pub(crate) pad_right: u32,
    /// How the wide side continues beyond its ends.
    pub(crate) extension: Extension,
}

/// Checks the arguments that both convolutions share.
fn check_arguments(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
) -> Result<()> {
    let arguments = [
        ("in_channels", in_channels),
        ("out_channels", out_channels),
        ("kernel_size", kernel_size),
        ("stride", stride),
        ("dilation", dilation),
        ("groups", groups),
    ];
    for (argument, value) in arguments {
        if value == 0 {
            return Err(Error::Zero { argument });
        }
        index(argument, value as u64)?;
    }
    for (argument, value) in [("in_channels", in_channels), ("out_channels", out_channels)] {
        if value % groups != 0 {
            return Err(Error::GroupsDoNotDivide { groups, argument, value });
        }
    }
    Ok(())
}

fn check_length(length: usize) -> Result<()> {
    if length == 0 { Err(Error::Zero { argument: "length" }) } else { Ok(()) }
}

/// Checks that `value` fits an `i32`, the type in which shaders compute positions.
fn index(what: &'static str, value: u64) -> Result<u32> {
    let limit = i32::MAX as u64;
    if value > limit { Err(Error::TooLarge { what, value, limit }) } else { Ok(value as u32) }
}

/// Number of elements of a shape, which must fit a `u32`; `what` names it in the error.
///
/// # Errors
/// [`Error::TooLarge`] where it does not.
pub fn elements(what: &'static str, shape: &[usize]) -> Result<u32> {
    // One size of 0 makes the tensor empty, however large the others are.
    if shape.contains(&0) {
        return Ok(0);
    }
    let count = shape.iter().try_fold(1_u64, |n, &d| n.checked_mul(d as u64)).unwrap_or(u64::MAX);
    u32::try_from(count).map_err(|_| Error::TooLarge { what, value: count, limit: u64::from(u32::MAX) })
}

impl Shapes {
    fn check(&self) -> Result<()> {
        elements("elements of the weight", &self.weight)?;
        for (what, shape) in [("elements of the input", self.input), ("elements of the output", self.output)] {
            let [n, c, l] = shape.ncl();
            // One item must be addressable even if the batch is empty, because strides are computed anyway.
            elements(what, &[n.max(1), c, l])?;
        }
        Ok(())
    }
}
