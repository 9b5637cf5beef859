//! Weight gradient from workgroup memory.

use super::LANES_POSITIONS;
use crate::caps::Speed;
use crate::error::Result;
use crate::kernels::params::params;
use crate::kernels::pieces::{self, Piece};
use crate::kernels::predict::{Prediction, Work};
use crate::kernels::program::{Binding, Builder, Source};
use crate::kernels::reduce::Reduction;
use crate::kernels::{Tile, extension};
use crate::lowering::Contract;
use std::mem::offset_of;

pub(super) static CONTRACT: Source = Source {
    name: "contract_tiled",
    wgsl: include_str!("../../../shaders/contract_tiled.wgsl"),
    params: ContractParams::FIELDS,
};

params! {
    /// `Params` of `contract_tiled.wgsl`.
    ContractParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, taps: u32, column_tiles: u32,
        position_first: u32, positions: u32, all_stages: u32, split_stages: u32, share_first: u32, share_end: u32,
        narrow_base: u32, narrow_batch: u32, narrow_group: u32, narrow_length: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        first: i32, stride: u32, dilation: u32,
        out_base: u32, out_split: u32, out_group: u32, out_row: u32, fill: f32, saved_base: u32, slope: f32,
    }
}

/// Output rows and (depth, tap) columns.
///
/// What a GPU's compiler makes of the first: of 287 issued instructions of the loop 256 are multiply-adds, 108 registers,
/// nothing spilled, 10 waves (RDNA 3; on RDNA 2 of 285, 104 registers, 8 waves; Mesa's RADV, 2026-11-21).
pub(super) const TILES: [Tile; 2] =
    [Tile { rows: 8, positions: 8, lanes_rows: 8 }, Tile { rows: 4, positions: 4, lanes_rows: 4 }];

/// Positions that are staged at once: `STAGE` of the shader.
const STAGE: u32 = 16;

/// Stages that a split sums over at least: fewer spend their time adding up partial sums.
const MIN_SPLIT: u64 = 8;

/// Tiles along the rows and the columns of a group.
fn tiles(tile: Tile, rows: u32, columns: u32) -> [u32; 2] {
    [rows.div_ceil(tile.rows * tile.lanes_rows), columns.div_ceil(tile.positions * LANES_POSITIONS)]
}

pub(super) fn predict(c: &Contract, tile: Tile, speed: &Speed) -> Prediction {
    let [row_tiles, column_tiles] = tiles(tile, c.rows, c.depth.saturating_mul(c.taps));
    let workgroups = f64::from(row_tiles) * f64::from(column_tiles) * f64::from(c.groups);
    let lanes = f64::from(LANES_POSITIONS * tile.lanes_rows);
    let stages = (u64::from(c.batch) * u64::from(c.positions)).div_ceil(STAGE.into()) as f64;
    let busy = speed.busy(workgroups * lanes * stages / MIN_SPLIT as f64, tile.rows * tile.positions);
    // Of every position: the sums, their operands from workgroup memory, and a share of staging them.
    let (rows, columns) = (f64::from(tile.rows), f64::from(tile.positions));
    let staged = f64::from(tile.lanes_rows) * rows + f64::from(LANES_POSITIONS) * columns;
    let load = (rows + columns) / 4.0 * speed.staged_load + staged / lanes * (speed.load + speed.staged_load);
    let positions = workgroups * lanes * stages * f64::from(STAGE);
    let (sums, loads) = (positions * rows * columns, positions * load);
    Work { sums, loads, stores: 0.0, packing: 0.0, dispatches: 2.0, busy }.on(speed)
}

/// Iterations of all loops of an invocation for each stage.
fn iterations(tile: Tile) -> u32 {
    let Tile { rows, positions, lanes_rows } = tile;
    let units = LANES_POSITIONS * lanes_rows / STAGE;
    let vectors = (rows * lanes_rows / 4).div_ceil(units) + (positions * LANES_POSITIONS / 4).div_ceil(units);
    1 + vectors * 5 + STAGE * (2 + positions / 4 + rows / 4 * (1 + positions))
}

