//! Weight gradient from textures.

use super::staging::{Rows, Staging};
use super::{LANES, Readers, TEXEL, readers, texels};
use crate::caps::Speed;
use crate::error::Result;
use crate::geometry::Extension;
use crate::kernels::Tile;
use crate::kernels::params::params;
use crate::kernels::pieces::{self, ContractPiece, Piece, Staged};
use crate::kernels::predict::{Prediction, Work};
use crate::kernels::program::{Binding, Builder};
use crate::kernels::reduce::Reduction;
use crate::lowering::{Contract, Slot, gcd};
use std::mem::offset_of;

pub(super) static CONTRACT: Readers = readers!("contract_texels", ContractParams::FIELDS);

params! {
    /// `Params` of `contract_texels.wgsl`.
    ContractParams {
        workgroups: u32, groups: u32, rows: u32, depth: u32, taps: u32,
        row_tiles: u32, column_tiles: u32, tiles: u32, splits: u32,
        positions: u32, steps: u32, all_steps: u32, split_steps: u32, share_first: u32, share_end: u32,
        narrow_units: u32, narrow_texels: u32, wide_units: u32, unit_columns: u32, wide_texels: u32,
        position_texels: u32, column_texels: u32, out_base: u32, out_split: u32, out_group: u32, out_row: u32,
    }
}

/// Rows and columns, both in whole texels.
pub(super) const TILES: [Tile; 4] = [
    Tile { rows: 8, positions: 8, lanes_rows: 1 },
    Tile { rows: 8, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 4, lanes_rows: 1 },
];

/// Steps that a split sums over at least: shorter ones spend their time adding up partial sums.
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

    /// The layout that is fastest for a tile, and its prediction.
    pub(super) fn fastest(c: &Contract, tile: Tile, speed: &Speed) -> (Self, Prediction) {
        let [rows, taps] = [false, true].map(|texel_taps| Layout::new(c, tile, texel_taps));
        let (by_rows, by_taps) = (rows.predict(c, speed), taps.predict(c, speed));
        if by_taps.seconds() < by_rows.seconds() { (taps, by_taps) } else { (rows, by_rows) }
    }

    fn wide_units(&self, depth: u32) -> u32 {
        if self.texel_taps { depth } else { depth.div_ceil(TEXEL) }
    }

    /// Texels of a unit of the wide side that serves so many positions.
    fn wide_texels(&self, c: &Contract, positions: u32) -> u64 {
        let last_position = u64::from(positions.saturating_sub(1)) * u64::from(c.stride / self.texel_step);
        odd_lines(last_position + u64::from(self.unit_columns - 1) * u64::from(self.column_step / self.texel_step) + 1)
    }

    /// Texels of the sides of a piece: the narrow, the wide.
    fn staged(&self, c: &Contract, piece: &Piece) -> [u64; 2] {
        let items = u64::from(piece.batch()) * u64::from(piece.groups());
        let narrow = u64::from(piece.rows().div_ceil(TEXEL)) * odd_lines(piece.positions().into());
        let wide = u64::from(self.wide_units(piece.depth())).saturating_mul(self.wide_texels(c, piece.positions()));
        [items.saturating_mul(narrow), items.saturating_mul(wide)]
    }

    /// Tiles along the rows and the columns of a group.
    fn tiles(&self, rows: u32, depth: u32) -> [u32; 2] {
        let columns = self.wide_units(depth) * self.unit_columns;
        [rows.div_ceil(self.tile.rows), columns.div_ceil(self.tile.positions / TEXEL)]
    }

    fn predict(&self, c: &Contract, speed: &Speed) -> Prediction {
        let whole = Piece { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions };
        let [row_tiles, column_tiles] = self.tiles(c.rows, c.depth);
        let tiles = f64::from(row_tiles) * f64::from(column_tiles) * f64::from(c.groups);
        let Tile { rows, positions, .. } = self.tile;
        let texels = f64::from((rows + positions) / TEXEL);
        let steps = f64::from(c.batch) * f64::from(c.positions.div_ceil(self.step()));
        let staged: u64 = self.staged(c, &whole).iter().fold(0, |sum, &texels| sum.saturating_add(texels));
        let all_positions = tiles * f64::from(self.step()) * steps;
        let work = Work {
            sums: all_positions * f64::from(rows * positions) * (0.8 + CARRIED_SUM / f64::from(self.step())),
            loads: all_positions * texels * speed.texel_load,
            stores: 0.0,
            packing: staged as f64 * (f64::from(TEXEL) * speed.load + speed.texel_load),
            dispatches: 4.0,
            busy: 1.0,
        };
        work.on(speed)
    }

    /// Positions of a step: as many as make 256 multiply-adds, which is what a processor keeps decoded of a loop's body.
    fn step(&self) -> u32 {
        (256 / (self.tile.rows * self.tile.positions)).min(4)
    }

    /// Iterations of all loops of an invocation for each step.
    fn iterations(&self) -> u32 {
        let (rows, columns) = (self.tile.rows / TEXEL, self.tile.positions / TEXEL);
        1 + self.step() * (1 + columns + rows * (1 + columns))
    }
}

