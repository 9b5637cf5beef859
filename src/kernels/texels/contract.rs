//! Weight gradient from textures.

use super::staging::{Rows, Staging};
use super::{LANES, TEXEL, texels};
use crate::caps::Speed;
use crate::error::Result;
use crate::geometry::PaddingMode;
use crate::kernels::Tile;
use crate::kernels::params::params;
use crate::kernels::pieces::{self, ContractPiece, Piece, Staged};
use crate::kernels::program::{Binding, Builder, Source};
use crate::kernels::reduce::Reduction;
use crate::lowering::{Contract, Slot, gcd};
use std::mem::offset_of;

pub(super) static CONTRACT: Source = Source {
    name: "contract_texels",
    wgsl: include_str!("../../../shaders/contract_texels.wgsl"),
    params: ContractParams::FIELDS,
};

params! {
    /// `Params` of `contract_texels.wgsl`.
    ContractParams {
        workgroups: u32, groups: u32, rows: u32, depth: u32, taps: u32,
        row_tiles: u32, column_tiles: u32, tiles: u32, splits: u32,
        positions: u32, pairs: u32, all_pairs: u32, split_pairs: u32, share_first: u32, share_end: u32,
        narrow_units: u32, narrow_texels: u32, wide_units: u32, unit_columns: u32, wide_texels: u32,
        position_texels: u32, column_texels: u32, out_base: u32, out_split: u32, out_group: u32, out_row: u32,
    }
}

/// Rows and columns, both in whole texels.
pub(super) const TILES: [Tile; 3] = [
    Tile { rows: 8, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 4, lanes_rows: 1 },
];

/// Pairs of positions that a split sums over at least: shorter ones spend their time adding up partial sums.
const MIN_SPLIT: u64 = 128;

/// How the wide side of a contraction lies in a texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    tile: Tile,
    /// Whether a texel holds four taps of a row; otherwise four rows.
    texel_taps: bool,
    /// Positions from one texel, and from one column, to the next.
    texel_step: u32,
    column_step: u32,
    /// Columns of a unit.
    unit_columns: u32,
}

impl Layout {
    fn new(c: &Contract, tile: Tile, texel_taps: bool) -> Self {
        let texel = if texel_taps { TEXEL } else { 1 };
        let unit_columns = c.taps.div_ceil(texel);
        let column_step = c.dilation.saturating_mul(texel);
        let texel_step = if unit_columns == 1 { c.stride } else { gcd(c.stride, column_step) };
        Layout { tile, texel_taps, texel_step, column_step, unit_columns }
    }

    /// The layout that is fastest for a tile, and its rough time in seconds.
    pub(super) fn fastest(c: &Contract, tile: Tile, speed: &Speed) -> (Self, f64) {
        let [rows, taps] = [false, true].map(|texel_taps| Layout::new(c, tile, texel_taps));
        let (rows_time, taps_time) = (rows.time(c, speed), taps.time(c, speed));
        if taps_time < rows_time { (taps, taps_time) } else { (rows, rows_time) }
    }

    fn wide_units(&self, depth: u32) -> u32 {
        if self.texel_taps { depth } else { depth.div_ceil(TEXEL) }
    }

    /// Texels of a unit of the wide side that serves so many positions.
    fn wide_texels(&self, c: &Contract, positions: u32) -> u64 {
        let last_position = u64::from(positions.saturating_sub(1)) * u64::from(c.stride / self.texel_step);
        last_position + u64::from(self.unit_columns - 1) * u64::from(self.column_step / self.texel_step) + 1
    }

    /// Texels of the sides of a piece: the narrow, the wide.
    fn staged(&self, c: &Contract, piece: &Piece) -> [u64; 2] {
        let items = u64::from(piece.batch()) * u64::from(piece.groups());
        let narrow = u64::from(piece.rows().div_ceil(TEXEL)) * u64::from(piece.positions());
        let wide = u64::from(self.wide_units(piece.depth())).saturating_mul(self.wide_texels(c, piece.positions()));
        [items.saturating_mul(narrow), items.saturating_mul(wide)]
    }

    /// Tiles along the rows and the columns of a group.
    fn tiles(&self, rows: u32, depth: u32) -> [u32; 2] {
        let columns = self.wide_units(depth) * self.unit_columns;
        [rows.div_ceil(self.tile.rows), columns.div_ceil(self.tile.positions / TEXEL)]
    }

    fn time(&self, c: &Contract, speed: &Speed) -> f64 {
        let whole = Piece { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions };
        let [row_tiles, column_tiles] = self.tiles(c.rows, c.depth);
        let tiles = f64::from(row_tiles) * f64::from(column_tiles) * f64::from(c.groups);
        let Tile { rows, positions, .. } = self.tile;
        let texels = f64::from((rows + positions) / TEXEL);
        let position = f64::from(rows * positions) * PAIRED_SUM + texels * speed.texel_load;
        let pairs = f64::from(c.batch) * f64::from(c.positions.div_ceil(2));
        let staged: u64 = self.staged(c, &whole).iter().fold(0, |sum, &texels| sum.saturating_add(texels));
        let stage = staged as f64 * (f64::from(TEXEL) * speed.load + speed.texel_load);
        (tiles * 2.0 * pairs * position + stage) / speed.multiply_adds + 4.0 * speed.dispatch
    }

    /// Iterations of all loops of an invocation for each pair of positions.
    fn iterations(&self) -> u32 {
        let (rows, columns) = (self.tile.rows / TEXEL, self.tile.positions / TEXEL);
        3 + 2 * (columns + rows * (1 + columns))
    }
}

/// What a multiply-add costs where a sum is loaded and stored every second, in those where it is every fourth.
const PAIRED_SUM: f64 = 1.3;

