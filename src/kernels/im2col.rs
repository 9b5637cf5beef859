//! `im2col`: columns in a workspace of bounded size, slice by slice, and a matrix product over them.

use super::epilogue::store_params;
use super::pack;
use super::params::params;
use super::pieces::{self, CorrelatePiece, Limits, Piece};
use super::predict::Work;
use super::program::{Binding, Builder, Source, Window};
use super::reduce::Reduction;
use super::{Kernel, Prediction, Tile, extension, waste};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::Extension;
use crate::lowering::{Contract, Correlate, Phase, Read, Slot, Stage};
use std::mem::offset_of;
use std::ops::Range;

static IM2COL: Source =
    Source { name: "im2col", wgsl: include_str!("../../shaders/im2col.wgsl"), params: ColumnsParams::FIELDS };
static GEMM: Source =
    Source { name: "gemm", wgsl: include_str!("../../shaders/gemm.wgsl"), params: GemmParams::FIELDS };
static CONTRACT_GEMM: Source = Source {
    name: "contract_gemm",
    wgsl: include_str!("../../shaders/contract_gemm.wgsl"),
    params: ContractGemmParams::FIELDS,
};

params! {
    /// `Params` of `im2col.wgsl`.
    ColumnsParams {
        workgroups: u32, batch: u32, depth: u32, phases: u32, pair_first: u32, panel_first: u32, panels: u32,
        panel_rows: u32, panel_tiles: u32, position_first: u32, positions: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        in_step: i32, tap_step: i32, columns_base: u32,
        fill: f32, saved_base: u32, slope: f32,
    }
}

params! {
    /// `Params` of `gemm.wgsl`.
    GemmParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, phases: u32,
        pair_first: u32, panel_first: u32, panels: u32, panel_rows: u32, position_first: u32, positions: u32,
        packed_base: u32, columns_base: u32, bias_base: u32, bias_group: u32, has_bias: u32,
        out_base: u32, out_batch: u32, out_group: u32, out_row: u32, out_step: u32, accumulate: u32,
        residual_base: u32, pre_activation_base: u32, has_pre_activation: u32, slope: f32,
    }
}

params! {
    /// `Params` of `contract_gemm.wgsl`.
    ContractGemmParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, taps: u32, column_tiles: u32,
        group_first: u32, panel_first: u32, panels: u32, split_panels: u32, share_first: u32, share_end: u32, panel_rows: u32,
        position_first: u32, positions: u32,
        narrow_base: u32, narrow_batch: u32, narrow_group: u32, narrow_length: u32, columns_base: u32,
        out_base: u32, out_split: u32, out_group: u32, out_row: u32, accumulate: u32, saved_base: u32, slope: f32,
    }
}

/// Positions of a column panel: `PANEL` of the shaders.
const PANEL: u32 = 64;
/// Panel rows that a workgroup of `im2col.wgsl` writes: its `TILE_DEPTH`.
const TILE_DEPTH: u32 = 8;
/// Panel rows that `gemm.wgsl` stages at once: its `DEPTH`.
const DEPTH: u32 = 16;
/// Invocations of the matrix products along rows: their `LANES`.
const LANES: u32 = 8;
/// (depth, tap) pairs of a workgroup of `contract_gemm.wgsl`: its `COLUMNS`.
const COLUMNS: u32 = 32;
/// Iterations of the matrix products for each staged row but those of its sums, at most.
const STAGING: u32 = 4;

const TILES: [Tile; 2] = [Tile { rows: 4, positions: 8, lanes_rows: 8 }, Tile { rows: 1, positions: 8, lanes_rows: 8 }];

#[derive(Debug)]
pub(crate) struct Im2col;

