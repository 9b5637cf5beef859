//! The fast path on the processor, for machines without an adapter, and the baseline of the benchmark.
//!
//! Columns are built in blocks that stay in cache and multiplied by the `gemm` crate; rayon spreads the blocks over the
//! cores. Work is split by shape alone and every sum has a fixed order, so results do not depend on the number of threads.
//! They keep the same bound as the kernels ([`crate::reference`]): sums over positions are added in blocks of at most 1,024 terms, and
//! the sums of the blocks in `f64`.
//!
//! ```
//! use conv1d::{Conv1d, cpu};
//! let conv = Conv1d::new(1, 1, 3);
//! let (x, w) = ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 0.0, -1.0]);
//! let y = cpu::forward(conv, [1, 1, 5], &x, &w, None)?;
//! assert_eq!(y, [-2.0, -2.0, -2.0]);
//! let dy = [1.0, 1.0, 1.0];
//! assert_eq!(cpu::input_gradient(conv, [1, 1, 5], &w, &dy)?, [1.0, 1.0, 0.0, -1.0, -1.0]);
//! assert_eq!(cpu::weight_gradient(conv, [1, 1, 5], &x, &dy)?, [6.0, 9.0, 12.0]);
//! assert_eq!(cpu::bias_gradient(conv, [1, 1, 5], &dy)?, [3.0]);
//! # Ok::<(), conv1d::Error>(())
//! ```
//!
//! # Errors
//!
//! Every function on tensors fails if the layer or the input shape is invalid, and with [`Error::DataLength`] if a slice does
//! not have as many values as its shape.

mod roofline;

pub use roofline::{copy_bytes, peak_flops, roofline};

use crate::error::{Error, Result};
use crate::geometry::{Extension, Geometry, Layer, PaddingMode, Shapes};
use rayon::prelude::*;

/// Values of a block of columns: 512 KiB, a quarter of the 2 MiB of second-level cache of a core of a current server.
const BLOCK_VALUES: usize = 128 << 10;
/// Fewest and most positions of a block: fewer waste the packing of the weight, more overflow the first-level cache.
const BLOCK_POSITIONS: (usize, usize) = (128, 2048);
/// Up to this many rows of a product, adding scaled rows is faster than a matrix product, which packs its operands.
const FEW_ROWS: usize = 4;
/// Most splits of the sum over positions.
const SPLITS: usize = 16;
/// Most values in the sums of all splits: half a gigabyte.
const SHARE_VALUES: usize = 1 << 26;
/// Most positions of a block of a weight gradient, and terms of a block of a bias gradient. `f64` sums of blocks round by 2^-53, so the
/// chain is this number and one more for the rounding of the result.
const SUM_BLOCK: usize = 1024;

/// `y [N, C_out, L_out]` for an input `x` of shape `[N, C_in, L]` or `[C_in, L]`.
pub fn forward(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
) -> Result<Vec<f32>> {
    let layer = layer.into();
    let shapes = layer.shapes(&input_shape)?;
    check(&shapes, Some(x), Some(w), None)?;
    let mut y = vec![0.0; count(&shapes.output)];
    forward_into(layer, input_shape, x, w, bias, &mut y)?;
    Ok(y)
}

