//! The oracle: every operation in `f64`, straight from its definition, with the error bound that kernels promise.
//!
//! For every element, `|got - exact| <= gamma(chain + 1) * (sum of |w*x| + |b|)`, with `gamma(n) = n*u / (1 - n*u)` and
//! `u = 2^-24`. The chain is the most additions that a term passes through, and 1 is the rounding of the product (Higham,
//! *Accuracy and Stability of Numerical Algorithms*, 2nd ed., sections 3.1 and 4.2). The smallest normal `f32` is added for each
//! term, since WGSL lets a device flush subnormal numbers to zero.
//!
//! - Outputs and input gradients may be summed in any order: their chain is the number of their terms.
//! - Weight and bias gradients are summed in blocks: their chain is at most [`longest_chain`].
//!
//! Products of `f32` are summed in `f64`, whose own rounding is 2^-29 of that bound.

mod fused;
mod toeplitz;

pub use crate::sums::longest_chain;
pub use fused::Back;
pub use toeplitz::Toeplitz;

use crate::error::{Error, Result};
use crate::geometry::{Geometry, Layer, PaddingMode, Shapes};

/// The exact value of one element, and the parts of its error bound.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Exact {
    /// The value.
    pub value: f64,
    /// Sum of the absolute values of all terms.
    pub magnitude: f64,
    /// Number of products summed (of values, for the bias gradient). Taps on padding of zeros do not count.
    pub terms: u64,
    /// The most additions that a term passes through.
    pub chain: u64,
    /// Error allowed beyond the bound of the sum, such as that of an activation.
    pub slack: f64,
}

impl Exact {
    /// Largest allowed distance between a result and the value. Infinite if `chain + 1` is at least 2^24, where theory gives no bound.
    pub fn bound(&self) -> f64 {
        if self.magnitude == 0.0 {
            return self.slack;
        }
        gamma(self.chain + 1) * self.magnitude + self.terms as f64 * f64::from(f32::MIN_POSITIVE) + self.slack
    }

    /// The same value with the bound of a shorter chain, such as that of a plan ([`Plan::chain`](crate::Plan::chain)).
    #[must_use]
    pub fn with_chain(self, chain: u64) -> Self {
        Exact { chain: chain.min(self.chain), ..self }
    }

    /// The error of a result as a fraction of the bound: at most 1 keeps the promise. Infinite if the result is NaN and the
    /// value is not.
    pub fn used(&self, got: f32) -> f64 {
        let got = f64::from(got);
        if got == self.value || (got.is_nan() && self.value.is_nan()) {
            return 0.0;
        }
        let share = (got - self.value).abs() / self.bound();
        if share.is_nan() { f64::INFINITY } else { share }
    }

    fn add(&mut self, term: f64) {
        self.value += term;
        self.magnitude += term.abs();
        self.terms += 1;
        self.chain += 1;
    }

    /// The sum of blocks: a sum over batch items and positions.
    fn in_blocks(self) -> Self {
        self.with_chain(longest_chain(self.terms))
    }

    /// Starts a sum from a bias, which is not counted as a term.
    fn from_bias(bias: Option<f32>) -> Self {
        let bias = f64::from(bias.unwrap_or(0.0));
        Exact { value: bias, magnitude: bias.abs(), ..Exact::default() }
    }
}

/// `n*u / (1 - n*u)` with `u = 2^-24`; infinite if `n*u >= 1`.
pub fn gamma(n: u64) -> f64 {
    let nu = n as f64 / f64::from(1_u32 << 24);
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// What an extended input holds at a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Padded {
    /// The input sample of this index, or a copy of it.
    Sample(usize),
    /// This value, from constant padding.
    Constant(f32),
    /// A zero, from zero padding.
    Nothing,
}