impl Kernel for Im2col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&IM2COL, &pack::PACK, &GEMM, &CONTRACT_GEMM]
    }

    fn tiles(&self, stage: &Stage, _: &Caps) -> Result<Vec<Tile>, String> {
        match stage {
            Stage::Correlate(_) | Stage::Contract(_) => Ok(TILES.to_vec()),
            Stage::SumRows(_) | Stage::Fold(_) => Err("it does not add up rows".into()),
        }
    }

    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction {
        let speed = caps.speed();
        let sums = tile.rows * PANEL / LANES;
        // (columns written and read, rows of the product, multiply-adds, waste of the last panel, share of the device)
        let partial = |batch: u32, positions: u32| waste(batch.saturating_mul(positions).max(1), PANEL);
        let (columns, rows, work, partial, busy) = match stage {
            Stage::Correlate(c) => {
                let taps: f64 = c.phases.iter().map(|p| f64::from(p.count) * f64::from(p.taps)).sum();
                let outputs: f64 = c.phases.iter().map(|p| f64::from(p.count)).sum();
                let outputs = outputs * f64::from(c.batch) * f64::from(c.groups) * f64::from(c.rows);
                (
                    f64::from(c.batch) * f64::from(c.groups) * f64::from(c.depth) * taps,
                    c.rows,
                    c.work(),
                    partial(c.batch, c.positions()),
                    speed.busy(outputs / f64::from(sums), sums),
                )
            }
            Stage::Contract(c) => (c.work() / f64::from(c.rows), c.rows, c.work(), partial(c.batch, c.positions), 1.0),
            Stage::SumRows(_) | Stage::Fold(_) => return Prediction::NEVER,
        };
        let sums = work * waste(rows, tile.rows * LANES) * partial;
        let work = Work {
            sums,
            loads: sums * speed.staged_load * (1.0 / f64::from(tile.rows) + 1.0 / f64::from(tile.positions)),
            stores: 0.0,
            packing: columns * partial * 8.0 / speed.bandwidth * speed.multiply_adds,
            dispatches: 3.0,
            busy,
        };
        work.on(&speed)
    }

    fn emit(&self, stage: &Stage, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
        match stage {
            Stage::Correlate(c) => emit_correlate(c, tile, builder),
            Stage::Contract(c) => emit_contract(c, tile, builder),
            Stage::SumRows(_) | Stage::Fold(_) => Ok(()),
        }
    }
}

/// Panels of `pairs` (group, phase) pairs that are in the workspace at the same time.
#[derive(Debug, Clone, Copy)]
struct Slice {
    pair_first: u32,
    pairs: u32,
    panel_first: u32,
    panels: u32,
}

impl Slice {
    fn units(&self) -> u64 {
        u64::from(self.pairs) * u64::from(self.panels)
    }
}

/// Cuts `pairs` with `panels` panels each into slices of at most `room` panels. The slices of a pair follow each other.
fn slices(pairs: u32, panels: u32, room: u64) -> Vec<Slice> {
    let panels_at_once = room.min(panels.into()).max(1) as u32;
    let pairs_at_once = (room / u64::from(panels.max(1))).clamp(1, pairs.into()) as u32;
    let mut slices = Vec::new();
    for pair_first in (0..pairs).step_by(pairs_at_once as usize) {
        let pairs = pairs_at_once.min(pairs - pair_first);
        for panel_first in (0..panels).step_by(panels_at_once as usize) {
            slices.push(Slice { pair_first, pairs, panel_first, panels: panels_at_once.min(panels - panel_first) });
        }
    }
    slices
}

/// Where columns are read from: the input of a correlation, or the wide side of a contraction as one.
#[derive(Debug)]
struct ColumnSource {
    input: Read,
    window: Window,
    in_base: u32,
    in_batch: u32,
    in_group: u32,
    in_length: u32,
    touched: Range<i64>,
    in_step: i32,
    tap_step: i32,
    extension: Extension,
    phases: Binding,
    phase_count: u32,
    max_taps: u32,
}

impl ColumnSource {
    fn panel_rows(&self, piece: &Piece) -> u32 {
        (piece.depth() * self.max_taps).next_multiple_of(DEPTH)
    }

    fn panels(piece: &Piece) -> u32 {
        (u64::from(piece.batch()) * u64::from(piece.positions())).div_ceil(PANEL.into()) as u32
    }

