use super::PaddingMode;

/// Samples beyond the ends of a row: a padding mode, and whether there are more of them than one repetition of the row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extension {
    pub(crate) mode: PaddingMode,
    /// Whether a sample is repeated more than once on a side; only modes with a period do that.
    pub(crate) repeated: bool,
}

impl Extension {
    pub(crate) const ZEROS: Extension = Extension { mode: PaddingMode::Zeros, repeated: false };

    /// Of rows of `length` with that many samples added on either side.
    pub(crate) fn new(mode: PaddingMode, length: usize, left: u64, right: u64) -> Self {
        Extension { mode, repeated: mode.check(length, left, right).is_err() }
    }

    /// Distance between repetitions of a sample in the same direction, of modes that have one.
    pub(crate) fn period(self, length: i64) -> Option<i64> {
        match self.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) | PaddingMode::Replicate => None,
            // A single sample is its own mirror image.
            PaddingMode::Reflect => Some((2 * (length - 1)).max(1)),
            PaddingMode::Symmetric => Some(2 * length),
            PaddingMode::Circular => Some(length),
        }
    }

    /// Of `count` things `step` positions apart, the most that meet a sample where all samples lie within `span` positions. All
    /// of them where that would not save half of them, and where padding is not zeros.
    pub(crate) fn meeting(self, span: u64, step: u32, count: u32) -> u32 {
        let most = span / u64::from(step.max(1)) + 1;
        if self.mode == PaddingMode::Zeros && 2 * most <= count.into() { most as u32 } else { count }
    }

    /// The sample that stands at `position` of a row of `length`; none where a constant does.
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

    /// What `numpy.pad` of NumPy 2.4.6 gives for `a b c`, `a b` and `a`, 7 samples before and 5 after.
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
