//! `direct`: a register tile per invocation, any geometry, no workspace (but the partial sums of a split reduction).

use super::epilogue::store_params;
use super::params::params;
use super::pieces::{self, CorrelatePiece, Limits, Piece};
use super::predict::Work;
use super::program::{Binding, Builder, Source};
use super::reduce::Reduction;
use super::walk::Walk;
use super::{Kernel, Prediction, Tile, extension};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::lowering::{Contract, Correlate, Stage, WEIGHT};
use std::mem::offset_of;

static CORRELATE: Source =
    Source { name: "direct", wgsl: include_str!("../../shaders/direct.wgsl"), params: CorrelateParams::FIELDS };
static CONTRACT: Source =
    Source { name: "contract", wgsl: include_str!("../../shaders/contract.wgsl"), params: ContractParams::FIELDS };

params! {
    /// `Params` of `direct.wgsl`.
    CorrelateParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, phases: u32,
        position_first: u32, position_end: u32, spacing: u32, position_tiles: u32, position_workgroups: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        in_step: i32, tap_step: i32, reversed: u32, tap_back: i32, period: u32, tap_stride: u32,
        w_base: u32, w_group: u32, w_row: u32, w_depth: u32, bias_base: u32, bias_group: u32, has_bias: u32,
        out_base: u32, out_batch: u32, out_group: u32, out_row: u32, out_step: u32, fill: f32,
        residual_base: u32, pre_activation_base: u32, has_pre_activation: u32, saved_base: u32, slope: f32,
    }
}

params! {
    /// `Params` of `contract.wgsl`.
    ContractParams {
        workgroups: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, taps: u32, tap_tiles: u32,
        column_workgroups: u32, position_first: u32, positions: u32, spacing: u32, segments: u32, segment: u32,
        all_segments: u32, split_segments: u32, share_first: u32, share_end: u32,
        narrow_base: u32, narrow_batch: u32, narrow_group: u32, narrow_length: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        first: i32, stride: u32, dilation: u32,
        out_base: u32, out_split: u32, out_group: u32, out_row: u32, fill: f32, saved_base: u32, slope: f32,
    }
}

/// Invocations of a workgroup.
const LANES: u32 = 64;

const CORRELATE_TILES: [Tile; 9] = [
    Tile { rows: 8, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 16, lanes_rows: 1 },
    Tile { rows: 8, positions: 4, lanes_rows: 1 },
    Tile { rows: 4, positions: 4, lanes_rows: 1 },
    Tile { rows: 1, positions: 16, lanes_rows: 1 },
    Tile { rows: 1, positions: 4, lanes_rows: 1 },
    Tile { rows: 1, positions: 1, lanes_rows: 1 },
    // Few positions, many rows.
    Tile { rows: 4, positions: 1, lanes_rows: 8 },
    Tile { rows: 1, positions: 1, lanes_rows: 64 },
];

/// Output rows and taps.
const CONTRACT_TILES: [Tile; 6] = [
    Tile { rows: 8, positions: 1, lanes_rows: 1 },
    Tile { rows: 4, positions: 1, lanes_rows: 1 },
    Tile { rows: 4, positions: 4, lanes_rows: 1 },
    Tile { rows: 1, positions: 16, lanes_rows: 1 },
    Tile { rows: 1, positions: 4, lanes_rows: 1 },
    Tile { rows: 1, positions: 1, lanes_rows: 1 },
];

/// Elements between neighbouring invocations from which on each is in a sector of memory of its own (32 bytes).
const SCATTERED: u32 = 8;

/// Positions of a segment, at most: a split sums over whole ones, and shorter splits spend their time adding up partial sums.
const SEGMENT: u32 = 256;

#[derive(Debug)]
pub(crate) struct Direct;

