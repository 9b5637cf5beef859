use crate::error::{Error, Result};

/// How many samples the input is extended by on each side (for [`crate::ConvTranspose1d`]: how many are cropped from
/// the output).
///
/// `span` is `dilation * (kernel_size - 1) + 1`, the number of samples that one output sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Padding {
    /// These many samples.
    Explicit {
        /// Before the first sample.
        left: usize,
        /// After the last sample.
        right: usize,
    },
    /// None.
    #[default]
    Valid,
    /// Such that the output has `ceil(length / stride)` samples; where the amount is odd, the larger half is on the
    /// right. Transposed: such that it has `length * stride + output_padding`.
    Same,
    /// As [`Padding::Same`], the larger half on the left.
    SameLower,
    /// `span - 1` samples on the left: `y[i]` sees nothing after `x[i * stride]`. Transposed: cropped on the right only,
    /// to `length * stride + output_padding` samples: `y[i]` sees nothing after `x[i / stride]`.
    Causal,
    /// `span - 1` samples on the right: `y[i]` sees nothing before `x[i * stride]`. Transposed: cropped on the left only.
    AntiCausal,
    /// `span - 1` samples on both sides: every output that any sample reaches. Transposed: as many are cropped, which
    /// makes it the adjoint of the forward convolution of the same padding.
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

    /// Samples cropped before and after the output of a transposed convolution. A negative amount on the right means
    /// that the output is longer than what the input reaches.
    pub(crate) fn crops(self, span: u64, stride: u64) -> (u64, i64) {
        let surplus = span.saturating_sub(stride);
        // What is left of the full output, (L-1)*stride + span, once `left` is cropped, down to L*stride.
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

/// From a name (`valid`, `same`, `same-lower`, `causal`, `anti-causal`, `full`) or from numbers of samples (`2` on both sides,
/// `3,0` left and right).
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

/// What the samples beyond the ends of the input are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum PaddingMode {
    /// 0.
    #[default]
    Zeros,
    /// This value. It is not an input: it takes part in the weight gradient, and no gradient flows to it.
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
    /// Its name, and the value of a constant after an equals sign: `constant=0.5`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let PaddingMode::Constant(value) = self { write!(f, "={value}") } else { Ok(()) }
    }
}

/// From what its `Display` writes.
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
