use crate::error::{Error, Result};

/// Number of samples added to each end of the input; for [`crate::ConvTranspose1d`], number cropped from each end of the
/// output.
///
/// `span` is `dilation * (kernel_size - 1) + 1`, the length of the window of one output.
///
/// ```
/// use conv1d::{Conv1d, ConvTranspose1d, Padding};
/// let conv = Conv1d::new(1, 1, 4);
/// assert_eq!(conv.padding(Padding::Valid).output_shape([1, 1, 10])?, [1, 1, 7]);
/// assert_eq!(conv.padding(Padding::both(1)).output_shape([1, 1, 10])?, [1, 1, 9]);
/// assert_eq!(conv.padding(Padding::Same).output_shape([1, 1, 10])?, [1, 1, 10]);
/// assert_eq!(conv.padding(Padding::Same).padding_amounts(10)?, (1, 2));
/// assert_eq!(conv.padding(Padding::SameLower).padding_amounts(10)?, (2, 1));
/// assert_eq!(conv.padding(Padding::Causal).padding_amounts(10)?, (3, 0));
/// assert_eq!(conv.padding(Padding::Full).output_shape([1, 1, 10])?, [1, 1, 13]);
/// // Upsampling by 2:
/// let up = ConvTranspose1d::new(1, 1, 4).stride(2).padding(Padding::Same);
/// assert_eq!(up.output_shape([1, 1, 10])?, [1, 1, 20]);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Padding {
    /// These numbers of samples.
    Explicit {
        /// Before the first sample.
        left: usize,
        /// After the last sample.
        right: usize,
    },
    /// No samples.
    #[default]
    Valid,
    /// As many samples as give an output of `ceil(length / stride)` samples. If their number is odd, the larger half is on
    /// the right. Transposed: crops (or extends) the output to `length * stride + output_padding` samples.
    Same,
    /// Like [`Padding::Same`], with the larger half on the left.
    SameLower,
    /// `span - 1` samples on the left: `y[i]` sees nothing after `x[i * stride]`. Transposed: cropped on the right only,
    /// to `length * stride + output_padding` samples: `y[i]` sees nothing after `x[i / stride]`.
    Causal,
    /// `span - 1` samples on the right: `y[i]` sees nothing before `x[i * stride]`. Transposed: cropped on the left only.
    AntiCausal,
    /// `span - 1` samples on both sides: all outputs whose window holds a sample. Transposed: crops as many samples, which
    /// makes it the adjoint of the forward convolution with the same padding.
    Full,
}

impl Padding {
    /// The same number of samples on both sides.
    pub const fn both(amount: usize) -> Self {
        Padding::Explicit { left: amount, right: amount }
    }

    /// Samples before and after an input of `length`, for a forward convolution.
    pub(crate) fn amounts(self, length: u64, span: u64, stride: u64) -> (u64, u64) {
        match self {
            Padding::Explicit { left, right } => (left as u64, right as u64),
            Padding::Valid => (0, 0),
            Padding::Same | Padding::SameLower => {
                let total = ((length.div_ceil(stride).saturating_sub(1)) * stride + span).saturating_sub(length);
                self.halves(total)
            }
            Padding::Causal => (span - 1, 0),
            Padding::AntiCausal => (0, span - 1),
            Padding::Full => (span - 1, span - 1),
        }
    }

    /// Samples cropped from the left and the right of the output of a transposed convolution. A negative amount on the right
    /// extends the output beyond the samples that the input reaches.
    pub(crate) fn crops(self, span: u64, stride: u64) -> (u64, i64) {
        let surplus = span.saturating_sub(stride);
        // The full output has (L-1)*stride + span samples. With `left` cropped, this right crop leaves L*stride.
        let to_multiple = |left: u64| (left, span as i64 - stride as i64 - left as i64);
        match self {
            Padding::Explicit { left, right } => (left as u64, i64::try_from(right).unwrap_or(i64::MAX)),
            Padding::Valid => (0, 0),
            Padding::Same | Padding::SameLower => to_multiple(self.halves(surplus).0),
            Padding::Causal => to_multiple(0),
            Padding::AntiCausal => to_multiple(surplus),
            Padding::Full => (span - 1, span as i64 - 1),
        }
    }

    fn halves(self, total: u64) -> (u64, u64) {
        let left = if self == Padding::SameLower { total.div_ceil(2) } else { total / 2 };
        (left, total - left)
    }
}

/// Parses a name (`valid`, `same`, `same-lower`, `causal`, `anti-causal`, `full`) or numbers of samples (`2`: on both sides,
/// `3,0`: left and right).
impl std::str::FromStr for Padding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| part.trim().parse().map_err(|_| Error::UnknownPadding { text: text.to_owned() });
        Ok(match text {
            "valid" => Padding::Valid,
            "same" => Padding::Same,
            "same-lower" => Padding::SameLower,
            "causal" => Padding::Causal,
            "anti-causal" => Padding::AntiCausal,
            "full" => Padding::Full,
            _ => match text.split_once(',') {
                Some((left, right)) => Padding::Explicit { left: number(left)?, right: number(right)? },
                None => Padding::both(number(text)?),
            },
        })
    }
}

