//! Convolution and correlation of signals, named as SciPy names them.
//!
//! The last axis is the signal. All other axes broadcast as NumPy's do: one signal meets many kernels, many signals meet one
//! kernel, or each signal meets its own.

use crate::error::{Error, Result};
use crate::geometry::{Conv1d, ConvTranspose1d, Padding};
use crate::gpu::{Gpu, Tensor};

/// The part of a full convolution that is returned, named as SciPy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConvolveMode {
    /// Everything: `N + M - 1` samples.
    #[default]
    Full,
    /// The middle of the full convolution, as long as the first argument.
    Same,
    /// The samples where both signals overlap fully: `max(N, M) - min(N, M) + 1` samples.
    Valid,
}

impl ConvolveMode {
    /// Length of the result for signals of `n` and `m` samples.
    fn length(self, n: usize, m: usize) -> Result<usize> {
        match self {
            ConvolveMode::Full => (n - 1).checked_add(m).ok_or(Error::TooLarge {
                what: "samples of the result",
                value: u64::MAX,
                limit: i32::MAX as u64,
            }),
            ConvolveMode::Same => Ok(n),
            ConvolveMode::Valid => Ok(n.abs_diff(m) + 1),
        }
    }

    /// Samples of the full result before and after the part that is returned.
    fn crop(self, n: usize, m: usize) -> (usize, usize) {
        match self {
            ConvolveMode::Full => (0, 0),
            ConvolveMode::Same => ((m - 1) / 2, m - 1 - (m - 1) / 2),
            ConvolveMode::Valid => (n.min(m) - 1, n.min(m) - 1),
        }
    }
}

impl Gpu {
    /// True convolution along the last axis: `y[.., k] = sum over i of x[.., i] * v[.., k - i]` of `x [.., N]` and `v [.., M]`, as
    /// `scipy.signal.convolve`. The other axes broadcast.
    ///
    /// ```
    /// use conv1d::{ConvolveMode, Gpu};
    /// let gpu = Gpu::new()?;
    /// let x = gpu.tensor(&[1.0, 2.0, 3.0], [3])?;
    /// let kernels = gpu.tensor(&[1.0, 1.0, 1.0, -1.0], [2, 2])?;
    /// let y = gpu.convolve(&x, &kernels, ConvolveMode::Full)?;
    /// assert_eq!(y.shape(), [2, 4]);
    /// assert_eq!(y.read()?, [1.0, 3.0, 5.0, 3.0, 1.0, 1.0, 1.0, -3.0]);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if a tensor has no last axis, or no samples; [`Error::Broadcast`] if the other axes do not broadcast.
    pub fn convolve(&self, x: &Tensor, v: &Tensor, mode: ConvolveMode) -> Result<Tensor> {
        let pairs = Pairs::new(x, v)?;
        let (n, m) = (pairs.lengths[0], pairs.lengths[1]);
        let (left, right) = mode.crop(n, m);
        // Convolution commutes: the shorter signal is the kernel, where the order of the rows allows it.
        let swap = if pairs.swaps() { m > n } else { pairs.is_swapped() };
        self.of_pairs(&pairs, [x, v], swap, mode, |gpu, [signal, kernel], [first, both, second], k| {
            // A transposed convolution is a true convolution, so the kernel is not reversed.
            let conv =
                ConvTranspose1d::new(both, both * second, k).groups(both).padding(Padding::Explicit { left, right });
            let length = signal.len() / (first * both);
            gpu.conv_transpose1d(
                &conv,
                &signal.reshape([first, both, length])?,
                &kernel.reshape([both, second, k])?,
                None,
            )
        })
    }

    /// Cross-correlation along the last axis: `y[.., k] = sum over i of x[.., i] * v[.., i - k + M - 1]` of `x [.., N]` and
    /// `v [.., M]`, as `scipy.signal.correlate`. The other axes broadcast.
    ///
    /// # Errors
    ///
    /// Those of [`Gpu::convolve`].
    pub fn correlate(&self, x: &Tensor, v: &Tensor, mode: ConvolveMode) -> Result<Tensor> {
        let pairs = Pairs::new(x, v)?;
        let (n, m) = (pairs.lengths[0], pairs.lengths[1]);
        let (left, right) = mode.crop(n, m);
        let padding = Padding::Explicit { left: m - 1 - left, right: m - 1 - right };
        self.of_pairs(&pairs, [x, v], false, mode, |gpu, [signal, kernel], [first, both, second], k| {
            let conv = Conv1d::new(both, both * second, k).groups(both).padding(padding);
            let length = signal.len() / (first * both);
            gpu.conv1d(&conv, &signal.reshape([first, both, length])?, &kernel.reshape([both * second, 1, k])?, None)
        })
    }

    /// Correlation of every row of `x [.., N]` with itself. `Full` has the lags `-(N-1)` to `N-1`.
    pub fn autocorrelate(&self, x: &Tensor, mode: ConvolveMode) -> Result<Tensor> {
        self.correlate(x, x, mode)
    }