/// What an input of `length` samples, extended by `mode`, holds at `position`.
fn padded(position: i64, length: i64, mode: PaddingMode) -> Padded {
    if (0..length).contains(&position) {
        return Padded::Sample(position as usize);
    }
    let sample = match mode {
        PaddingMode::Zeros => return Padded::Nothing,
        PaddingMode::Constant(value) => return Padded::Constant(value),
        PaddingMode::Replicate => position.clamp(0, length - 1),
        PaddingMode::Circular => position.rem_euclid(length),
        // Mirrored at the end samples, again and again: the distance from the nearest even multiple of `length - 1`.
        PaddingMode::Reflect if length == 1 => 0,
        PaddingMode::Reflect => {
            let period = 2 * (length - 1);
            (position - (position + length - 1).div_euclid(period) * period).abs()
        }
        // Mirrored beyond the end samples: every other repetition of the row runs backwards.
        PaddingMode::Symmetric => {
            let (repetition, sample) = (position.div_euclid(length), position.rem_euclid(length));
            if repetition % 2 == 0 { sample } else { length - 1 - sample }
        }
    };
    Padded::Sample(sample as usize)
}

/// Exact results of one layer on one input shape.
#[derive(Debug, Clone, Copy)]
pub struct Oracle {
    layer: Layer,
    shapes: Shapes,
    geometry: Geometry,
}

impl Oracle {
    /// The oracle of a layer on an input shape `[N, C_in, L]` or `[C_in, L]`. Fails if an argument or the shape is invalid.
    pub fn new(layer: impl Into<Layer>, input_shape: impl AsRef<[usize]>) -> Result<Self> {
        let layer = layer.into();
        let (shapes, geometry) = layer.resolve(input_shape.as_ref())?;
        Ok(Oracle { layer, shapes, geometry })
    }

    /// Shapes of all tensors.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The extended input row of a convolution: each position, from `-pad_left` to `L + pad_right - 1`, and what it holds. A
    /// transposed convolution crops its output instead: for it, these are the positions of an output row, from the first one
    /// cropped on the left to the last one kept.
    pub fn padded(&self) -> impl Iterator<Item = (i64, Padded)> {
        let Geometry { wide, pad_left, pad_right, extension, .. } = self.geometry;
        let length = i64::from(wide.length);
        (-i64::from(pad_left)..length + i64::from(pad_right))
            .map(move |position| (position, padded(position, length, extension.mode)))
    }

    /// `y [N, C_out, L_out]`.
    pub fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> Result<Vec<Exact>> {
        self.check_forward(x, w, b)?;
        Ok((0..count(&self.shapes.output)).map(|index| self.forward_element(x, w, b, index)).collect())
    }

    /// One element of `y`.
    pub fn forward_at(&self, x: &[f32], w: &[f32], b: Option<&[f32]>, index: usize) -> Result<Exact> {
        self.check_forward(x, w, b)?;
        check_index(index, &self.shapes.output)?;
        Ok(self.forward_element(x, w, b, index))
    }

    /// `dx [N, C_in, L]`.
    pub fn input_gradient(&self, w: &[f32], dy: &[f32]) -> Result<Vec<Exact>> {
        self.check_input_gradient(w, dy)?;
        Ok((0..count(&self.shapes.input)).map(|index| self.input_gradient_element(w, dy, index)).collect())
    }

    /// One element of `dx`.
    pub fn input_gradient_at(&self, w: &[f32], dy: &[f32], index: usize) -> Result<Exact> {
        self.check_input_gradient(w, dy)?;
        check_index(index, &self.shapes.input)?;
        Ok(self.input_gradient_element(w, dy, index))
    }

    /// `dw`, in the shape of the weight.
    pub fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Result<Vec<Exact>> {
        self.check_weight_gradient(x, dy)?;
        Ok((0..count(&self.shapes.weight)).map(|index| self.weight_gradient_element(x, dy, index)).collect())
    }

    /// One element of `dw`.
    pub fn weight_gradient_at(&self, x: &[f32], dy: &[f32], index: usize) -> Result<Exact> {
        self.check_weight_gradient(x, dy)?;
        check_index(index, &self.shapes.weight)?;
        Ok(self.weight_gradient_element(x, dy, index))
    }

    /// `db [C_out]`.
    pub fn bias_gradient(&self, dy: &[f32]) -> Result<Vec<Exact>> {
        check_length("dy", dy, &self.shapes.output)?;
        Ok((0..self.shapes.bias[0]).map(|channel| self.bias_gradient_element(dy, channel)).collect())
    }

