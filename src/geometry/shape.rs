use super::check_length;
use crate::error::{Error, Result};
use std::fmt;
use std::ops::Deref;

/// The shape of an input or an output: `[N, C, L]`, or `[C, L]` without a batch.
///
/// It dereferences to a slice of two or three sizes, and compares with arrays.
///
/// ```
/// use conv1d::Conv1d;
/// let conv = Conv1d::new(8, 32, 5);
/// assert_eq!(conv.output_shape([2, 8, 100])?, [2, 32, 96]);
/// assert_eq!(conv.output_shape([8, 100])?, [32, 96]);
/// assert_eq!(conv.output_shape([8, 100])?.ncl(), [1, 32, 96]);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    ncl: [usize; 3],
    batched: bool,
}

impl Shape {
    /// Checks `shape` as the shape of an input with `channels` channels.
    pub(super) fn input(shape: &[usize], channels: usize) -> Result<Self> {
        let (ncl, batched) = match *shape {
            [n, c, l] => ([n, c, l], true),
            [c, l] => ([1, c, l], false),
            _ => ([0; 3], false),
        };
        if ncl[1] != channels {
            let expected = format!("[N, {channels}, L] or [{channels}, L]");
            return Err(Error::Shape { tensor: "the input", got: shape.to_vec(), expected });
        }
        check_length(ncl[2])?;
        Ok(Shape { ncl, batched })
    }

    /// The shape with other channels and another length; the batch stays the same.
    pub(super) const fn with(self, channels: usize, length: usize) -> Self {
        Shape { ncl: [self.ncl[0], channels, length], ..self }
    }

    /// Batch, channels and length. The batch is 1 if the shape has none.
    pub const fn ncl(&self) -> [usize; 3] {
        self.ncl
    }

    /// Whether the shape has a batch.
    pub const fn is_batched(&self) -> bool {
        self.batched
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        if self.batched { &self.ncl } else { &self.ncl[1..] }
    }
}

impl AsRef<[usize]> for Shape {
    fn as_ref(&self) -> &[usize] {
        self
    }
}

impl<const RANK: usize> PartialEq<[usize; RANK]> for Shape {
    fn eq(&self, other: &[usize; RANK]) -> bool {
        **self == other[..]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