    /// Calls `compute` with the rows of signal and kernel, laid out as [`Pairs::counts`] says, and reshapes what it returns.
    fn of_pairs(
        &self,
        pairs: &Pairs,
        tensors: [&Tensor; 2],
        swap: bool,
        mode: ConvolveMode,
        compute: impl FnOnce(&Gpu, [Tensor; 2], [usize; 3], usize) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let [n, m] = pairs.lengths;
        let mut shape = pairs.shape.clone();
        shape.push(mode.length(n, m)?);
        if shape.contains(&0) {
            return self.zeros(shape);
        }
        let (mut rows, counts) = match pairs.counts(swap) {
            Some(counts) => (tensors.map(Tensor::clone), counts),
            None => (
                [self.expanded(tensors[0], pairs)?, self.expanded(tensors[1], pairs)?],
                [1, pairs.shape.iter().product(), 1],
            ),
        };
        if swap {
            rows.reverse();
        }
        compute(self, rows, counts, if swap { n } else { m })?.reshape(shape)
    }

    /// A copy of a tensor with one row for every pair.
    fn expanded(&self, tensor: &Tensor, pairs: &Pairs) -> Result<Tensor> {
        let (axes, length) = split(tensor, "the signal")?;
        let mut shape = pairs.shape.clone();
        shape.push(length);
        let expanded = self.zeros(&shape)?;
        let count: usize = pairs.shape.iter().product();
        let row = |pair: usize| {
            // Indices along the axes of the result, from the last to the first; along an axis of size 1 the index is 0.
            let (mut rest, mut row, mut stride) = (pair, 0, 1);
            for (axis, &size) in pairs.shape.iter().rev().enumerate() {
                let own = axes.len().checked_sub(axis + 1).map_or(1, |at| axes[at]);
                row += rest % size % own * stride;
                (rest, stride) = (rest / size, stride * own);
            }
            row
        };
        let bytes = length as u64 * 4;
        self.copy_parts(
            tensor,
            &expanded,
            (0..count).map(|pair| (row(pair) as u64 * bytes, pair as u64 * bytes, bytes)),
        )?;
        Ok(expanded)
    }
}

/// The pairs of rows of two tensors that meet each other.
#[derive(Debug)]
struct Pairs {
    /// Sizes of the axes of the result but the last.
    shape: Vec<usize>,
    /// Samples of each tensor.
    lengths: [usize; 2],
    /// For each axis of a size other than 1: the tensors that have it, and its size.
    axes: Vec<(Axis, usize)>,
}

/// The tensors that have an axis of a size other than 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Axis {
    First,
    Both,
    Second,
}

impl Pairs {
    fn new(x: &Tensor, v: &Tensor) -> Result<Pairs> {
        let ((first, n), (second, m)) = (split(x, "the signal")?, split(v, "the kernel")?);
        let rank = first.len().max(second.len());
        let (mut shape, mut axes) = (Vec::new(), Vec::new());
        for axis in (1..=rank).rev() {
            let size = |sizes: &[usize]| sizes.len().checked_sub(axis).map_or(1, |at| sizes[at]);
            let sizes = [size(first), size(second)];
            let (kind, size) = match sizes {
                [a, b] if a == b => (Axis::Both, a),
                [a, 1] => (Axis::First, a),
                [1, b] => (Axis::Second, b),
                _ => {
                    let (first, second) = (x.shape().to_vec(), v.shape().to_vec());
                    return Err(Error::Broadcast { first, second, axis: axis + 1, sizes });
                }
            };
            shape.push(size);
            if size != 1 {
                axes.push((kind, size));
            }
        }
        Ok(Pairs { shape, lengths: [n, m], axes })
    }

    /// Number of rows of the signal alone, of both, and of the kernel alone, if the axes of the result come in that order: the
    /// batch, the groups, and the outputs per group of a convolution. With `swap` the second tensor is the signal.
    fn counts(&self, swap: bool) -> Option<[usize; 3]> {
        let sorted = if swap { self.is_swapped() } else { self.is_in_order() };
        let count = |wanted: Axis| self.axes.iter().filter(|(axis, _)| *axis == wanted).map(|(_, size)| size).product();
        sorted
            .then(|| [Axis::First, Axis::Both, Axis::Second].map(count))
            .map(|[first, both, second]| if swap { [second, both, first] } else { [first, both, second] })
    }

    fn is_in_order(&self) -> bool {
        self.axes.is_sorted_by_key(|(axis, _)| *axis)
    }

    /// Whether the axes are in order if the tensors are swapped.
    fn is_swapped(&self) -> bool {
        self.axes.is_sorted_by_key(|(axis, _)| std::cmp::Reverse(*axis))
    }

    /// Whether either tensor may be the signal.
    fn swaps(&self) -> bool {
        self.is_in_order() && self.is_swapped()
    }
}

/// The axes of a tensor `[.., N]` without the last, and `N`.
fn split<'t>(x: &'t Tensor, name: &'static str) -> Result<(&'t [usize], usize)> {
    match x.shape().split_last() {
        Some((&n, axes)) if n > 0 => Ok((axes, n)),
        _ => Err(Error::Shape { tensor: name, got: x.shape().to_vec(), expected: "[.., N] with N at least 1".into() }),
    }
}
