//! `window`: samples staged in workgroup memory, slid through registers past the taps; packed weights at addresses that all
//! invocations share.

use super::epilogue::store_params;
use super::pack;
use super::params::params;
use super::pieces::{self, CorrelatePiece, Limits, Piece};
use super::predict::Work;
use super::program::{Binding, Builder, Source};
use super::walk::MAX_BLOCK;
use super::{Kernel, Prediction, Tile, extension};
use crate::caps::{Caps, Speed};
use crate::error::{Error, Result};
use crate::lowering::{Correlate, Phase, Slot, Stage, gcd};
use std::mem::offset_of;

static WINDOW: Source =
    Source { name: "window", wgsl: include_str!("../../shaders/window.wgsl"), params: WindowParams::FIELDS };

params! {
    /// `Params` of `window.wgsl`.
    WindowParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, phases: u32,
        position_first: u32, position_end: u32, spacing: u32, blocks: u32, between_blocks: u32, width_shift: u32,
        stage_runs: u32, stage_taps: u32, stage_samples: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        in_step: i32, tap_step: i32, reversed: u32, tap_back: i32, period: u32,
        bias_base: u32, bias_group: u32, has_bias: u32,
        out_base: u32, out_batch: u32, out_group: u32, out_row: u32, out_step: u32, fill: f32,
        residual_base: u32, pre_activation_base: u32, has_pre_activation: u32, saved_base: u32, slope: f32,
    }
}

/// Invocations of a workgroup.
const LANES: u32 = 64;

/// Samples that are staged at once: `STAGED` of the shader.
const STAGED: u32 = 2048;

/// Runs of taps that are staged at once at most: more save no barrier that matters.
const MOST_RUNS: u32 = 16;

/// Taps that the sums are unrolled over at most.
const MOST_UNROLLED: u32 = 5;

/// Why a stage has no tiles.
const TOO_FAR: &str = "the positions that share samples are too far apart, or the workgroup memory is too small";

/// What a GPU's compiler makes of the first, with three taps: of 360 issued instructions of the loop over taps 336 are
/// multiply-adds, 132 registers, nothing spilled, 8 waves (RDNA 3; on RDNA 2 of 359, 128 registers, 8 waves); with four taps of a
/// longer kernel 448 of 487 (and of 484). Mesa's RADV, 2026-11-21. Of as many sums, more rows stage fewer samples for each.
const TILES: [Tile; 2] =
    [Tile { rows: 16, positions: 7, lanes_rows: 1 }, Tile { rows: 1, positions: 15, lanes_rows: 1 }];

#[derive(Debug)]
pub(crate) struct SlidingWindow;

impl Kernel for SlidingWindow {
    fn name(&self) -> &'static str {
        "window"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&WINDOW, &pack::PACK]
    }

    fn tiles(&self, stage: &Stage, caps: &Caps) -> Result<Vec<Tile>, String> {
        let Stage::Correlate(c) = stage else { return Err("it only correlates".into()) };
        let fits = |tile: &Tile| Staging::new(c, *tile).is_some();
        let tiles: Vec<Tile> = TILES.into_iter().filter(fits).collect();
        if tiles.is_empty() || caps.max_workgroup_bytes < STAGED * 4 {
            return Err(TOO_FAR.into());
        }
        Ok(tiles)
    }

    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction {
        let Stage::Correlate(c) = stage else { return Prediction::NEVER };
        Staging::new(c, tile).map_or(Prediction::NEVER, |staging| staging.predict(c, &caps.speed()))
    }

    fn emit(&self, stage: &Stage, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
        match stage {
            Stage::Correlate(c) => emit(c, tile, builder),
            _ => Ok(()),
        }
    }
}

/// How positions and taps are walked over, and what a workgroup stages of the samples at once.
///
/// Output position `j` reads input position `j*stride + t*dilation` for tap `t`. Positions `dilation/gcd` apart (the spacing)
/// share samples, for taps `stride/gcd` apart (the period): the taps of one residue modulo the period are a run, through which the
/// samples of a tile's positions shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Staging {
    tile: Tile,
    spacing: u32,
    period: u32,
    /// Logarithm of the number of neighbouring positions that go to neighbouring invocations: a power of two, at most the spacing.
    width_shift: u32,
    runs: u32,
    taps: u32,
    /// Samples of a run.
    samples: u32,
    /// Taps that the sums are unrolled over, and whether they are all of a run, or leave some over.
    unrolled: u32,
    whole: bool,
    rest: bool,
}