/// Like [`forward`], into the slice `y`.
pub fn forward_into(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<()> {
    let layer = layer.into();
    let (shapes, g) = layer.resolve(input_shape.as_ref())?;
    check(&shapes, Some(x), Some(w), None)?;
    check_length("y", y, &shapes.output)?;
    if let Some(bias) = bias {
        check_length("b", bias, &shapes.bias)?;
    }
    let sizes = Sizes::new(&g);
    if layer.is_transposed() {
        to_wide(&sizes, x, w, y);
    } else {
        to_narrow(&sizes, x, w, y);
    }
    if let Some(bias) = bias {
        let [_, channels, length] = shapes.output.ncl();
        let rows = y.par_chunks_mut(length).enumerate();
        rows.for_each(|(row, y)| y.iter_mut().for_each(|y| *y += bias[row % channels]));
    }
    Ok(())
}

/// `dx [N, C_in, L]` from `dy [N, C_out, L_out]`.
pub fn input_gradient(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    w: &[f32],
    dy: &[f32],
) -> Result<Vec<f32>> {
    let layer = layer.into();
    let shapes = layer.shapes(&input_shape)?;
    check(&shapes, None, Some(w), Some(dy))?;
    let mut dx = vec![0.0; count(&shapes.input)];
    input_gradient_into(layer, input_shape, w, dy, &mut dx)?;
    Ok(dx)
}

/// Like [`input_gradient`], into the slice `dx`.
pub fn input_gradient_into(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    w: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<()> {
    let layer = layer.into();
    let (shapes, g) = layer.resolve(input_shape.as_ref())?;
    check(&shapes, None, Some(w), Some(dy))?;
    check_length("dx", dx, &shapes.input)?;
    let sizes = Sizes::new(&g);
    if layer.is_transposed() {
        to_narrow(&sizes, dy, w, dx);
    } else {
        to_wide(&sizes, dy, w, dx);
    }
    Ok(())
}

/// `dw`, in the shape of the weight, from `x [N, C_in, L]` and `dy [N, C_out, L_out]`.
pub fn weight_gradient(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    x: &[f32],
    dy: &[f32],
) -> Result<Vec<f32>> {
    let layer = layer.into();
    let shapes = layer.shapes(&input_shape)?;
    check(&shapes, Some(x), None, Some(dy))?;
    let mut dw = vec![0.0; count(&shapes.weight)];
    weight_gradient_into(layer, input_shape, x, dy, &mut dw)?;
    Ok(dw)
}

/// Like [`weight_gradient`], into the slice `dw`.
pub fn weight_gradient_into(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) -> Result<()> {
    let layer = layer.into();
    let (shapes, g) = layer.resolve(input_shape.as_ref())?;
    check(&shapes, Some(x), None, Some(dy))?;
    check_length("dw", dw, &shapes.weight)?;
    let sizes = Sizes::new(&g);
    let (wide, narrow) = if layer.is_transposed() { (dy, x) } else { (x, dy) };
    contract(&sizes, wide, narrow, dw);
    Ok(())
}

/// `db [C_out]` from `dy [N, C_out, L_out]`.
pub fn bias_gradient(layer: impl Into<Layer>, input_shape: impl AsRef<[usize]>, dy: &[f32]) -> Result<Vec<f32>> {
    let layer = layer.into();
    let shapes = layer.shapes(&input_shape)?;
    check(&shapes, None, None, Some(dy))?;
    let mut db = vec![0.0; shapes.bias[0]];
    bias_gradient_into(layer, input_shape, dy, &mut db)?;
    Ok(db)
}

/// Like [`bias_gradient`], into the slice `db`.
pub fn bias_gradient_into(
    layer: impl Into<Layer>,
    input_shape: impl AsRef<[usize]>,
    dy: &[f32],
    db: &mut [f32],
) -> Result<()> {
    let (shapes, _) = layer.into().resolve(input_shape.as_ref())?;
    check(&shapes, None, None, Some(dy))?;
    check_length("db", db, &shapes.bias)?;
    let [batch, channels, length] = shapes.output.ncl();
    db.par_iter_mut().enumerate().for_each(|(channel, db)| {
        let row = |n: usize| &dy[(n * channels + channel) * length..][..length];
        let blocks = (0..batch).flat_map(|n| row(n).chunks(SUM_BLOCK));
        *db = blocks.map(|block| f64::from(sum(block))).sum::<f64>() as f32;
    });
    Ok(())
}

fn count(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

fn check(shapes: &Shapes, x: Option<&[f32]>, w: Option<&[f32]>, dy: Option<&[f32]>) -> Result<()> {
    let all = [("x", x, &*shapes.input), ("w", w, &shapes.weight[..]), ("dy", dy, &*shapes.output)];
    for (name, values, shape) in all {
        if let Some(values) = values {
            check_length(name, values, shape)?;
        }
    }
    Ok(())
}

fn check_length(tensor: &'static str, values: &[f32], shape: &[usize]) -> Result<()> {
    let (got, expected) = (values.len(), count(shape));
    if got == expected { Ok(()) } else { Err(Error::DataLength { tensor, got, expected }) }
}

/// The geometry in `usize`, with channels per group. Windows slide over the wide side; the narrow side has a sample per window.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    groups: usize,
    wide: usize,
    wide_length: usize,
    narrow: usize,
    narrow_length: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad_left: usize,
    pad_right: usize,
    extension: Extension,
}

impl Sizes {
    fn new(g: &Geometry) -> Self {
        Sizes {
            batch: g.batch as usize,
            groups: g.groups as usize,
            wide: (g.wide.channels / g.groups) as usize,
            wide_length: g.wide.length as usize,
            narrow: (g.narrow.channels / g.groups) as usize,
            narrow_length: g.narrow.length as usize,
            kernel: g.kernel as usize,
            stride: g.stride as usize,
            dilation: g.dilation as usize,
            pad_left: g.pad_left as usize,
            pad_right: g.pad_right as usize,
            extension: g.extension,
        }
    }

    /// Number of wide channels, and of positions, of a block of columns.
    fn block(&self) -> (usize, usize) {
        let channels = (BLOCK_VALUES / BLOCK_POSITIONS.0 / self.kernel).clamp(1, self.wide);
        let positions = BLOCK_VALUES / (channels * self.kernel);
        // A very long kernel gets fewer positions, so that its block has no more values than 8 usual blocks.
        let fewest = (8 * BLOCK_VALUES / self.kernel).clamp(1, BLOCK_POSITIONS.0);
        (channels, positions.clamp(fewest, BLOCK_POSITIONS.1))
    }

    /// Row of a tensor `[N, groups * per_group, length]`. `item` is the batch item and the group: `n * groups + group`.
    fn row<'a>(&self, values: &'a [f32], item: usize, per_group: usize, channel: usize, length: usize) -> &'a [f32] {
        &values[(item * per_group + channel) * length..][..length]
    }

    /// Weights of a group, `[narrow, wide, kernel]`.
    fn weights<'a>(&self, w: &'a [f32], item: usize) -> &'a [f32] {
        let size = self.narrow * self.wide * self.kernel;
        &w[item % self.groups * size..][..size]
    }

    /// Value of the extended row at `position`.
    fn padded(&self, row: &[f32], position: isize) -> f32 {
        match (self.extension.mode, self.source(position)) {
            (_, Some(source)) => row[source],
            (PaddingMode::Constant(value), None) => value,
            (_, None) => 0.0,
        }
    }

    /// Index of the sample at `position` of the extended row; `None` where the row holds a constant.
    fn source(&self, position: isize) -> Option<usize> {
        self.extension.source(position as i64, self.wide_length as i64).map(|source| source as usize)
    }

    /// Writes the samples that tap `k` meets at the narrow positions from `first` on.
    fn column(&self, row: &[f32], k: usize, first: usize, column: &mut [f32]) {
        let start = (first * self.stride + k * self.dilation) as isize - self.pad_left as isize;
        // Positions whose sample lies inside the row.
        let inside_from = if start < 0 { start.unsigned_abs().div_ceil(self.stride) } else { 0 }.min(column.len());
        let inside_to = if start >= self.wide_length as isize {
            inside_from
        } else {
            let reach = (self.wide_length as isize - start) as usize;
            reach.div_ceil(self.stride).clamp(inside_from, column.len())
        };
        let at = |j: usize| start + (j * self.stride) as isize;
        let (before, rest) = column.split_at_mut(inside_from);
        let (inside, after) = rest.split_at_mut(inside_to - inside_from);
        before.iter_mut().enumerate().for_each(|(j, v)| *v = self.padded(row, at(j)));
        if !inside.is_empty() {
            let samples = &row[at(inside_from) as usize..];
            if self.stride == 1 {
                inside.copy_from_slice(&samples[..inside.len()]);
            } else {
                inside.iter_mut().zip(samples.iter().step_by(self.stride)).for_each(|(v, &s)| *v = s);
            }
        }
        after.iter_mut().enumerate().for_each(|(j, v)| *v = self.padded(row, at(inside_to + j)));
    }

    /// Columns `[channels * kernel, positions]` of some wide channels of an item and group.
    fn columns(
        &self,
        wide: &[f32],
        item: usize,
        channels: std::ops::Range<usize>,
        first: usize,
        positions: usize,
        columns: &mut Vec<f32>,
    ) {
        columns.resize(channels.len() * self.kernel * positions, 0.0);
        for (c, block) in channels.zip(columns.chunks_mut(self.kernel * positions)) {
            let row = self.row(wide, item, self.wide, c, self.wide_length);
            block.chunks_mut(positions).enumerate().for_each(|(k, column)| self.column(row, k, first, column));
        }
    }
}