impl Kernel for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&CORRELATE, &CONTRACT]
    }

    fn tiles(&self, stage: &Stage, _: &Caps) -> Result<Vec<Tile>, String> {
        match stage {
            Stage::Correlate(_) => Ok(CORRELATE_TILES.to_vec()),
            Stage::Contract(_) => Ok(CONTRACT_TILES.to_vec()),
            Stage::SumRows(_) | Stage::Fold(_) => Err("it does not add up rows".into()),
        }
    }

    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction {
        let speed = caps.speed();
        match stage {
            Stage::Correlate(c) => fastest(c, tile, &speed).1,
            Stage::Contract(c) => Segments::new(c, tile, c.positions).predict(c, tile, &speed),
            Stage::SumRows(_) | Stage::Fold(_) => Prediction::NEVER,
        }
    }

    fn emit(&self, stage: &Stage, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
        match stage {
            Stage::Correlate(c) => emit_correlate(c, tile, builder),
            Stage::Contract(c) => emit_contract(c, tile, builder),
            Stage::SumRows(_) | Stage::Fold(_) => Ok(()),
        }
    }
}

/// The walk that is fastest for a tile, and its prediction.
fn fastest(c: &Correlate, tile: Tile, speed: &Speed) -> (Walk, Prediction) {
    let in_step = c.in_step.unsigned_abs();
    let lanes_positions = LANES / tile.lanes_rows;
    Walk::fastest(in_step, c.tap_step.unsigned_abs(), tile, c.max_taps(), Some(lanes_positions), |walk| {
        let Tile { rows, positions, lanes_rows } = tile;
        let scattered = |distance: u32| if distance < SCATTERED { 1.0 } else { speed.scattered };
        let tiles = u64::from(c.batch) * walk.position_tiles(c.positions());
        let lanes = (tiles.div_ceil(lanes_positions.into()) * u64::from(lanes_positions)) as f64;
        let row_tiles = f64::from(c.rows.div_ceil(rows * lanes_rows) * lanes_rows) * f64::from(c.groups);
        let busy = speed.busy(lanes * row_tiles * c.phases.len() as f64, rows * positions);
        let reach = reach(c, tile, walk);
        let taps: f64 = c.phases.iter().map(|p| f64::from(c.meeting_taps(p, reach))).sum();
        let sums = f64::from(rows * positions);
        // Every tap: its sums, its samples, and a weight for each row.
        let samples = walk.samples(positions, c.max_taps());
        let load = speed.load * scattered(walk.distance(in_step));
        let taps = lanes * row_tiles * f64::from(c.depth) * taps;
        let store = speed.store * scattered(walk.distance(c.out_step));
        let work = Work {
            sums: taps * sums * speed.direct_sum,
            loads: taps * (samples * load + f64::from(rows) * speed.uniform_load),
            stores: lanes * row_tiles * c.phases.len() as f64 * sums * store,
            packing: 0.0,
            dispatches: 1.0,
            busy,
        };
        work.on(speed)
    })
}

/// Input positions from the first sample that a tile reads for a tap to the last.
fn reach(c: &Correlate, tile: Tile, walk: &Walk) -> u64 {
    u64::from(tile.positions - 1) * u64::from(walk.spacing) * u64::from(c.in_step.unsigned_abs())
}

fn emit_correlate(c: &Correlate, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let (walk, _) = fastest(c, tile, &builder.caps.speed());
    // Every tap: a sample for each position, and for each row its weight and a sum for each position; every run: samples.
    let iterations = u64::from(2 + 2 * tile.positions + tile.rows * (1 + tile.positions));
    let limits = Limits {
        max_window: builder.caps.max_window(),
        max_iterations: builder.caps.max_iterations,
        iterations: &|c, depth| {
            let meeting = c.phases.iter().map(|p| c.meeting_taps(p, reach(c, tile, &walk))).max().unwrap_or(0);
            u64::from(depth) * (u64::from(meeting) + 1) * iterations
        },
        staged: None,
    };
    for slice in pieces::correlate(c, limits)? {
        emit_pieces(&slice.correlate, &slice.pieces, tile, &walk, builder)?;
    }
    Ok(())
}