/// Values of the samples beyond the ends of the input.
///
/// ```
/// use conv1d::reference::Oracle;
/// use conv1d::{Conv1d, Padding, PaddingMode};
/// // A kernel of one tap of 1 shows the extended input itself.
/// let extended = |mode: PaddingMode| -> conv1d::Result<Vec<f64>> {
///     let conv = Conv1d::new(1, 1, 1).padding(Padding::both(2)).padding_mode(mode);
///     let y = Oracle::new(conv, [1, 1, 4])?.forward(&[1.0, 2.0, 3.0, 4.0], &[1.0], None)?;
///     Ok(y.iter().map(|y| y.value).collect())
/// };
/// assert_eq!(extended(PaddingMode::Zeros)?, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
/// assert_eq!(extended(PaddingMode::Reflect)?, [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0]);
/// assert_eq!(extended(PaddingMode::Symmetric)?, [2.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0]);
/// assert_eq!(extended(PaddingMode::Replicate)?, [1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0]);
/// assert_eq!(extended(PaddingMode::Circular)?, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum PaddingMode {
    /// 0.
    #[default]
    Zeros,
    /// This value. It is not an input: it contributes to the weight gradient, and no gradient flows to it.
    Constant(f32),
    /// The input mirrored at its ends, the end sample not repeated: `c b | a b c d | c b`. At most `length - 1` samples,
    /// unless [`crate::Conv1d::unbounded_padding`] is set.
    Reflect,
    /// The input mirrored at its ends, the end sample repeated: `b a | a b c d | d c`. At most `length` samples, unless
    /// [`crate::Conv1d::unbounded_padding`] is set.
    Symmetric,
    /// The end sample repeated: `a a | a b c d | d d`.
    Replicate,
    /// The input continued periodically: `c d | a b c d | a b`. At most `length` samples, unless
    /// [`crate::Conv1d::unbounded_padding`] is set.
    Circular,
}

impl PaddingMode {
    /// The name of the mode in lower case, as PyTorch and NumPy write it.
    pub const fn name(self) -> &'static str {
        match self {
            PaddingMode::Zeros => "zeros",
            PaddingMode::Constant(_) => "constant",
            PaddingMode::Reflect => "reflect",
            PaddingMode::Symmetric => "symmetric",
            PaddingMode::Replicate => "replicate",
            PaddingMode::Circular => "circular",
        }
    }

    /// Whether samples beyond the ends are copies of input samples, so that gradients flow back through them.
    pub const fn reads_input(self) -> bool {
        !matches!(self, PaddingMode::Zeros | PaddingMode::Constant(_))
    }

    pub(crate) fn check(self, length: usize, left: u64, right: u64) -> Result<()> {
        let limit = match self {
            PaddingMode::Reflect => length as u64 - 1,
            PaddingMode::Symmetric | PaddingMode::Circular => length as u64,
            PaddingMode::Zeros | PaddingMode::Constant(_) | PaddingMode::Replicate => return Ok(()),
        };
        for (side, amount) in [("left", left), ("right", right)] {
            if amount > limit {
                return Err(Error::PaddingTooLong { mode: self.name(), side, amount, length, limit });
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for PaddingMode {
    /// The name, with the value of a constant after an equals sign: `constant=0.5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let PaddingMode::Constant(value) = self { write!(f, "={value}") } else { Ok(()) }
    }
}

/// Parses the form that `Display` writes.
impl std::str::FromStr for PaddingMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownPaddingMode { name: name.to_owned() };
        Ok(match name {
            "zeros" => PaddingMode::Zeros,
            "reflect" => PaddingMode::Reflect,
            "symmetric" => PaddingMode::Symmetric,
            "replicate" => PaddingMode::Replicate,
            "circular" => PaddingMode::Circular,
            _ => {
                let value = name.strip_prefix("constant=").ok_or_else(unknown)?;
                PaddingMode::Constant(value.parse().map_err(|_| unknown())?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paddings_by_name_and_number() {
        assert_eq!("3".parse(), Ok(Padding::both(3)));
        assert_eq!("3, 0".parse(), Ok(Padding::Explicit { left: 3, right: 0 }));
        assert_eq!("same-lower".parse(), Ok(Padding::SameLower));
        for wrong in ["-1", "1,2,3", "some", "", "1,"] {
            assert_eq!(wrong.parse::<Padding>(), Err(Error::UnknownPadding { text: wrong.to_owned() }));
        }
    }

    #[test]
    fn modes_by_name() {
        use PaddingMode::{Circular, Constant, Reflect, Replicate, Symmetric, Zeros};
        for mode in [Zeros, Constant(-1.5), Reflect, Symmetric, Replicate, Circular] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("constant=2".parse(), Ok(Constant(2.0)));
        for wrong in ["constant=", "constant", "mirror", ""] {
            assert_eq!(wrong.parse::<PaddingMode>(), Err(Error::UnknownPaddingMode { name: wrong.to_owned() }));
        }
    }
}