/// A block of the output: the same positions of all rows of an item and group.
struct Block<'a> {
    item: usize,
    first: usize,
    rows: Vec<&'a mut [f32]>,
}

/// Cuts `[items, rows, length]` into blocks of positions.
fn blocks(output: &mut [f32], rows: usize, length: usize, positions: usize) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for (item, output) in output.chunks_mut(rows * length).enumerate() {
        let start = blocks.len();
        blocks.extend((0..length).step_by(positions).map(|first| Block {
            item,
            first,
            rows: Vec::with_capacity(rows),
        }));
        for row in output.chunks_mut(length) {
            row.chunks_mut(positions).zip(&mut blocks[start..]).for_each(|(part, block)| block.rows.push(part));
        }
    }
    blocks
}

/// `narrow = W * columns(wide)`, block by block.
fn to_narrow(s: &Sizes, wide: &[f32], w: &[f32], narrow: &mut [f32]) {
    let (channels_at_once, positions) = s.block();
    let blocks = blocks(narrow, s.narrow, s.narrow_length, positions);
    blocks.into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(columns, out), block| {
            let positions = block.rows.first().map_or(0, |row| row.len());
            let weights = s.weights(w, block.item);
            out.clear();
            out.resize(s.narrow * positions, 0.0);
            for first in (0..s.wide).step_by(channels_at_once) {
                let channels = first..(first + channels_at_once).min(s.wide);
                s.columns(wide, block.item, channels.clone(), block.first, positions, columns);
                let lhs = Matrix {
                    values: &weights[first * s.kernel..],
                    rows: s.narrow,
                    columns: channels.len() * s.kernel,
                    row_stride: s.wide * s.kernel,
                    column_stride: 1,
                };
                add_product(lhs, Matrix::dense(columns, positions), out);
            }
            block.rows.into_iter().zip(out.chunks(positions)).for_each(|(row, out)| row.copy_from_slice(out));
        },
    );
}

