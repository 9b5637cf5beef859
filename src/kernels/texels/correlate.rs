//! Correlation from textures.

use super::staging::{Rows, Staging};
use super::{LANES, Readers, TEXEL, readers, texels};
use crate::caps::Speed;
use crate::error::Result;
use crate::kernels::Tile;
use crate::kernels::epilogue::store_params;
use crate::kernels::params::params;
use crate::kernels::pieces::{self, CorrelatePiece, Limits, Piece, Staged};
use crate::kernels::predict::{Prediction, Work};
use crate::kernels::program::{Binding, Builder, Source};
use crate::kernels::walk::Walk;
use crate::lowering::{Correlate, Phase, Slot, WEIGHT, gcd};
use std::mem::offset_of;

pub(super) static TEXELS: Readers = readers!("texels", TexelsParams::FIELDS);
pub(super) static WEIGHTS: Source = Source {
    name: "texels_weight",
    wgsl: include_str!("../../../shaders/texels_weight.wgsl"),
    params: WeightParams::FIELDS,
};

params! {
    /// `Params` of `texels.wgsl`.
    TexelsParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, row_workgroups: u32, phases: u32,
        position_first: u32, position_end: u32, spacing: u32, position_tiles: u32, position_workgroups: u32,
        units: u32, full_units: u32, unit_taps: u32, period: u32,
        unit_texels: u32, texel_first: i32, texel_step: u32, position_texels: u32, neighbour_texels: u32, tap_texels: u32,
        tap_back: i32, steps: u32, bias_base: u32, bias_group: u32, has_bias: u32,
        out_base: u32, out_batch: u32, out_group: u32, out_row: u32, out_step: u32,
        residual_base: u32, pre_activation_base: u32, has_pre_activation: u32, slope: f32,
    }
}

params! {
    /// `Params` of `texels_weight.wgsl`.
    WeightParams {
        workgroups: u32, phase_workgroups: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32,
        units: u32, full_units: u32, unit_taps: u32, steps: u32, reversed: u32, tap_stride: u32,
        w_base: u32, w_group: u32, w_row: u32, w_depth: u32,
    }
}

/// What a run of taps costs for each sum, in multiply-adds, and how much slower the body of a loop runs that loads all samples
/// of a tile of so many sums. On llvmpipe (Mesa 22.3.6, two threads of an AMD EPYC, 2026-11-21) a step of a run took 277 ns
/// in tiles of 8 x 16 and the run itself 600; a step without shifts 235 ns in tiles of 8 x 8, and 800 in tiles of 8 x 16,
/// whose 3,000 instructions no longer fit what the processor keeps decoded.
const RUN: f64 = 5.5;
const LARGE_BODY: f64 = 128.0;
const LARGE_BODY_SLOWDOWN: f64 = 1.6;

/// Tiles of 8 x 16 take llvmpipe a second to compile, and larger ones more than they win.
pub(super) const TILES: [Tile; 8] = [
    Tile { rows: 8, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 16, lanes_rows: 1 },
    Tile { rows: 8, positions: 8, lanes_rows: 1 },
    Tile { rows: 1, positions: 16, lanes_rows: 1 },
    Tile { rows: 2, positions: 16, lanes_rows: 1 },
    Tile { rows: 4, positions: 8, lanes_rows: 1 },
    // Few positions, many rows.
    Tile { rows: 8, positions: 4, lanes_rows: 8 },
    Tile { rows: 1, positions: 1, lanes_rows: 1 },
];

/// How the operands of a correlation lie in textures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    tile: Tile,
    /// Whether a texel holds four taps of an input row; otherwise four input rows.
    texel_taps: bool,
    /// Input positions from one texel to the next, and from one texel of taps to the next.
    texel_step: u32,
    tap_step: u32,
    walk: Walk,
}