fn emit_pieces(
    c: &Correlate,
    pieces: &[CorrelatePiece],
    tile: Tile,
    walk: &Walk,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let phases = builder.phases(&c.phases)?;
    let ([mode, repeated], fill) = extension(c.extension);
    let lanes_positions = LANES / tile.lanes_rows;
    let reach = reach(c, tile, walk);
    let clamped = c.phases.iter().any(|p| c.meeting_taps(p, reach) < p.taps);
    for cut in pieces {
        builder.count(cut.multiply_adds(c, |p| c.meeting_taps(p, reach)));
        let [activation, residual, pre_activation] = cut.store_constants(c);
        let [derivative, saved_input] = c.input.load_constants();
        let constants = [
            ("LANES_POSITIONS", lanes_positions),
            ("LANES_ROWS", tile.lanes_rows),
            ("TILE_ROWS", tile.rows),
            ("TILE_POSITIONS", tile.positions),
            ("SHIFTED", walk.shifted.into()),
            ("CLAMPED", clamped.into()),
            ("ACCUMULATE", cut.accumulate.into()),
            mode,
            repeated,
            activation,
            residual,
            pre_activation,
            derivative,
            saved_input,
        ];
        let Piece { n, g, r, q, j } = &cut.piece;
        let position_tiles = walk.position_tiles(cut.piece.positions());
        let position_workgroups = (u64::from(cut.piece.batch()) * position_tiles).div_ceil(lanes_positions.into());
        let row_tiles = cut.piece.rows().div_ceil(tile.rows * tile.lanes_rows);
        let workgroups =
            position_workgroups * c.phases.len() as u64 * u64::from(row_tiles) * u64::from(cut.piece.groups());
        let [residual, pre_activation] = cut.store_bindings(c, store_params!(CorrelateParams));
        let bindings = vec![
            phases.clone(),
            Binding::new(c.input.operand, cut.input, offset_of!(CorrelateParams, in_base)),
            Binding::new(WEIGHT, cut.weight, offset_of!(CorrelateParams, w_base)),
            Binding::bias(cut.bias, offset_of!(CorrelateParams, bias_base), offset_of!(CorrelateParams, has_bias)),
            Binding::new(c.output, cut.output, offset_of!(CorrelateParams, out_base)),
            residual,
            pre_activation,
            c.input.saved_binding(cut.input, offset_of!(CorrelateParams, saved_base)),
        ];
        builder.dispatch(&CORRELATE, &constants, workgroups, bindings, |workgroups| {
            bytemuck::bytes_of(&CorrelateParams {
                workgroups,
                batch: cut.piece.batch(),
                groups: cut.piece.groups(),
                rows: cut.piece.rows(),
                row_tiles,
                depth: cut.piece.depth(),
                phases: c.phases.len() as u32,
                position_first: j.start,
                position_end: j.end,
                spacing: walk.spacing,
                position_tiles: position_tiles as u32,
                position_workgroups: position_workgroups as u32,
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
                period: walk.period,
                tap_stride: c.tap_stride,
                w_base: cut.weight.base(c.weight_at(g.start, r.start, q.start)),
                w_group: c.w_group,
                w_row: c.w_row,
                w_depth: c.w_depth,
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

/// How the positions of an item are walked over: in runs of those `spacing` apart, cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segments {
    /// Whether samples are shifted through the taps of a tile.
    shifted: bool,
    spacing: u32,
    /// Segments of a run, and positions of a segment.
    segments: u32,
    segment: u32,
}

impl Segments {
    fn new(c: &Contract, tile: Tile, positions: u32) -> Self {
        // The next position of a run reads what the neighbouring tap does where the dilation is so many strides.
        let spacing = c.dilation / c.stride;
        let shifted = tile.positions > 1
            && c.dilation.is_multiple_of(c.stride)
            && u64::from(positions) >= 2 * u64::from(tile.positions) * u64::from(spacing);
        let spacing = if shifted { spacing } else { 1 };
        let run = positions.div_ceil(spacing).max(1);
        let segments = run.div_ceil(SEGMENT);
        Segments { shifted, spacing, segments, segment: run.div_ceil(segments) }
    }

    /// Segments of so many items.
    fn count(&self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.spacing) * u64::from(self.segments)
    }

    fn predict(&self, c: &Contract, tile: Tile, speed: &Speed) -> Prediction {
        let columns = c.groups.saturating_mul(c.depth).saturating_mul(c.taps.div_ceil(tile.positions));
        let lanes = f64::from(columns.div_ceil(LANES)) * f64::from(LANES) * f64::from(c.rows.div_ceil(tile.rows));
        let sums = f64::from(tile.rows * tile.positions) * speed.direct_sum;
        // The samples of neighbouring taps are gathered lane by lane.
        let samples = if self.shifted {
            1.0 + f64::from(tile.positions - 1) / f64::from(self.segment)
        } else {
            f64::from(tile.positions)
        };
        let positions = lanes * f64::from(c.batch) * f64::from(c.meeting_positions(tile.positions));
        let work = Work {
            sums: positions * sums,
            loads: positions * (samples + f64::from(tile.rows)) * speed.load,
            stores: 0.0,
            packing: 0.0,
            dispatches: 2.0,
            // Splits keep the device busy where there are few sums.
            busy: speed.busy(lanes * self.count(c.batch) as f64, tile.rows * tile.positions),
        };
        work.on(speed)
    }
}

fn emit_contract(c: &Contract, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let max_window = builder.caps.max_window();
    let ([mode, repeated], fill) = extension(c.extension);
    // Every position: its samples, and for each row a sum for each tap; every segment: samples.
    let iterations = 1 + tile.positions + tile.rows * (1 + tile.positions);
    for parts in pieces::contract(c, max_window, max_window, None)? {
        let Some(Piece { g, r, q, .. }) = parts.first().map(|p| p.piece.clone()) else { continue };
        let row_tiles = (r.end - r.start).div_ceil(tile.rows);
        let tap_tiles = c.taps.div_ceil(tile.positions);
        let columns = u64::from(g.end - g.start) * u64::from(q.end - q.start) * u64::from(tap_tiles);
        let column_workgroups = columns.div_ceil(LANES.into());
        let invocations = (column_workgroups * u64::from(LANES) * u64::from(row_tiles)) as f64;
        let wanted = builder.caps.speed().splits(invocations, tile.rows * tile.positions);
        let all_segments = Segments::new(c, tile, c.positions).count(c.batch);
        let reduction = Reduction::new(c, &parts[0].piece, wanted.min(all_segments), builder)?;
        let mut accumulate = false;
        for part in &parts {
            let Piece { n, j, .. } = &part.piece;
            let walk = Segments::new(c, tile, part.piece.positions());
            let all_segments = walk.count(part.piece.batch()) as u32;
            let split_segments = all_segments.div_ceil(reduction.splits);
            let meeting = c.meeting_positions(tile.positions);
            let clamped = meeting < c.positions;
            builder.count(part.multiply_adds(c, meeting.min(part.piece.positions())));
            let segment_iterations = 1 + tile.positions + walk.segment * iterations;
            // Where few positions meet the wide side, all segments of a run have no more iterations than these.
            let runs = u64::from(split_segments.div_ceil(walk.segments) + 1);
            let met = runs * u64::from(meeting / walk.spacing + 1) * u64::from(iterations);
            let all = u64::from(split_segments) * u64::from(2 + tile.positions) + met;
            let share = if clamped && all <= builder.caps.max_iterations.into() {
                split_segments.max(1)
            } else {
                (builder.caps.max_iterations / segment_iterations).max(1)
            };
            // An empty sum is written too.
            for share_first in (0..split_segments.max(1)).step_by(share as usize) {
                let (gradient, gradient_window, saved_base) = c.gradient(part);
                let [derivative, saved_input] = gradient.load_constants();
                let constants = [
                    ("TILE_ROWS", tile.rows),
                    ("TILE_TAPS", tile.positions),
                    ("SHIFTED", walk.shifted.into()),
                    ("CLAMPED", clamped.into()),
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
                let workgroups = column_workgroups * u64::from(row_tiles) * u64::from(reduction.splits);
                builder.dispatch(&CONTRACT, &constants, workgroups, bindings, |workgroups| {
                    bytemuck::bytes_of(&ContractParams {
                        workgroups,
                        groups: part.piece.groups(),
                        rows: part.piece.rows(),
                        row_tiles,
                        depth: part.piece.depth(),
                        taps: c.taps,
                        tap_tiles,
                        column_workgroups: column_workgroups as u32,
                        position_first: j.start,
                        positions: part.piece.positions(),
                        spacing: walk.spacing,
                        segments: walk.segments,
                        segment: walk.segment,
                        all_segments,
                        split_segments,
                        share_first,
                        share_end: share_first.saturating_add(share).min(split_segments),
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
                    })
                    .to_vec()
                })?;
                accumulate = true;
            }
        }
        reduction.finish(builder)?;
    }
    Ok(())
}