/// `wide = fold(W^t * narrow)`: computes the columns that reach each block of wide positions, and adds them to it.
fn to_wide(s: &Sizes, narrow: &[f32], w: &[f32], wide: &mut [f32]) {
    let span = s.dilation * (s.kernel - 1) + 1;
    // With padding that copies samples, one value may reach positions anywhere in a row: such rows are not cut.
    let length = if s.extension.mode.reads_input() {
        s.wide_length
    } else {
        // Columns within a span of the start of a block are computed for two blocks, so a block is several spans long.
        (BLOCK_POSITIONS.1 * s.stride).max(4 * span).min(s.wide_length)
    };
    let (channels_at_once, positions) = s.block();
    let blocks = blocks(wide, s.wide, s.wide_length, length);
    blocks.into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(samples, columns), mut block| {
            block.rows.iter_mut().for_each(|row| row.fill(0.0));
            let length = block.rows.first().map_or(0, |row| row.len());
            let reached = s.narrow_reached(block.first, length);
            for first in reached.clone().step_by(positions) {
                let positions = positions.min(reached.end - first);
                // The rows of the block side by side.
                samples.clear();
                for o in 0..s.narrow {
                    let row = s.row(narrow, block.item, s.narrow, o, s.narrow_length);
                    samples.extend_from_slice(&row[first..first + positions]);
                }
                for c in (0..s.wide).step_by(channels_at_once) {
                    let channels = c..(c + channels_at_once).min(s.wide);
                    columns.clear();
                    columns.resize(channels.len() * s.kernel * positions, 0.0);
                    let lhs = Matrix {
                        values: &s.weights(w, block.item)[c * s.kernel..],
                        rows: channels.len() * s.kernel,
                        columns: s.narrow,
                        row_stride: 1,
                        column_stride: s.wide * s.kernel,
                    };
                    add_product(lhs, Matrix::dense(samples, positions), columns);
                    for (row, columns) in block.rows[channels].iter_mut().zip(columns.chunks(s.kernel * positions)) {
                        let columns = columns.chunks(positions).enumerate();
                        columns.for_each(|(k, column)| s.scatter(column, k, first, block.first, row));
                    }
                }
            }
        },
    );
}