    /// One element of `db`.
    pub fn bias_gradient_at(&self, dy: &[f32], index: usize) -> Result<Exact> {
        check_length("dy", dy, &self.shapes.output)?;
        check_index(index, &self.shapes.bias)?;
        Ok(self.bias_gradient_element(dy, index))
    }

    fn check_forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>) -> Result<()> {
        check_length("x", x, &self.shapes.input)?;
        check_length("w", w, &self.shapes.weight)?;
        b.map_or(Ok(()), |b| check_length("b", b, &self.shapes.bias))
    }

    fn check_input_gradient(&self, w: &[f32], dy: &[f32]) -> Result<()> {
        check_length("w", w, &self.shapes.weight)?;
        check_length("dy", dy, &self.shapes.output)
    }

    fn check_weight_gradient(&self, x: &[f32], dy: &[f32]) -> Result<()> {
        check_length("x", x, &self.shapes.input)?;
        check_length("dy", dy, &self.shapes.output)
    }

    fn forward_element(&self, x: &[f32], w: &[f32], b: Option<&[f32]>, index: usize) -> Exact {
        let [n, channel, position] = unravel(index, self.shapes.output.ncl());
        let bias = Exact::from_bias(b.map(|b| b[channel]));
        if self.layer.is_transposed() {
            self.wide_sum(x, w, bias, [n, channel, position])
        } else {
            self.narrow_sum(x, w, bias, [n, channel, position])
        }
    }

    fn input_gradient_element(&self, w: &[f32], dy: &[f32], index: usize) -> Exact {
        let at = unravel(index, self.shapes.input.ncl());
        if self.layer.is_transposed() {
            self.narrow_sum(dy, w, Exact::default(), at)
        } else {
            self.wide_sum(dy, w, Exact::default(), at)
        }
    }

    /// `sum over c,k of w[o,c,k] * xp[n, c', i*stride + k*dilation - pad_left]`.
    fn narrow_sum(&self, wide: &[f32], w: &[f32], start: Exact, [n, o, i]: [usize; 3]) -> Exact {
        let g = Sizes::new(&self.geometry);
        let mut sum = start;
        for c in 0..g.wide_per_group {
            let channel = o / g.narrow_per_group * g.wide_per_group + c;
            let row = &wide[(n * g.wide_channels + channel) * g.wide_length..][..g.wide_length];
            let taps = &w[(o * g.wide_per_group + c) * g.kernel..][..g.kernel];
            for (k, &tap) in taps.iter().enumerate() {
                let position = (i * g.stride + k * g.dilation) as i64 - g.pad_left;
                match padded(position, g.wide_length as i64, self.geometry.extension.mode) {
                    Padded::Sample(at) => sum.add(f64::from(tap) * f64::from(row[at])),
                    Padded::Constant(value) => sum.add(f64::from(tap) * f64::from(value)),
                    Padded::Nothing => {}
                }
            }
        }
        sum
    }

    /// `sum over o,i,k of w[o,c,k] * dy[n,o,i]` where `i*stride + k*dilation - pad_left` is a position that holds sample `m`.
    fn wide_sum(&self, narrow: &[f32], w: &[f32], start: Exact, [n, c, m]: [usize; 3]) -> Exact {
        let g = Sizes::new(&self.geometry);
        let mut sum = start;
        let (group, c) = (c / g.wide_per_group, c % g.wide_per_group);
        for position in self.positions_of(m as i64) {
            for k in 0..g.kernel {
                let reached = position + g.pad_left - (k * g.dilation) as i64;
                if reached < 0 || reached % g.stride as i64 != 0 || reached / g.stride as i64 >= g.narrow_length as i64
                {
                    continue;
                }
                let i = (reached / g.stride as i64) as usize;
                for o in group * g.narrow_per_group..(group + 1) * g.narrow_per_group {
                    let value = narrow[(n * g.narrow_channels + o) * g.narrow_length + i];
                    sum.add(f64::from(w[(o * g.wide_per_group + c) * g.kernel + k]) * f64::from(value));
                }
            }
        }
        sum
    }

    /// All positions of the padded input that hold sample `m`.
    fn positions_of(&self, m: i64) -> Vec<i64> {
        let g = &self.geometry;
        let (length, left, right) = (i64::from(g.wide.length), i64::from(g.pad_left), i64::from(g.pad_right));
        let (start, end) = (-left, length + right);
        // The candidates include every repetition and every mirror image; `padded`, the definition, selects among them.
        let every = |first: i64, step: i64| {
            let nearest = start + (first - start).rem_euclid(step);
            (nearest..end).step_by(step as usize).collect::<Vec<_>>()
        };
        let mut candidates = match g.extension.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) => return vec![m],
            PaddingMode::Replicate if m == 0 || m == length - 1 => (start..end).collect(),
            PaddingMode::Replicate => return vec![m],
            PaddingMode::Circular => every(m, length),
            PaddingMode::Reflect if length == 1 => (start..end).collect(),
            PaddingMode::Reflect => [every(m, 2 * (length - 1)), every(-m, 2 * (length - 1))].concat(),
            PaddingMode::Symmetric => [every(m, 2 * length), every(-1 - m, 2 * length)].concat(),
        };
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|&p| padded(p, length, g.extension.mode) == Padded::Sample(m as usize));
        candidates
    }

    /// `sum over n,i of narrow[n,o,i] * xp[n, c', i*stride + k*dilation - pad_left]`.
    fn weight_gradient_element(&self, x: &[f32], dy: &[f32], index: usize) -> Exact {
        let g = Sizes::new(&self.geometry);
        let [o, c, k] = unravel(index, self.shapes.weight);
        let (wide, narrow) = if self.layer.is_transposed() { (dy, x) } else { (x, dy) };
        let channel = o / g.narrow_per_group * g.wide_per_group + c;
        let mut sum = Exact::default();
        for n in 0..g.batch {
            let row = &wide[(n * g.wide_channels + channel) * g.wide_length..][..g.wide_length];
            let factors = &narrow[(n * g.narrow_channels + o) * g.narrow_length..][..g.narrow_length];
            for (i, &factor) in factors.iter().enumerate() {
                let position = (i * g.stride + k * g.dilation) as i64 - g.pad_left;
                match padded(position, g.wide_length as i64, self.geometry.extension.mode) {
                    Padded::Sample(at) => sum.add(f64::from(factor) * f64::from(row[at])),
                    Padded::Constant(value) => sum.add(f64::from(factor) * f64::from(value)),
                    Padded::Nothing => {}
                }
            }
        }
        sum.in_blocks()
    }

    fn bias_gradient_element(&self, dy: &[f32], channel: usize) -> Exact {
        let [batch, channels, length] = self.shapes.output.ncl();
        let mut sum = Exact::default();
        for n in 0..batch {
            let row = &dy[(n * channels + channel) * length..][..length];
            row.iter().for_each(|&value| sum.add(value.into()));
        }
        sum.in_blocks()
    }
}