pub(super) fn emit(c: &Contract, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let max_window = builder.caps.max_window();
    let ([mode, repeated], fill) = extension(c.extension);
    let max_stages = builder.caps.max_terms(iterations(tile));
    for parts in pieces::contract(c, max_window, max_window, None)? {
        let Some(Piece { g, r, q, .. }) = parts.first().map(|p| p.piece.clone()) else { continue };
        let [row_tiles, column_tiles] = tiles(tile, r.end - r.start, (q.end - q.start) * c.taps);
        let tiles = u64::from(g.end - g.start) * u64::from(row_tiles) * u64::from(column_tiles);
        let all_stages = (u64::from(c.batch) * u64::from(c.positions)).div_ceil(STAGE.into());
        let lanes = f64::from(LANES_POSITIONS * tile.lanes_rows);
        let wanted = builder.caps.speed().splits(tiles as f64 * lanes, tile.rows * tile.positions);
        let reduction = Reduction::new(c, &parts[0].piece, wanted.min(all_stages / MIN_SPLIT), builder)?;
        let mut accumulate = false;
        for part in &parts {
            builder.count(part.multiply_adds(c, part.piece.positions()));
            let Piece { n, j, .. } = &part.piece;
            let positions = u64::from(part.piece.batch()) * u64::from(part.piece.positions());
            let all_stages = positions.div_ceil(STAGE.into()) as u32;
            let split_stages = all_stages.div_ceil(reduction.splits);
            let (gradient, gradient_window, saved_base) = c.gradient(part);
            let [derivative, saved_input] = gradient.load_constants();
            // An empty sum is written too.
            for share_first in (0..split_stages.max(1)).step_by(max_stages as usize) {
                let constants = [
                    ("LANES_COLUMNS", LANES_POSITIONS),
                    ("LANES_ROWS", tile.lanes_rows),
                    ("TILE_ROWS", tile.rows),
                    ("TILE_COLUMNS", tile.positions),
                    ("ACCUMULATE", accumulate.into()),
                    mode,
                    repeated,
                    derivative,
                    saved_input,
                    ("NARROW_ACTIVATED", c.narrow_activated().into()),
                ];
                let bindings = vec![
                    Binding::new(c.narrow.operand, part.narrow, offset_of!(ContractParams, narrow_base)),
                    Binding::new(c.wide.operand, part.wide, offset_of!(ContractParams, in_base)),
                    reduction.partials(offset_of!(ContractParams, out_base)),
                    gradient.saved_binding(gradient_window, offset_of!(ContractParams, saved_base)),
                ];
                let params = ContractParams {
                    workgroups: 0,
                    batch: part.piece.batch(),
                    groups: part.piece.groups(),
                    rows: part.piece.rows(),
                    row_tiles,
                    depth: part.piece.depth(),
                    taps: c.taps,
                    column_tiles,
                    position_first: j.start,
                    positions: part.piece.positions(),
                    all_stages,
                    split_stages,
                    share_first,
                    share_end: share_first.saturating_add(max_stages).min(split_stages),
                    narrow_base: part.narrow.base(c.narrow_row(n.start, g.start, r.start)),
                    narrow_batch: c.groups * c.rows * c.positions,
                    narrow_group: c.rows * c.positions,
                    narrow_length: c.positions,
                    in_base: part.wide.base(c.wide_row(n.start, g.start, q.start)),
                    in_batch: c.groups * c.depth * c.wide_length,
                    in_group: c.depth * c.wide_length,
                    in_length: c.wide_length,
                    touched_first: part.touched.start as i32,
                    touched: (part.touched.end - part.touched.start) as u32,
                    first: c.first,
                    stride: c.stride,
                    dilation: c.dilation,
                    out_base: 0,
                    out_split: reduction.split_stride,
                    out_group: reduction.group_stride,
                    out_row: reduction.row_stride,
                    fill,
                    saved_base,
                    slope: gradient.slope(),
                };
                builder.dispatch(
                    &CONTRACT,
                    &constants,
                    tiles * u64::from(reduction.splits),
                    bindings,
                    |workgroups| bytemuck::bytes_of(&ContractParams { workgroups, ..params }).to_vec(),
                )?;
                accumulate = true;
            }
        }
        reduction.finish(builder)?;
    }
    Ok(())
}