impl Sizes {
    /// Narrow samples that reach wide positions `first .. first + length`, directly or through padding that copies them.
    fn narrow_reached(&self, first: usize, length: usize) -> std::ops::Range<usize> {
        if self.extension.mode.reads_input() {
            return 0..self.narrow_length;
        }
        let span = self.dilation * (self.kernel - 1);
        let from = (first + self.pad_left).saturating_sub(span).div_ceil(self.stride);
        let to = (first + length - 1 + self.pad_left) / self.stride + 1;
        from.min(self.narrow_length)..to.min(self.narrow_length).max(from.min(self.narrow_length))
    }

    /// Adds the column of tap `k`, for narrow positions from `first` on, to `row`, which holds wide positions from `row_first` on.
    fn scatter(&self, column: &[f32], k: usize, first: usize, row_first: usize, row: &mut [f32]) {
        let start = (first * self.stride + k * self.dilation) as isize - (self.pad_left + row_first) as isize;
        if !self.extension.mode.reads_input() {
            // No gradient flows back from the padding: values outside the row are skipped at once.
            let skipped = if start < 0 { start.unsigned_abs().div_ceil(self.stride) } else { 0 };
            let row = row.get_mut((start + (skipped * self.stride) as isize) as usize..).unwrap_or_default();
            let column = column.get(skipped..).unwrap_or_default();
            if self.stride == 1 {
                row.iter_mut().zip(column).for_each(|(r, &v)| *r += v);
            } else {
                row.iter_mut().step_by(self.stride).zip(column).for_each(|(r, &v)| *r += v);
            }
            return;
        }
        let end = (self.wide_length + self.pad_right) as isize;
        for (j, &value) in column.iter().enumerate() {
            let position = start + (j * self.stride) as isize;
            if position < end
                && let Some(sample) = self.source(position).and_then(|p| row.get_mut(p))
            {
                *sample += value;
            }
        }
    }
}

/// `dw = narrow * columns(wide)^t`: the blocks of all batch items in a fixed number of splits, whose sums are added in order.
fn contract(s: &Sizes, wide: &[f32], narrow: &[f32], dw: &mut [f32]) {
    let (channels_at_once, positions) = s.block();
    let positions = positions.min(SUM_BLOCK);
    let blocks_per_row = s.narrow_length.div_ceil(positions);
    let blocks = s.batch * blocks_per_row;
    let size = s.narrow * s.wide * s.kernel;
    // Every split has its own sum, so memory limits their number.
    let affordable = SHARE_VALUES / (size * s.groups).max(1);
    let splits = SPLITS.min(affordable).div_ceil(s.groups).clamp(1, blocks.max(1));
    dw.par_chunks_mut(size).enumerate().for_each(|(group, dw)| {
        let split = |split: usize| {
            let mut sum = vec![0.0_f64; size];
            let (mut columns, mut samples, mut product) = (Vec::new(), Vec::new(), Vec::new());
            for block in split * blocks / splits..(split + 1) * blocks / splits {
                let item = block / blocks_per_row * s.groups + group;
                let first = block % blocks_per_row * positions;
                let positions = positions.min(s.narrow_length - first);
                samples.clear();
                for o in 0..s.narrow {
                    let row = s.row(narrow, item, s.narrow, o, s.narrow_length);
                    samples.extend_from_slice(&row[first..first + positions]);
                }
                for c in (0..s.wide).step_by(channels_at_once) {
                    let channels = c..(c + channels_at_once).min(s.wide);
                    let width = channels.len() * s.kernel;
                    s.columns(wide, item, channels, first, positions, &mut columns);
                    product.clear();
                    product.resize(s.narrow * width, 0.0);
                    product_transposed(&samples, &columns, positions, &mut product);
                    let rows = sum.chunks_mut(s.wide * s.kernel).zip(product.chunks(width));
                    rows.for_each(|(sum, product)| add(&mut sum[c * s.kernel..][..width], product));
                }
            }
            sum
        };
        let mut sums = (0..splits).into_par_iter().map(split).collect::<Vec<_>>().into_iter();
        let mut total = sums.next().unwrap_or_else(|| vec![0.0; size]);
        sums.for_each(|sum| total.iter_mut().zip(&sum).for_each(|(total, s)| *total += s));
        dw.iter_mut().zip(&total).for_each(|(dw, &total)| *dw = total as f32);
    });
}