/// Rows of texels that an output row sums over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    /// Those with all taps, and all of them.
    full: u32,
    all: u32,
    /// Texels of taps of a full unit, where a texel holds taps.
    taps: u32,
    /// Taps of the others.
    last_taps: u32,
    /// Texels of weights of an output row, all phases together.
    steps: u64,
}

impl Layout {
    fn new(c: &Correlate, tile: Tile, texel_taps: bool, walk: Walk) -> Self {
        let in_step = c.in_step.unsigned_abs();
        let texel = if texel_taps { TEXEL } else { 1 };
        let tap_step = c.tap_step.unsigned_abs().saturating_mul(texel);
        let common = gcd(in_step, tap_step);
        let texel_step = if c.max_taps() <= texel { in_step } else { common };
        Layout { tile, texel_taps, texel_step, tap_step, walk }
    }

    /// The layout that is fastest for a tile, and its prediction.
    pub(super) fn fastest(c: &Correlate, tile: Tile, speed: &Speed) -> (Self, Prediction) {
        let mut best: Option<(Self, Prediction)> = None;
        for texel_taps in [false, true] {
            // Phases differ in their taps, and so in which of them would share a texel.
            if texel_taps && c.phases.len() > 1 {
                continue;
            }
            let texel = if texel_taps { TEXEL } else { 1 };
            let (in_step, tap_step) = (c.in_step.unsigned_abs(), c.tap_step.unsigned_abs().saturating_mul(texel));
            let layout = |walk: &Walk| Layout::new(c, tile, texel_taps, *walk);
            let taps = c.max_taps().div_ceil(texel);
            let (walk, predicted) =
                Walk::fastest(in_step, tap_step, tile, taps, None, |walk| layout(walk).predict(c, speed));
            if best.is_none_or(|(_, least)| predicted.seconds() < least.seconds()) {
                best = Some((layout(&walk), predicted));
            }
        }
        best.unwrap_or_else(|| (Layout::new(c, tile, false, Walk::plain(tile)), Prediction::NEVER))
    }

    fn units(&self, c: &Correlate, depth: u32) -> Units {
        let all_taps: u64 = c.phases.iter().map(|p| u64::from(p.taps)).sum();
        if !self.texel_taps {
            let units = depth.div_ceil(TEXEL);
            return Units { full: units, all: units, taps: 0, last_taps: 0, steps: u64::from(units) * all_taps };
        }
        let (taps, last_taps) = (c.max_taps() / TEXEL, c.max_taps() % TEXEL);
        let full = if taps > 0 { depth } else { 0 };
        let last = if last_taps > 0 { depth } else { 0 };
        let steps = u64::from(full) * u64::from(taps) + u64::from(last);
        Units { full, all: full + last, taps, last_taps, steps }
    }

    /// Lowest input position that a phase reads for the first output of its row.
    fn lowest(c: &Correlate, phase: &Phase) -> i64 {
        i64::from(phase.in_first) + i64::from(phase.taps.saturating_sub(1)) * i64::from(c.tap_step.min(0))
    }

    /// The lowest of all phases that have taps.
    fn first(c: &Correlate) -> i64 {
        c.phases.iter().filter(|p| p.taps > 0).map(|p| Layout::lowest(c, p)).min().unwrap_or(0)
    }

    /// Texels of a unit that serves so many positions: whole tiles of them.
    fn unit_texels(&self, c: &Correlate, positions: u32) -> u64 {
        let whole = self.walk.position_tiles(positions) * u64::from(self.tile.positions);
        let last_position = whole.saturating_sub(1) * u64::from(c.in_step.unsigned_abs() / self.texel_step);
        let first = Layout::first(c);
        let texel = if self.texel_taps { TEXEL } else { 1 };
        let reach = |phase: &Phase| {
            let offset = (Layout::lowest(c, phase) - first) as u64 / u64::from(self.texel_step);
            let taps = u64::from((phase.taps / texel).max(1) - 1);
            offset + taps * u64::from(self.tap_step / self.texel_step)
        };
        let reach = c.phases.iter().filter(|p| p.taps > 0).map(reach).max().unwrap_or(0);
        last_position + reach + 1
    }