impl Staging {
    /// `None` where positions that share samples are too far apart.
    fn new(c: &Correlate, tile: Tile) -> Option<Self> {
        let (in_step, tap_step) = (c.in_step.unsigned_abs(), c.tap_step.unsigned_abs());
        let common = gcd(in_step, tap_step);
        // One tap shares no samples: its positions are neighbours.
        let (spacing, period) = if c.max_taps() <= 1 { (1, 1) } else { (tap_step / common, in_step / common) };
        let width_shift = spacing.min(LANES).ilog2();
        let along = LANES >> width_shift;
        let block = u64::from(along * tile.positions).saturating_mul(u64::from(spacing) * u64::from(in_step));
        if block > MAX_BLOCK {
            return None;
        }
        // The lengths of all runs: those of a phase differ by one at most.
        let length = |p: &Phase, first: u32| (p.taps - 1 - first) / period + 1;
        let ends = |p: &Phase| [length(p, 0), length(p, period.min(p.taps) - 1)];
        let lengths: Vec<u32> = c.phases.iter().filter(|p| p.taps > 0).flat_map(ends).collect();
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let whole = longest <= MOST_UNROLLED && lengths.iter().all(|&l| l == longest);
        let divides = |u: &u32| lengths.iter().all(|l| l.is_multiple_of(*u));
        let unrolled = if whole { longest } else { [4, 5, 3].into_iter().find(divides).unwrap_or(4) };
        let rest = !divides(&unrolled);

        let positions = along * tile.positions;
        let most = (STAGED >> width_shift).checked_sub(positions)? + 1;
        let taps = if longest <= most { longest } else { most / unrolled * unrolled };
        let samples = (positions + taps.max(1) - 1) << width_shift;
        let runs = (STAGED / samples).min(MOST_RUNS);
        (taps > 0).then_some(Staging { tile, spacing, period, width_shift, runs, taps, samples, unrolled, whole, rest })
    }

    /// Blocks of so many positions of a row: along the spacing, and between positions that are it apart.
    fn blocks(&self, positions: u32) -> [u32; 2] {
        let along = (LANES >> self.width_shift) * self.tile.positions;
        let between = self.spacing.div_ceil(1 << self.width_shift);
        [positions.div_ceil(self.spacing).div_ceil(along), between.min(positions.div_ceil(1 << self.width_shift))]
    }

    fn predict(&self, c: &Correlate, speed: &Speed) -> Prediction {
        let [along, between] = self.blocks(c.positions());
        let Tile { rows, positions, .. } = self.tile;
        let blocks = f64::from(along) * f64::from(between) * f64::from(c.batch) * c.phases.len() as f64;
        let workgroups = blocks * f64::from(c.rows.div_ceil(rows)) * f64::from(c.groups);
        let lanes = workgroups * f64::from(LANES);
        let busy = speed.busy(lanes, rows * positions);
        let taps: f64 = c.phases.iter().map(|p| f64::from(p.taps)).sum::<f64>() / c.phases.len().max(1) as f64;
        let runs = f64::from(self.period).min(taps);
        let (sums, positions) = (f64::from(rows * positions), f64::from(positions));
        // Of every tap: the sums, its weights and a sample; of every run: the first samples, and staging all of them.
        let tap = f64::from(rows.div_ceil(4)) * speed.uniform_load + speed.staged_load;
        let chunks = (taps / runs.max(1.0) / f64::from(self.taps)).ceil();
        let staged = f64::from(self.samples) / f64::from(LANES);
        let run = chunks * (positions * speed.staged_load + staged * (speed.load + speed.staged_load));
        let all = lanes * f64::from(c.depth);
        let work = Work {
            sums: all * taps * sums,
            loads: all * (taps * tap + runs * run),
            stores: lanes * sums * (speed.store + 2.0 * speed.staged_load),
            packing: 0.0,
            dispatches: 2.0,
            busy,
        };
        work.on(speed)
    }