fn add(sums: &mut [f64], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
}

/// A view of a matrix.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    fn dense(values: &'a [f32], columns: usize) -> Self {
        let rows = values.len().checked_div(columns).unwrap_or(0);
        Matrix { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.row_stride + column * self.column_stride]
    }

    /// Whether every element lies inside `values`.
    fn fits(&self) -> bool {
        let last = self.rows.saturating_sub(1) * self.row_stride + self.columns.saturating_sub(1) * self.column_stride;
        self.rows == 0 || self.columns == 0 || last < self.values.len()
    }
}

/// `out += lhs * rhs`, `rhs` with adjacent columns, `out` dense.
fn add_product(lhs: Matrix<'_>, rhs: Matrix<'_>, out: &mut [f32]) {
    if lhs.rows > FEW_ROWS && lhs.columns > 1 {
        return gemm_add(lhs, rhs, out);
    }
    for (row, out) in out.chunks_mut(rhs.columns).enumerate() {
        for column in 0..lhs.columns {
            let factor = lhs.at(row, column);
            let values = &rhs.values[column * rhs.row_stride..][..rhs.columns];
            out.iter_mut().zip(values).for_each(|(out, &v)| *out += factor * v);
        }
    }
}

/// `out = lhs * rhs^t` of dense matrices with `inner` columns each. `out` is dense and holds zeros.
fn product_transposed(lhs: &[f32], rhs: &[f32], inner: usize, out: &mut [f32]) {
    let (lhs, rhs) = (Matrix::dense(lhs, inner), Matrix::dense(rhs, inner));
    if lhs.rows > FEW_ROWS {
        let transposed =
            Matrix { rows: inner, columns: rhs.rows, row_stride: 1, column_stride: inner, values: rhs.values };
        return gemm_add(lhs, transposed, out);
    }
    for (a, out) in lhs.values.chunks(inner).zip(out.chunks_mut(rhs.rows)) {
        out.iter_mut().zip(rhs.values.chunks(inner)).for_each(|(out, b)| *out = dot(a, b));
    }
}

/// The one call of the `gemm` crate: `out += lhs * rhs`, `out` dense, on this thread.
fn gemm_add(lhs: Matrix<'_>, rhs: Matrix<'_>, out: &mut [f32]) {
    let written =
        Matrix { values: out, rows: lhs.rows, columns: rhs.columns, row_stride: rhs.columns, column_stride: 1 };
    assert!(lhs.fits() && rhs.fits() && written.fits() && lhs.columns == rhs.rows);
    // SAFETY: every element of the three matrices lies in its slice, as was just checked; the strides fit an isize because
    // the slices do; rows of `out` do not overlap, and `out` overlaps neither of the others because it is borrowed mutably.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.columns,
            lhs.columns,
            out.as_mut_ptr(),
            1,
            rhs.columns as isize,
            true,
            lhs.values.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Independent sums, so that the compiler may use vector instructions.
const LANES: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + tail
}

fn sum(values: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().sum();
    chunks.for_each(|chunk| sums.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += v));
    sums.iter().sum::<f32>() + tail
}