    /// Texels of the input of a piece.
    fn input_texels(&self, c: &Correlate, piece: &Piece) -> u64 {
        let rows = u64::from(piece.batch()) * u64::from(piece.groups()) * u64::from(self.units(c, piece.depth()).all);
        rows.saturating_mul(self.unit_texels(c, piece.positions()))
    }

    fn weight_texels(&self, c: &Correlate, piece: &Piece) -> u64 {
        let rows = u64::from(piece.groups()) * u64::from(piece.rows().next_multiple_of(self.tile.rows));
        rows * self.units(c, piece.depth()).steps
    }

    /// Iterations of all loops of an invocation that sums over so many input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let units = self.units(c, depth);
        let taps = u64::from(if self.texel_taps { units.taps.max(1) } else { c.max_taps() });
        let Tile { rows, positions, .. } = self.tile;
        let runs = if self.walk.shifted { u64::from(self.walk.period).min(taps) } else { 0 };
        let tap = u64::from(2 + positions + rows * (1 + positions));
        u64::from(units.all) * (runs * u64::from(1 + positions) + taps * tap)
    }

    fn predict(&self, c: &Correlate, speed: &Speed) -> Prediction {
        let Tile { rows, positions, lanes_rows } = self.tile;
        let units = self.units(c, c.depth);
        let whole = Piece { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions() };
        let texel = if self.texel_taps { TEXEL } else { 1 };
        let taps = c.max_taps().div_ceil(texel);
        let sums = f64::from(rows * positions);
        let mut step_sums = f64::from(TEXEL) * sums;
        let mut step_loads = (f64::from(rows) + self.walk.samples(positions, taps)) * speed.texel_load;
        if self.walk.shifted {
            step_sums += self.walk.runs(taps) * sums * RUN;
        } else if sums >= LARGE_BODY {
            step_sums *= LARGE_BODY_SLOWDOWN;
            step_loads *= LARGE_BODY_SLOWDOWN;
        }
        let tiles = (u64::from(c.batch) * self.walk.position_tiles(c.positions())) as f64;
        let lanes = (tiles / f64::from(LANES / lanes_rows)).ceil() * f64::from(LANES / lanes_rows);
        let row_tiles = f64::from(c.rows.div_ceil(rows * lanes_rows) * lanes_rows) * f64::from(c.groups);
        let busy = speed.busy(lanes * row_tiles * c.phases.len() as f64, rows * positions);
        let steps = lanes * row_tiles * units.steps as f64;
        let staged = self.input_texels(c, &whole).saturating_add(self.weight_texels(c, &whole)) as f64;
        let work = Work {
            sums: steps * step_sums,
            loads: steps * step_loads,
            stores: lanes * row_tiles * c.phases.len() as f64 * sums * speed.store,
            packing: staged * (f64::from(TEXEL) * speed.load + speed.texel_load),
            dispatches: 3.0,
            busy,
        };
        work.on(speed)
    }
}

pub(super) fn emit(c: &Correlate, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let (layout, _) = Layout::fastest(c, tile, &builder.caps.speed());
    // Half of what is left for the input, so that the weight has room.
    let room = builder.available(Slot::InputTexels) / 2;
    let amount = |piece: &Piece| layout.input_texels(c, piece);
    let limits = Limits {
        max_window: builder.caps.max_window(),
        max_iterations: builder.caps.max_iterations,
        iterations: &|c, depth| layout.iterations(c, depth),
        staged: Some(Staged { amount: &amount, limit: room }),
    };
    for slice in pieces::correlate(c, limits)? {
        emit_pieces(&slice.correlate, &slice.pieces, &layout, builder)?;
    }
    Ok(())
}

