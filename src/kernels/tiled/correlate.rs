//! Correlation from workgroup memory.

use super::LANES_POSITIONS;
use crate::caps::Speed;
use crate::error::Result;
use crate::kernels::epilogue::store_params;
use crate::kernels::pack;
use crate::kernels::params::params;
use crate::kernels::pieces::{self, CorrelatePiece, Limits, Piece};
use crate::kernels::predict::{Prediction, Work};
use crate::kernels::program::{Binding, Builder, Source};
use crate::kernels::{Tile, extension};
use crate::lowering::{Correlate, Slot};
use std::mem::offset_of;

pub(super) static TILED: Source =
    Source { name: "tiled", wgsl: include_str!("../../../shaders/tiled.wgsl"), params: TiledParams::FIELDS };

params! {
    /// `Params` of `tiled.wgsl`.
    TiledParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, phases: u32,
        stage_depth: u32, stage_taps: u32, stage_samples: u32, position_first: u32, position_end: u32, position_tiles: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        in_step: u32, tap_step: i32, bias_base: u32, bias_group: u32, has_bias: u32,
        out_base: u32, out_batch: u32, out_group: u32, out_row: u32, out_step: u32, fill: f32,
        residual_base: u32, pre_activation_base: u32, has_pre_activation: u32, saved_base: u32, slope: f32,
    }
}

/// Samples, and weights, that are staged at once: `STAGED` of the shader.
const STAGED: u32 = 2048;

/// The largest stride that is a constant of the shader: with it, samples are read at fixed distances. Every value is a
/// compilation of its own.
const MOST_CONSTANT_STEP: i32 = 2;

/// Input rows that are staged at once at most: more save no barrier that matters.
const MOST_DEPTH: u32 = 16;

/// What a GPU's compiler makes of the first: of 112 issued instructions of the loop over taps 96 are multiply-adds, 132
/// registers, nothing spilled, 8 waves (RDNA 3; on RDNA 2 the same with 128 registers; Mesa's RADV, 2026-11-21). With 16 positions it
/// is 128 of 146, but 6 waves on RDNA 2; with 8 it is 64 of 78.
const TILES: [Tile; 3] = [
    Tile { rows: 8, positions: 12, lanes_rows: 8 },
    Tile { rows: 8, positions: 8, lanes_rows: 8 },
    Tile { rows: 4, positions: 4, lanes_rows: 4 },
];

/// Tiles whose samples fit.
pub(super) fn tiles(c: &Correlate) -> Vec<Tile> {
    TILES.into_iter().filter(|&tile| Staging::new(c, tile).is_some()).collect()
}

pub(super) fn predict(c: &Correlate, tile: Tile, speed: &Speed) -> Prediction {
    Staging::new(c, tile).map_or(Prediction::NEVER, |staging| staging.predict(c, speed))
}

/// What a workgroup stages at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Staging {
    tile: Tile,
    depth: u32,
    taps: u32,
    /// Samples of an input row.
    samples: u32,
}

impl Staging {
    /// The taps that take the fewest samples each, and as many input rows as fit. `None` where not one row does.
    fn new(c: &Correlate, tile: Tile) -> Option<Self> {
        let (rows, positions) = (tile.rows * tile.lanes_rows, tile.positions * LANES_POSITIONS);
        let samples = |taps: u32| {
            u64::from(positions - 1) * u64::from(c.in_step.unsigned_abs())
                + u64::from(taps - 1) * u64::from(c.tap_step.unsigned_abs())
                + 1
        };
        let fits = |taps: &u32| samples(*taps) <= STAGED.into();
        // Of as many samples for each tap, the more taps: fewer barriers.
        let most = c.max_taps().clamp(1, STAGED / rows);
        let cost = |taps: u32| (samples(taps).div_ceil(taps.into()), most - taps);
        let taps = (1..=most).filter(fits).min_by_key(|&taps| cost(taps))?;
        let samples = samples(taps) as u32;
        let depth = (STAGED / samples).min(STAGED / (taps * rows)).min(MOST_DEPTH).min(c.depth);
        Some(Staging { tile, depth, taps, samples })
    }

    /// Output rows of a workgroup.
    fn rows(&self) -> u32 {
        self.tile.rows * self.tile.lanes_rows
    }

    /// Positions of a workgroup.
    fn positions(&self) -> u32 {
        self.tile.positions * LANES_POSITIONS
    }

    fn predict(&self, c: &Correlate, speed: &Speed) -> Prediction {
        let Tile { rows, positions, lanes_rows } = self.tile;
        let lanes = f64::from(LANES_POSITIONS * lanes_rows);
        let blocks = f64::from(c.positions().div_ceil(self.positions())) * f64::from(c.batch) * c.phases.len() as f64;
        let workgroups = blocks * f64::from(c.rows.div_ceil(self.rows())) * f64::from(c.groups);
        let busy = speed.busy(workgroups * lanes, rows * positions);
        let taps: f64 = c.phases.iter().map(|p| f64::from(p.taps)).sum::<f64>() / c.phases.len().max(1) as f64;
        // Of every tap of an input row: the sums, the samples and weights from workgroup memory, and a share of staging them.
        let staged = f64::from(self.samples) / f64::from(self.taps) + f64::from(self.rows()) / 4.0;
        let load =
            f64::from(positions + rows / 4) * speed.staged_load + staged / lanes * (speed.load + speed.staged_load);
        let taps = workgroups * lanes * f64::from(c.depth) * taps;
        let work = Work {
            sums: taps * f64::from(rows * positions),
            loads: taps * load,
            stores: workgroups * lanes * f64::from(rows * positions) * speed.store,
            packing: 0.0,
            dispatches: 2.0,
            busy,
        };
        work.on(speed)
    }