    /// Cuts the columns of a piece so that each slice fits the workspace.
    fn slices(&self, piece: &Piece, builder: &mut Builder<'_>) -> Result<Vec<Slice>> {
        let panel = u64::from(self.panel_rows(piece)) * u64::from(PANEL);
        let pairs = piece.groups() * self.phase_count;
        let panels = Self::panels(piece);
        if panel == 0 {
            return Ok(slices(pairs, panels, u64::MAX));
        }
        let room = builder.available(Slot::Columns) / panel;
        if room == 0 && panels > 0 {
            let limit = builder.available(Slot::Columns);
            return Err(Error::TooLarge { what: "elements of one panel of columns", value: panel, limit });
        }
        let slices = slices(pairs, panels, room);
        let largest = slices.iter().map(Slice::units).max().unwrap_or(0);
        builder.reserve(Slot::Columns, largest * panel)?;
        Ok(slices)
    }

    fn columns(&self, piece: &Piece, slice: &Slice, base: usize) -> Binding {
        let length = slice.units() * u64::from(self.panel_rows(piece)) * u64::from(PANEL);
        Binding::slot(Slot::Columns, Window::whole(length), base)
    }

    fn emit(&self, piece: &Piece, slice: &Slice, builder: &mut Builder<'_>) -> Result<()> {
        let ([mode, repeated], fill) = extension(self.extension);
        let panel_rows = self.panel_rows(piece);
        let panel_tiles = panel_rows.div_ceil(TILE_DEPTH);
        let bindings = vec![
            self.phases.clone(),
            Binding::new(self.input.operand, self.window, offset_of!(ColumnsParams, in_base)),
            self.columns(piece, slice, offset_of!(ColumnsParams, columns_base)),
            self.input.saved_binding(self.window, offset_of!(ColumnsParams, saved_base)),
        ];
        let [derivative, saved_input] = self.input.load_constants();
        let constants = [mode, repeated, derivative, saved_input];
        let workgroups = slice.units() * u64::from(panel_tiles);
        builder.dispatch(&IM2COL, &constants, workgroups, bindings, |workgroups| {
            bytemuck::bytes_of(&ColumnsParams {
                workgroups,
                batch: piece.batch(),
                depth: piece.depth(),
                phases: self.phase_count,
                pair_first: slice.pair_first,
                panel_first: slice.panel_first,
                panels: slice.panels,
                panel_rows,
                panel_tiles,
                position_first: piece.j.start,
                positions: piece.positions(),
                in_base: self.in_base,
                in_batch: self.in_batch,
                in_group: self.in_group,
                in_length: self.in_length,
                touched_first: self.touched.start as i32,
                touched: (self.touched.end - self.touched.start) as u32,
                in_step: self.in_step,
                tap_step: self.tap_step,
                columns_base: 0,
                fill,
                saved_base: self.in_base,
                slope: self.input.slope(),
            })
            .to_vec()
        })
    }
}

fn emit_correlate(c: &Correlate, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    // Every panel row: staging, and for each output row its weight and a sum for each of 8 positions.
    let iterations = u64::from(STAGING + (PANEL / LANES) + tile.rows * (1 + PANEL / LANES));
    let limits = Limits {
        max_window: builder.caps.max_window(),
        max_iterations: builder.caps.max_iterations,
        iterations: &|c, depth| u64::from(depth) * (u64::from(c.max_taps()) + 1) * iterations,
        staged: None,
    };
    for slice in pieces::correlate(c, limits)? {
        emit_pieces(&slice.correlate, &slice.pieces, tile, builder)?;
    }
    Ok(())
}

