use super::PaddingMode;

/// How a row continues beyond its ends: a padding mode, and whether a side is longer than one repetition of the row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extension {
    pub(crate) mode: PaddingMode,
    /// Whether a side is longer than one repetition of the row. Always false for modes without a period.
    pub(crate) repeated: bool,
}

impl Extension {
    pub(crate) const ZEROS: Extension = Extension { mode: PaddingMode::Zeros, repeated: false };

    /// The extension of rows of `length` samples by `left` and `right` samples.
    pub(crate) fn new(mode: PaddingMode, length: usize, left: u64, right: u64) -> Self {
        Extension { mode, repeated: mode.check(length, left, right).is_err() }
    }

    /// Distance between two copies of a sample in the same direction; `None` for modes without a period.
    pub(crate) fn period(self, length: i64) -> Option<i64> {
        match self.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) | PaddingMode::Replicate => None,
            // A single sample is its own mirror image.
            PaddingMode::Reflect => Some((2 * (length - 1)).max(1)),
            PaddingMode::Symmetric => Some(2 * length),
            PaddingMode::Circular => Some(length),
        }
    }

    /// Upper bound on how many of `count` items, `step` positions apart, meet a sample if all samples lie within `span`
    /// positions. Returns `count` unless the padding is zeros and the bound saves at least half of the items.
    pub(crate) fn meeting(self, span: u64, step: u32, count: u32) -> u32 {
        let most = span / u64::from(step.max(1)) + 1;
        if self.mode == PaddingMode::Zeros && 2 * most <= count.into() { most as u32 } else { count }
    }

    /// Index of the sample at `position` of an extended row of `length` samples; `None` where the row holds a constant.
    #[cfg(any(test, feature = "cpu"))]
    pub(crate) fn source(self, position: i64, length: i64) -> Option<i64> {
        if (0..length).contains(&position) {
            return Some(position);
        }
        let Some(period) = self.period(length) else {
            return (self.mode == PaddingMode::Replicate).then(|| position.clamp(0, length - 1));
        };
        let place = position.rem_euclid(period);
        Some(match self.mode {
            PaddingMode::Reflect => place.min(period - place),
            PaddingMode::Symmetric => place.min(period - 1 - place),
            _ => place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results of `numpy.pad` (NumPy 2.4.6) for `a b c`, `a b` and `a`, with 7 samples before and 5 after.
    #[test]
    fn continues_as_numpy_does() {
        for (mode, expected) in [
            (PaddingMode::Reflect, ["bcbabcbabcbabcb", "bababababababa", "aaaaaaaaaaaaa"]),
            (PaddingMode::Symmetric, ["aabccbaabccbaab", "bbaabbaabbaabb", "aaaaaaaaaaaaa"]),
            (PaddingMode::Circular, ["cabcabcabcabcab", "bababababababa", "aaaaaaaaaaaaa"]),
            (PaddingMode::Replicate, ["aaaaaaaabcccccc", "aaaaaaaabbbbbb", "aaaaaaaaaaaaa"]),
        ] {
            for (length, expected) in [3, 2, 1].into_iter().zip(expected) {
                let extension = Extension::new(mode, length as usize, 7, 5);
                let sample =
                    |position| extension.source(position, length).map(|source| b"abc"[source as usize] as char);
                let got: Option<String> = (-7..length + 5).map(sample).collect();
                assert_eq!(got.as_deref(), Some(expected), "{mode:?} of {length}");
                assert_eq!(extension.repeated, mode != PaddingMode::Replicate);
            }
        }
    }
}
