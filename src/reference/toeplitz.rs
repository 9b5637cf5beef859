use super::{Padded, padded};
use crate::error::{Error, Result};
use crate::geometry::{Layer, PaddingMode};

/// Most elements of a matrix: half a gigabyte.
const MAX_ELEMENTS: u64 = 1 << 26;

/// A layer as a dense matrix: `y = T x` for one batch item, with `x` and `y` flattened from `[C, L]`; the input gradient is
/// `T^t dy`. A second oracle, which scatters weights; the first one gathers samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Toeplitz {
    rows: usize,
    columns: usize,
    /// Row-major.
    values: Vec<f64>,
    /// Contribution of constant padding to each output.
    offset: Vec<f64>,
}

impl Toeplitz {
    /// The matrix `[C_out * L_out, C_in * L]` of a layer with weight `w` for inputs `[C_in, L]`.
    pub fn new(layer: impl Into<Layer>, [channels, length]: [usize; 2], w: &[f32]) -> Result<Self> {
        let layer = layer.into();
        let (shapes, g) = layer.resolve(&[1, channels, length])?;
        let expected = shapes.weight.iter().product();
        if w.len() != expected {
            return Err(Error::DataLength { tensor: "w", got: w.len(), expected });
        }
        let [_, c_in, l] = shapes.input.ncl();
        let [_, c_out, l_out] = shapes.output.ncl();
        let (rows, columns) = (c_out * l_out, c_in * l);
        let limit = MAX_ELEMENTS;
        let size = (rows as u64).checked_mul(columns as u64).filter(|&n| n <= limit);
        let too_large = || {
            let value = (rows as u64).saturating_mul(columns as u64);
            Error::TooLarge { what: "elements of the matrix", value, limit }
        };
        let size = size.ok_or_else(too_large)?;
        let mut matrix = Toeplitz { rows, columns, values: vec![0.0; size as usize], offset: vec![0.0; rows] };

        let [narrow, wide_per_group, kernel] = shapes.weight;
        let narrow_per_group = narrow / g.groups as usize;
        let (wide_length, narrow_length) = (i64::from(g.wide.length), g.narrow.length as usize);
        for (index, &tap) in w.iter().enumerate() {
            let (o, c, k) = (index / kernel / wide_per_group, index / kernel % wide_per_group, index % kernel);
            let c = o / narrow_per_group * wide_per_group + c;
            for i in 0..narrow_length {
                let position =
                    i as i64 * i64::from(g.stride) + k as i64 * i64::from(g.dilation) - i64::from(g.pad_left);
                let narrow_at = o * narrow_length + i;
                let mode = if layer.is_transposed() { PaddingMode::Zeros } else { g.extension.mode };
                match padded(position, wide_length, mode) {
                    Padded::Sample(m) => {
                        let wide_at = c * wide_length as usize + m;
                        let (row, column) =
                            if layer.is_transposed() { (wide_at, narrow_at) } else { (narrow_at, wide_at) };
                        matrix.values[row * columns + column] += f64::from(tap);
                    }
                    Padded::Constant(value) => matrix.offset[narrow_at] += f64::from(tap) * f64::from(value),
                    Padded::Nothing => {}
                }
            }
        }
        Ok(matrix)
    }

    /// Number of rows and columns.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The element at a row and a column; `None` outside the matrix.
    pub fn get(&self, row: usize, column: usize) -> Option<f64> {
        if row < self.rows && column < self.columns { Some(self.values[row * self.columns + column]) } else { None }
    }

    /// `y` of one batch item without bias: `T x` plus the contribution of constant padding.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f64>> {
        check("x", x, self.columns)?;
        let rows = self.values.chunks(self.columns).zip(&self.offset);
        Ok(rows.map(|(row, offset)| offset + row.iter().zip(x).map(|(t, &x)| t * f64::from(x)).sum::<f64>()).collect())
    }

    /// `dx` of one batch item: `T^t dy`.
    pub fn apply_transposed(&self, dy: &[f32]) -> Result<Vec<f64>> {
        check("dy", dy, self.rows)?;
        let mut dx = vec![0.0; self.columns];
        for (row, &dy) in self.values.chunks(self.columns).zip(dy) {
            dx.iter_mut().zip(row).for_each(|(dx, t)| *dx += t * f64::from(dy));
        }
        Ok(dx)
    }
}

fn check(tensor: &'static str, values: &[f32], expected: usize) -> Result<()> {
    let got = values.len();
    if got == expected { Ok(()) } else { Err(Error::DataLength { tensor, got, expected }) }
}