    /// Iterations of all loops of an invocation that sums over so many input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let Tile { rows, positions, .. } = self.tile;
        let runs = u64::from(self.period.min(c.max_taps()));
        let chunks = u64::from(c.max_taps().div_ceil(self.period).div_ceil(self.taps));
        let run = u64::from(4 + self.samples.div_ceil(LANES) + positions);
        let tap = u64::from(3 + rows.div_ceil(4) * (1 + rows.min(4) * (1 + positions)) + positions);
        u64::from(depth) * (1 + runs * chunks * run + u64::from(c.max_taps()) * tap)
    }
}

fn emit(c: &Correlate, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let Some(staging) = Staging::new(c, tile) else { return Ok(()) };
    let limits = Limits {
        max_window: builder.caps.max_window(),
        max_iterations: builder.caps.max_iterations,
        iterations: &|c, depth| Staging::new(c, tile).unwrap_or(staging).iterations(c, depth),
        staged: None,
    };
    for slice in pieces::correlate(c, limits)? {
        // Taps that were cut have runs of other lengths.
        let staging = Staging::new(&slice.correlate, tile);
        let staging = staging.ok_or_else(|| Error::Unsupported { kernel: "window", reason: TOO_FAR.into() })?;
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
            pack::emit(c, &cut.piece, cut.weight, staging.tile.rows, &phases, builder)?;
            packed_for = Some(key);
        }
        let packed = Binding::whole(Slot::Packed, pack::length(c, &cut.piece, staging.tile.rows));
        let row_tiles = cut.piece.rows().div_ceil(staging.tile.rows);
        let [blocks, between_blocks] = staging.blocks(cut.piece.positions());
        let workgroups = u64::from(row_tiles)
            * u64::from(blocks)
            * u64::from(between_blocks)
            * u64::from(cut.piece.batch())
            * c.phases.len() as u64
            * u64::from(cut.piece.groups());
        let [activation, residual, pre_activation] = cut.store_constants(c);
        let [derivative, saved_input] = c.input.load_constants();
        let constants = [
            ("TILE_ROWS", staging.tile.rows),
            ("TILE_POSITIONS", staging.tile.positions),
            ("UNROLLED", staging.unrolled),
            ("WHOLE", staging.whole.into()),
            ("REST", staging.rest.into()),
            ("ADJACENT", (staging.width_shift == 0).into()),
            ("ACCUMULATE", cut.accumulate.into()),
            mode,
            repeated,
            activation,
            residual,
            pre_activation,
            derivative,
            saved_input,
        ];
        let [residual, pre_activation] = cut.store_bindings(c, store_params!(WindowParams));
        let bindings = vec![
            phases.clone(),
            Binding::new(c.input.operand, cut.input, offset_of!(WindowParams, in_base)),
            packed,
            Binding::bias(cut.bias, offset_of!(WindowParams, bias_base), offset_of!(WindowParams, has_bias)),
            Binding::new(c.output, cut.output, offset_of!(WindowParams, out_base)),
            residual,
            pre_activation,
            c.input.saved_binding(cut.input, offset_of!(WindowParams, saved_base)),
        ];
        builder.dispatch(&WINDOW, &constants, workgroups, bindings, |workgroups| {
            bytemuck::bytes_of(&WindowParams {
                workgroups,
                batch: cut.piece.batch(),
                groups: cut.piece.groups(),
                rows: cut.piece.rows(),
                row_tiles,
                depth: cut.piece.depth(),
                phases: c.phases.len() as u32,
                position_first: j.start,
                position_end: j.end,
                spacing: staging.spacing,
                blocks,
                between_blocks,
                width_shift: staging.width_shift,
                stage_runs: staging.runs,
                stage_taps: staging.taps,
                stage_samples: staging.samples,
                in_base: cut.input.base(c.input_row(n.start, g.start, q.start)),
                in_batch: c.groups * c.depth * c.in_length,
                in_group: c.depth * c.in_length,
                in_length: c.in_length,
                touched_first: cut.touched.start as i32,
                touched: (cut.touched.end - cut.touched.start) as u32,
                in_step: c.in_step,
                tap_step: c.tap_step.abs(),
                reversed: (c.tap_step < 0).into(),
                tap_back: c.tap_step.min(0),
                period: staging.period,
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