fn emit_pieces(c: &Correlate, pieces: &[CorrelatePiece], tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let phases = builder.phases(&c.phases)?;
    let mut packed_for = None;
    for cut in pieces {
        builder.count(cut.multiply_adds(c, |phase| phase.taps));
        let piece = &cut.piece;
        let Piece { n, g, r, q, j } = piece;
        // The packed weight serves all pieces that read the same part of it.
        let key = (g.clone(), r.clone(), q.clone());
        let packed = Window::whole(pack::length(c, piece, 1));
        if packed_for.as_ref() != Some(&key) {
            pack::emit(c, piece, cut.weight, 1, &phases, builder)?;
            packed_for = Some(key);
        }
        let source = ColumnSource {
            input: c.input,
            window: cut.input,
            in_base: cut.input.base(c.input_row(n.start, g.start, q.start)),
            in_batch: c.groups * c.depth * c.in_length,
            in_group: c.depth * c.in_length,
            in_length: c.in_length,
            touched: cut.touched.clone(),
            in_step: c.in_step,
            tap_step: c.tap_step,
            extension: c.extension,
            phases: phases.clone(),
            phase_count: c.phases.len() as u32,
            max_taps: c.max_taps(),
        };
        let row_tiles = piece.rows().div_ceil(tile.rows * LANES);
        for slice in source.slices(piece, builder)? {
            source.emit(piece, &slice, builder)?;
            let [activation, residual, pre_activation] = cut.store_constants(c);
            let constants = [("TILE_ROWS", tile.rows), activation, residual, pre_activation];
            let [residual, pre_activation] = cut.store_bindings(c, store_params!(GemmParams));
            let bindings = vec![
                phases.clone(),
                Binding::slot(Slot::Packed, packed, offset_of!(GemmParams, packed_base)),
                source.columns(piece, &slice, offset_of!(GemmParams, columns_base)),
                Binding::bias(cut.bias, offset_of!(GemmParams, bias_base), offset_of!(GemmParams, has_bias)),
                Binding::new(c.output, cut.output, offset_of!(GemmParams, out_base)),
                residual,
                pre_activation,
            ];
            let workgroups = slice.units() * u64::from(row_tiles);
            builder.dispatch(&GEMM, &constants, workgroups, bindings, |workgroups| {
                bytemuck::bytes_of(&GemmParams {
                    workgroups,
                    batch: piece.batch(),
                    groups: piece.groups(),
                    rows: piece.rows(),
                    row_tiles,
                    depth: piece.depth(),
                    phases: c.phases.len() as u32,
                    pair_first: slice.pair_first,
                    panel_first: slice.panel_first,
                    panels: slice.panels,
                    panel_rows: source.panel_rows(piece),
                    position_first: j.start,
                    positions: piece.positions(),
                    packed_base: 0,
                    columns_base: 0,
                    bias_base: cut.bias.base(u64::from(g.start) * u64::from(c.rows) + u64::from(r.start)),
                    bias_group: c.rows,
                    has_bias: 0,
                    out_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                    out_batch: c.groups * c.rows * c.out_length,
                    out_group: c.rows * c.out_length,
                    out_row: c.out_length,
                    out_step: c.out_step,
                    accumulate: cut.accumulate.into(),
                    residual_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                    pre_activation_base: cut.output.base(c.output_row(n.start, g.start, r.start)),
                    has_pre_activation: 0,
                    slope: c.slope(),
                })
                .to_vec()
            })?;
        }
    }
    Ok(())
}