fn emit_pieces(c: &Correlate, pieces: &[CorrelatePiece], layout: &Layout, builder: &mut Builder<'_>) -> Result<()> {
    let phases = builder.phases(&c.phases)?;
    let mut packed_for = None;
    let mut staged_for = None;
    for cut in pieces {
        builder.count(cut.multiply_adds(c, |phase| phase.taps));
        let Piece { n, g, r, q, j } = &cut.piece;
        let key = (g.clone(), r.clone(), q.clone());
        if packed_for.as_ref() != Some(&key) {
            emit_weight(c, cut, layout, &phases, builder)?;
            packed_for = Some(key);
        }
        let key = (n.clone(), g.clone(), q.clone(), j.clone());
        if staged_for.as_ref() != Some(&key) {
            emit_input(c, cut, layout, builder)?;
            staged_for = Some(key);
        }
        emit_sums(c, cut, layout, &phases, builder)?;
    }
    Ok(())
}

fn emit_input(c: &Correlate, cut: &CorrelatePiece, layout: &Layout, builder: &mut Builder<'_>) -> Result<()> {
    let Piece { n, g, q, j, .. } = &cut.piece;
    let units = layout.units(c, cut.piece.depth());
    let staging = Staging {
        slot: Slot::InputTexels,
        rows: Rows {
            read: c.input,
            window: cut.input,
            touched: cut.touched.clone(),
            first: c.input_row(n.start, g.start, q.start),
            groups: c.groups,
            channels: c.depth,
            length: c.in_length,
            extension: c.extension,
        },
        batch: cut.piece.batch(),
        groups: cut.piece.groups(),
        channels: cut.piece.depth(),
        texel_taps: layout.texel_taps,
        units: units.all,
        full_units: units.full,
        unit_texels: layout.unit_texels(c, cut.piece.positions()),
        texel_first: Layout::first(c) + i64::from(j.start) * i64::from(c.in_step),
        texel_step: layout.texel_step,
        tap_step: c.tap_step.unsigned_abs(),
        last_tap: units.taps * TEXEL,
        last_taps: units.last_taps,
    };
    staging.emit(builder)
}

fn emit_weight(
    c: &Correlate,
    cut: &CorrelatePiece,
    layout: &Layout,
    phases: &Binding,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let Piece { g, r, q, .. } = &cut.piece;
    let units = layout.units(c, cut.piece.depth());
    let length = layout.weight_texels(c, &cut.piece).max(1);
    builder.reserve(Slot::FactorTexels, length)?;
    let row_tiles = cut.piece.rows().div_ceil(layout.tile.rows);
    let steps = texels(units.steps)?;
    let phase_steps = if layout.texel_taps { units.steps } else { u64::from(units.all) * u64::from(c.max_taps()) };
    let rows = u64::from(cut.piece.groups()) * u64::from(row_tiles) * u64::from(layout.tile.rows);
    let phase_workgroups = (rows * phase_steps).div_ceil(LANES.into());
    let bindings = vec![
        phases.clone(),
        Binding::new(WEIGHT, cut.weight, offset_of!(WeightParams, w_base)),
        Binding::written_texels(Slot::FactorTexels, length),
    ];
    let constants = [("TILE_ROWS", layout.tile.rows), ("TEXEL_TAPS", layout.texel_taps.into())];
    let workgroups = phase_workgroups * c.phases.len() as u64;
    builder.dispatch(&WEIGHTS, &constants, workgroups, bindings, |workgroups| {
        bytemuck::bytes_of(&WeightParams {
            workgroups,
            phase_workgroups: phase_workgroups as u32,
            groups: cut.piece.groups(),
            rows: cut.piece.rows(),
            row_tiles,
            depth: cut.piece.depth(),
            units: units.all,
            full_units: units.full,
            unit_taps: units.taps,
            steps,
            reversed: (c.tap_step < 0).into(),
            tap_stride: c.tap_stride,
            w_base: cut.weight.base(c.weight_at(g.start, r.start, q.start)),
            w_group: c.w_group,
            w_row: c.w_row,
            w_depth: c.w_depth,
        })
        .to_vec()
    })?;
    if workgroups > 0 {
        builder.last_packs_weight();
    }
    Ok(())
}