/// Texels of a unit, so many at least: an odd number of cache lines, so that units that are walked over side by side do not
/// meet in the same few sets of a cache. The weight gradient of 512 to 512 channels, K 1, two items of 4096 positions, took
/// 297 ms without this and 219 with it (llvmpipe, two threads of an AMD EPYC, 2026-11-21).
fn odd_lines(texels: u64) -> u64 {
    let line = 4;
    (texels.div_ceil(line) | 1) * line
}

/// What carrying a sum from step to step costs, in multiply-adds of which every fourth does.
const CARRIED_SUM: f64 = 0.8;

pub(super) fn emit(c: &Contract, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let (layout, _) = Layout::fastest(c, tile, &builder.caps.speed());
    let max_window = builder.caps.max_window();
    let max_steps = builder.caps.max_terms(layout.iterations());
    // A third of what is left for each side, and one for partial sums.
    let room = builder.available(Slot::InputTexels).min(builder.available(Slot::FactorTexels)) / 3;
    let amount = |piece: &Piece| layout.staged(c, piece).into_iter().fold(0, u64::max);
    let staged = Staged { amount: &amount, limit: room };
    for parts in pieces::contract(c, max_window, max_window, Some(staged))? {
        let Some(piece) = parts.first().map(|p| p.piece.clone()) else { continue };
        let [row_tiles, column_tiles] = layout.tiles(piece.rows(), piece.depth());
        let tiles = u64::from(piece.groups()) * u64::from(row_tiles) * u64::from(column_tiles);
        let steps = u64::from(c.batch) * u64::from(c.positions.div_ceil(layout.step()));
        let wanted = builder.caps.speed().splits(tiles as f64, tile.rows * tile.positions);
        let reduction = Reduction::new(c, &piece, wanted.min(steps / MIN_SPLIT), builder)?;
        let mut accumulate = false;
        for part in &parts {
            builder.count(part.multiply_adds(c, part.piece.positions()));
            emit_staging(c, part, &layout, builder)?;
            let [narrow, wide] = layout.staged(c, &part.piece);
            let steps = part.piece.positions().div_ceil(layout.step());
            let all_steps = part.piece.batch() * steps;
            let split_steps = all_steps.div_ceil(reduction.splits);
            // An empty sum is written too.
            for share_first in (0..split_steps.max(1)).step_by(max_steps as usize) {
                let bindings = vec![
                    reduction.partials(offset_of!(ContractParams, out_base)),
                    Binding::whole(Slot::InputTexels, wide.max(1)),
                    Binding::whole(Slot::FactorTexels, narrow.max(1)),
                ];
                let constants = [
                    ("ROW_TEXELS", tile.rows / TEXEL),
                    ("COLUMN_TEXELS", tile.positions / TEXEL),
                    ("STEP", layout.step()),
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
                    steps,
                    all_steps,
                    split_steps,
                    share_first,
                    share_end: share_first.saturating_add(max_steps).min(split_steps),
                    narrow_units: piece.rows().div_ceil(TEXEL),
                    narrow_texels: texels(odd_lines(part.piece.positions().into()))?,
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
                builder.dispatch(CONTRACT.of(builder.caps), &constants, workgroups, bindings, |workgroups| {
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
            read: c.narrow,
            window: part.narrow,
            touched: j.start.into()..j.end.into(),
            first: c.narrow_row(n.start, g.start, r.start),
            groups: c.groups,
            channels: c.rows,
            length: c.positions,
            extension: Extension::ZEROS,
        },
        batch,
        groups,
        channels: part.piece.rows(),
        texel_taps: false,
        units: narrow_units,
        full_units: narrow_units,
        unit_texels: odd_lines(part.piece.positions().into()),
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
            read: c.wide,
            window: part.wide,
            touched: part.touched.clone(),
            first: c.wide_row(n.start, g.start, q.start),
            groups: c.groups,
            channels: c.depth,
            length: c.wide_length,
            extension: c.extension,
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