fn emit_contract(c: &Contract, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
    let max_window = builder.caps.max_window();
    // Every position: staging, and for each output row its factor and a sum for each of 4 columns.
    let iterations = STAGING + COLUMNS / LANES + tile.rows * (1 + COLUMNS / LANES);
    let max_panels = (builder.caps.max_terms(iterations) / PANEL).max(1);
    let one_phase = Phase { out_first: 0, count: c.positions, in_first: c.first, tap_first: 0, taps: c.taps };
    let phases = builder.phases(&[one_phase])?;
    for parts in pieces::contract(c, max_window, max_window, None)? {
        let Some(Piece { g, r, q, .. }) = parts.first().map(|p| p.piece.clone()) else { continue };
        let row_tiles = (r.end - r.start).div_ceil(tile.rows * LANES);
        let column_tiles = ((q.end - q.start) * c.taps).div_ceil(COLUMNS);
        let all_panels = (u64::from(c.batch) * u64::from(c.positions)).div_ceil(PANEL.into());
        let tiles = f64::from(g.end - g.start) * f64::from(row_tiles) * f64::from(column_tiles);
        let wanted = builder.caps.speed().splits(tiles * f64::from(LANES * LANES), tile.rows * COLUMNS / LANES);
        // A split of fewer than four panels spends its time adding up partial sums.
        let reduction = Reduction::new(c, &parts[0].piece, wanted.min(all_panels / 4), builder)?;
        // A group's slices follow each other, part after part: the first writes, the others add.
        let mut written = vec![false; (g.end - g.start) as usize];
        for part in &parts {
            builder.count(part.multiply_adds(c, part.piece.positions()));
            let piece = &part.piece;
            let source = ColumnSource {
                input: c.wide,
                window: part.wide,
                in_base: part.wide.base(c.wide_row(piece.n.start, g.start, q.start)),
                in_batch: c.groups * c.depth * c.wide_length,
                in_group: c.depth * c.wide_length,
                in_length: c.wide_length,
                touched: part.touched.clone(),
                in_step: c.stride as i32,
                tap_step: c.dilation as i32,
                extension: c.extension,
                phases: phases.clone(),
                phase_count: 1,
                max_taps: c.taps,
            };
            let mut slices = source.slices(piece, builder)?;
            if slices.is_empty() {
                // Nothing to sum over: the gradient is 0 and must be written.
                slices.push(Slice { pair_first: 0, pairs: piece.groups(), panel_first: 0, panels: 0 });
            }
            for slice in slices {
                source.emit(piece, &slice, builder)?;
                let pairs = &mut written[slice.pair_first as usize..][..slice.pairs as usize];
                let mut accumulate = pairs.iter().any(|&w| w);
                pairs.fill(true);
                let split_panels = slice.panels.div_ceil(reduction.splits);
                // An empty sum is written too.
                for share_first in (0..split_panels.max(1)).step_by(max_panels as usize) {
                    let bindings = vec![
                        Binding::new(c.narrow.operand, part.narrow, offset_of!(ContractGemmParams, narrow_base)),
                        source.columns(piece, &slice, offset_of!(ContractGemmParams, columns_base)),
                        reduction.partials(offset_of!(ContractGemmParams, out_base)),
                        c.narrow.saved_binding(part.narrow, offset_of!(ContractGemmParams, saved_base)),
                    ];
                    let [derivative, saved_input] = c.narrow.load_constants();
                    let constants = [("TILE_ROWS", tile.rows), derivative, saved_input];
                    let workgroups = u64::from(slice.pairs)
                        * u64::from(row_tiles)
                        * u64::from(column_tiles)
                        * u64::from(reduction.splits);
                    builder.dispatch(&CONTRACT_GEMM, &constants, workgroups, bindings, |workgroups| {
                        bytemuck::bytes_of(&ContractGemmParams {
                            workgroups,
                            batch: piece.batch(),
                            groups: slice.pairs,
                            rows: piece.rows(),
                            row_tiles,
                            depth: piece.depth(),
                            taps: c.taps,
                            column_tiles,
                            group_first: slice.pair_first,
                            panel_first: slice.panel_first,
                            panels: slice.panels,
                            split_panels,
                            share_first,
                            share_end: share_first.saturating_add(max_panels).min(split_panels),
                            panel_rows: source.panel_rows(piece),
                            position_first: piece.j.start,
                            positions: piece.positions(),
                            narrow_base: part.narrow.base(c.narrow_row(piece.n.start, g.start, r.start)),
                            narrow_batch: c.groups * c.rows * c.positions,
                            narrow_group: c.rows * c.positions,
                            narrow_length: c.positions,
                            columns_base: 0,
                            out_base: 0,
                            out_split: reduction.split_stride,
                            out_group: reduction.group_stride,
                            out_row: reduction.row_stride,
                            accumulate: accumulate.into(),
                            saved_base: part.narrow.base(c.narrow_row(piece.n.start, g.start, r.start)),
                            slope: c.narrow.slope(),
                        })
                        .to_vec()
                    })?;
                    accumulate = true;
                }
            }
        }
        reduction.finish(builder)?;
    }
    Ok(())
}