fn emit_sums(
    c: &Correlate,
    cut: &CorrelatePiece,
    layout: &Layout,
    phases: &Binding,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let Piece { n, g, r, j, .. } = &cut.piece;
    let tile = layout.tile;
    let units = layout.units(c, cut.piece.depth());
    let lanes_positions = LANES / tile.lanes_rows;
    let position_tiles = layout.walk.position_tiles(cut.piece.positions());
    let position_workgroups = (u64::from(cut.piece.batch()) * position_tiles).div_ceil(lanes_positions.into());
    let row_tiles = cut.piece.rows().div_ceil(tile.rows);
    let row_workgroups = row_tiles.div_ceil(tile.lanes_rows);
    let workgroups =
        position_workgroups * c.phases.len() as u64 * u64::from(row_workgroups) * u64::from(cut.piece.groups());
    let [activation, residual, pre_activation] = cut.store_constants(c);
    let constants = [
        ("LANES_POSITIONS", lanes_positions),
        ("LANES_ROWS", tile.lanes_rows),
        ("TILE_ROWS", tile.rows),
        ("TILE_POSITIONS", tile.positions),
        ("SHIFTED", layout.walk.shifted.into()),
        ("TEXEL_TAPS", layout.texel_taps.into()),
        ("ACCUMULATE", cut.accumulate.into()),
        activation,
        residual,
        pre_activation,
    ];
    let [residual, pre_activation] = cut.store_bindings(c, store_params!(TexelsParams));
    let bindings = vec![
        phases.clone(),
        Binding::whole(Slot::InputTexels, layout.input_texels(c, &cut.piece).max(1)),
        Binding::whole(Slot::FactorTexels, layout.weight_texels(c, &cut.piece).max(1)),
        Binding::bias(cut.bias, offset_of!(TexelsParams, bias_base), offset_of!(TexelsParams, has_bias)),
        Binding::new(c.output, cut.output, offset_of!(TexelsParams, out_base)),
        residual,
        pre_activation,
    ];
    let steps = texels(units.steps)?;
    let unit_texels = texels(layout.unit_texels(c, cut.piece.positions()))?;
    let position_texels = c.in_step.unsigned_abs() / layout.texel_step;
    builder.dispatch(TEXELS.of(builder.caps), &constants, workgroups, bindings, |workgroups| {
        bytemuck::bytes_of(&TexelsParams {
            workgroups,
            batch: cut.piece.batch(),
            groups: cut.piece.groups(),
            rows: cut.piece.rows(),
            row_tiles,
            row_workgroups,
            phases: c.phases.len() as u32,
            position_first: j.start,
            position_end: j.end,
            spacing: layout.walk.spacing,
            position_tiles: position_tiles as u32,
            position_workgroups: position_workgroups as u32,
            units: units.all,
            full_units: units.full,
            unit_taps: units.taps,
            period: layout.walk.period,
            unit_texels,
            texel_first: Layout::first(c) as i32,
            texel_step: layout.texel_step,
            position_texels,
            neighbour_texels: position_texels * layout.walk.spacing,
            tap_texels: layout.tap_step / layout.texel_step,
            tap_back: c.tap_step.min(0),
            steps,
            bias_base: cut.bias.base(u64::from(g.start) * u64::from(c.rows) + u64::from(r.start)),
            bias_group: c.rows,
            has_bias: 0,
            out_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
            out_batch: c.groups * c.rows * c.out_length,
            out_group: c.rows * c.out_length,
            out_row: c.out_length,
            out_step: c.out_step,
            residual_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
            pre_activation_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
            has_pre_activation: 0,
            slope: c.slope(),
        })
        .to_vec()
    })
}