    /// Iterations of all loops of an invocation that sums over so many input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let Tile { rows, positions, lanes_rows } = self.tile;
        let lanes = LANES_POSITIONS * lanes_rows;
        let chunks = u64::from(c.max_taps().div_ceil(self.taps));
        let stage = 3 + self.samples.div_ceil(lanes) + (self.taps * self.rows() / 4).div_ceil(lanes);
        let tap = 1 + positions + rows / 4 * (1 + positions);
        u64::from(depth) * (2 + chunks * u64::from(1 + stage) + u64::from(c.max_taps()) * u64::from(tap))
    }
}

pub(super) fn emit(c: &Correlate, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let Some(staging) = Staging::new(c, tile) else { return Ok(()) };
    let limits = Limits {
        max_window: builder.caps.max_window(),
        max_iterations: builder.caps.max_iterations,
        iterations: &|c, depth| staging.iterations(c, depth),
        staged: None,
    };
    for slice in pieces::correlate(c, limits)? {
        emit_pieces(&slice.correlate, &slice.pieces, &staging, builder)?;
    }
    Ok(())
}

fn emit_pieces(c: &Correlate, pieces: &[CorrelatePiece], staging: &Staging, builder: &mut Builder<'_>) -> Result<()> {
    let phases = builder.phases(&c.phases)?;
    let ([mode, repeated], fill) = extension(c.extension);
    let mut packed_for = None;
    for cut in pieces {
        builder.count(cut.multiply_adds(c, |phase| phase.taps));
        let Piece { n, g, r, q, j } = &cut.piece;
        let key = (g.clone(), r.clone(), q.clone());
        if packed_for.as_ref() != Some(&key) {
            pack::emit(c, &cut.piece, cut.weight, staging.rows(), &phases, builder)?;
            packed_for = Some(key);
        }
        let packed = Binding::whole(Slot::Packed, pack::length(c, &cut.piece, staging.rows()));
        let row_tiles = cut.piece.rows().div_ceil(staging.rows());
        let position_tiles = cut.piece.positions().div_ceil(staging.positions());
        let workgroups = u64::from(row_tiles)
            * u64::from(position_tiles)
            * u64::from(cut.piece.batch())
            * c.phases.len() as u64
            * u64::from(cut.piece.groups());
        let [activation, residual, pre_activation] = cut.store_constants(c);
        let [derivative, saved_input] = c.input.load_constants();
        let constants = [
            ("LANES_POSITIONS", LANES_POSITIONS),
            ("LANES_ROWS", staging.tile.lanes_rows),
            ("TILE_ROWS", staging.tile.rows),
            ("TILE_POSITIONS", staging.tile.positions),
            ("IN_STEP", if c.in_step <= MOST_CONSTANT_STEP { c.in_step.unsigned_abs() } else { 0 }),
            ("ACCUMULATE", cut.accumulate.into()),
            mode,
            repeated,
            activation,
            residual,
            pre_activation,
            derivative,
            saved_input,
        ];
        let [residual, pre_activation] = cut.store_bindings(c, store_params!(TiledParams));
        let bindings = vec![
            phases.clone(),
            Binding::new(c.input.operand, cut.input, offset_of!(TiledParams, in_base)),
            packed,
            Binding::bias(cut.bias, offset_of!(TiledParams, bias_base), offset_of!(TiledParams, has_bias)),
            Binding::new(c.output, cut.output, offset_of!(TiledParams, out_base)),
            residual,
            pre_activation,
            c.input.saved_binding(cut.input, offset_of!(TiledParams, saved_base)),
        ];
        builder.dispatch(&TILED, &constants, workgroups, bindings, |workgroups| {
            bytemuck::bytes_of(&TiledParams {
                workgroups,
                batch: cut.piece.batch(),
                groups: cut.piece.groups(),
                rows: cut.piece.rows(),
                row_tiles,
                depth: cut.piece.depth(),
                phases: c.phases.len() as u32,
                stage_depth: staging.depth,
                stage_taps: staging.taps,
                stage_samples: staging.samples,
                position_first: j.start,
                position_end: j.end,
                position_tiles,
                in_base: cut.input.base(c.input_row(n.start, g.start, q.start)),
                in_batch: c.groups * c.depth * c.in_length,
                in_group: c.depth * c.in_length,
                in_length: c.in_length,
                touched_first: cut.touched.start as i32,
                touched: (cut.touched.end - cut.touched.start) as u32,
                in_step: c.in_step.unsigned_abs(),
                tap_step: c.tap_step,
                bias_base: cut.bias.base(u64::from(g.start) * u64::from(c.rows) + u64::from(r.start)),
                bias_group: c.rows,
                has_bias: 0,
                out_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                out_batch: c.groups * c.rows * c.out_length,
                out_group: c.rows * c.out_length,
                out_row: c.out_length,
                out_step: c.out_step,
                fill,
                residual_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                pre_activation_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                has_pre_activation: 0,
                saved_base: cut.input.base(c.input_row(n.start, g.start, q.start)),
                slope: c.slope(),
            })
            .to_vec()
        })?;
    }
    Ok(())
}