/// The geometry in `usize`.
struct Sizes {
    batch: usize,
    wide_channels: usize,
    wide_per_group: usize,
    wide_length: usize,
    narrow_channels: usize,
    narrow_per_group: usize,
    narrow_length: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad_left: i64,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        Sizes {
            batch: g.batch as usize,
            wide_channels: g.wide.channels as usize,
            wide_per_group: (g.wide.channels / g.groups) as usize,
            wide_length: g.wide.length as usize,
            narrow_channels: g.narrow.channels as usize,
            narrow_per_group: (g.narrow.channels / g.groups) as usize,
            narrow_length: g.narrow.length as usize,
            kernel: g.kernel as usize,
            stride: g.stride as usize,
            dilation: g.dilation as usize,
            pad_left: g.pad_left.into(),
        }
    }
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn unravel(index: usize, [_, b, c]: [usize; 3]) -> [usize; 3] {
    [index / c / b, index / c % b, index % c]
}

fn check_length(tensor: &'static str, values: &[f32], shape: &[usize]) -> Result<()> {
    let (got, expected) = (values.len(), count(shape));
    if got == expected { Ok(()) } else { Err(Error::DataLength { tensor, got, expected }) }
}

fn check_index(index: usize, shape: &[usize]) -> Result<()> {
    let limit = count(shape) as u64;
    if (index as u64) < limit { Ok(()) } else { Err(Error::TooLarge { what: "index", value: index as u64, limit }) }
}