pub(super) fn emit(c: &Contract, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let (layout, _) = Layout::fastest(c, tile, &builder.caps.speed());
    let max_window = builder.caps.max_window();
    let max_pairs = builder.caps.max_terms(layout.iterations());
    // A third of what is left for each side, and one for partial sums.
    let room = builder.available(Slot::InputTexels).min(builder.available(Slot::FactorTexels)) / 3;
    let amount = |piece: &Piece| layout.staged(c, piece).into_iter().fold(0, u64::max);
    let staged = Staged { amount: &amount, limit: room };
    for parts in pieces::contract(c, max_window, max_window, Some(staged))? {
        let Some(piece) = parts.first().map(|p| p.piece.clone()) else { continue };
        let [row_tiles, column_tiles] = layout.tiles(piece.rows(), piece.depth());
        let tiles = u64::from(piece.groups()) * u64::from(row_tiles) * u64::from(column_tiles);
        let pairs = u64::from(c.batch) * u64::from(c.positions.div_ceil(2));
        let wanted = (builder.caps.speed().invocations / tiles as f64).ceil() as u64;
        let reduction = Reduction::new(c, &piece, wanted.min(pairs / MIN_SPLIT), builder)?;
        let mut accumulate = false;
        for part in &parts {
            emit_staging(c, part, &layout, builder)?;
            let [narrow, wide] = layout.staged(c, &part.piece);
            let pairs = part.piece.positions().div_ceil(2);
            let all_pairs = part.piece.batch() * pairs;
            let split_pairs = all_pairs.div_ceil(reduction.splits);
            // An empty sum is written too.
            for share_first in (0..split_pairs.max(1)).step_by(max_pairs as usize) {
                let bindings = vec![
                    Binding::texels(Slot::FactorTexels, narrow.max(1)),
                    Binding::texels(Slot::InputTexels, wide.max(1)),
                    reduction.partials(offset_of!(ContractParams, out_base)),
                ];
                let constants = [
                    ("ROW_TEXELS", tile.rows / TEXEL),
                    ("COLUMN_TEXELS", tile.positions / TEXEL),
                    ("TEXEL_TAPS", layout.texel_taps.into()),
                    ("ACCUMULATE", accumulate.into()),
                ];
                let workgroups = (tiles * u64::from(reduction.splits)).div_ceil(LANES.into());
                let params = ContractParams {
                    workgroups: 0,
                    groups: piece.groups(),
                    rows: piece.rows(),
                    depth: piece.depth(),
                    taps: c.taps,
                    row_tiles,
                    column_tiles,
                    tiles: tiles as u32,
                    splits: reduction.splits,
                    positions: part.piece.positions(),
                    pairs,
                    all_pairs,
                    split_pairs,
                    share_first,
                    share_end: share_first.saturating_add(max_pairs).min(split_pairs),
                    narrow_units: piece.rows().div_ceil(TEXEL),
                    narrow_texels: part.piece.positions(),
                    wide_units: layout.wide_units(piece.depth()),
                    unit_columns: layout.unit_columns,
                    wide_texels: texels(layout.wide_texels(c, part.piece.positions()))?,
                    position_texels: c.stride / layout.texel_step,
                    column_texels: layout.column_step / layout.texel_step,
                    out_base: 0,
                    out_split: reduction.split_stride,
                    out_group: reduction.group_stride,
                    out_row: reduction.row_stride,
                };
                builder.dispatch(&CONTRACT, &constants, workgroups, bindings, |workgroups| {
                    bytemuck::bytes_of(&ContractParams { workgroups, ..params }).to_vec()
                })?;
                accumulate = true;
            }
        }
        reduction.finish(builder)?;
    }
    Ok(())
}

fn emit_staging(c: &Contract, part: &ContractPiece, layout: &Layout, builder: &mut Builder<'_>) -> Result<()> {
    let Piece { n, g, r, q, j } = &part.piece;
    let (batch, groups) = (part.piece.batch(), part.piece.groups());
    let narrow_units = part.piece.rows().div_ceil(TEXEL);
    let narrow = Staging {
        slot: Slot::FactorTexels,
        rows: Rows {
            operand: c.narrow,
            window: part.narrow,
            touched: j.start.into()..j.end.into(),
            first: c.narrow_row(n.start, g.start, r.start),
            groups: c.groups,
            channels: c.rows,
            length: c.positions,
            mode: PaddingMode::Zeros,
        },
        batch,
        groups,
        channels: part.piece.rows(),
        texel_taps: false,
        units: narrow_units,
        full_units: narrow_units,
        unit_texels: part.piece.positions().into(),
        texel_first: j.start.into(),
        texel_step: 1,
        tap_step: 0,
        last_tap: 0,
        last_taps: 0,
    };
    narrow.emit(builder)?;
    let wide_units = layout.wide_units(part.piece.depth());
    let wide = Staging {
        slot: Slot::InputTexels,
        rows: Rows {
            operand: c.wide,
            window: part.wide,
            touched: part.touched.clone(),
            first: c.wide_row(n.start, g.start, q.start),
            groups: c.groups,
            channels: c.depth,
            length: c.wide_length,
            mode: c.mode,
        },
        batch,
        groups,
        channels: part.piece.depth(),
        texel_taps: layout.texel_taps,
        units: wide_units,
        full_units: wide_units,
        unit_texels: layout.wide_texels(c, part.piece.positions()),
        texel_first: i64::from(c.first) + i64::from(j.start) * i64::from(c.stride),
        texel_step: layout.texel_step,
        tap_step: c.dilation,
        last_tap: 0,
        last_taps: 0,
    };
    wide.emit(builder)
}
