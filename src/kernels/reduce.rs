//! Reductions in two passes: partial sums of fixed shares of the positions, added up in a fixed order. No atomics, so the
//! same plan gives the same bits every time. And `sums`, the kernel of the bias gradient.

use super::params::params;
use super::pieces::{self, Piece};
use super::predict::Work;
use super::program::{Binding, Builder, Source, Window};
use super::{Kernel, Prediction, Tile};
use crate::caps::Caps;
use crate::error::Result;
use crate::lowering::{Contract, Operand, Role, Slot, Stage};
use std::mem::offset_of;

pub(crate) static SUM_PARTIALS: Source = Source {
    name: "sum_partials",
    wgsl: include_str!("../../shaders/sum_partials.wgsl"),
    params: SumPartialsParams::FIELDS,
};
static SUM_ROWS: Source =
    Source { name: "sum_rows", wgsl: include_str!("../../shaders/sum_rows.wgsl"), params: SumRowsParams::FIELDS };

params! {
    /// `Params` of `sum_partials.wgsl`.
    SumPartialsParams {
        workgroups: u32, values: u32, row_length: u32, splits: u32, partials_base: u32, out_base: u32, out_row: u32,
    }
}

params! {
    /// `Params` of `sum_rows.wgsl`.
    SumRowsParams {
        workgroups: u32, batch: u32, channels: u32, position_first: u32, positions: u32, split_positions: u32, share_first: u32,
        share_end: u32, in_base: u32, in_batch: u32, in_length: u32, out_base: u32, out_split: u32, accumulate: u32,
        saved_base: u32, slope: f32,
    }
}

/// Invocations of a workgroup of both shaders.
const LANES: u32 = 64;

/// Positions that a split of `sums` adds up at least.
const MIN_SPLIT: u64 = 4096;

/// How a reduction over positions is split: into partial sums that a second pass adds up, or not at all, straight into the
/// output.
#[derive(Debug)]
pub(super) struct Reduction {
    pub(super) splits: u32,
    /// Strides of what the first pass writes.
    pub(super) split_stride: u32,
    pub(super) group_stride: u32,
    pub(super) row_stride: u32,
    /// Values of one split, and how they lie in the output.
    values: u64,
    row_length: u32,
    out_row: u32,
    role: Role,
    output: Window,
}

impl Reduction {
    /// For the part of the weight gradient that `piece` computes, in about `wanted` splits.
    pub(super) fn new(c: &Contract, piece: &Piece, wanted: u64, builder: &mut Builder<'_>) -> Result<Self> {
        let row_length = piece.depth() * c.taps;
        let out_row = c.depth * c.taps;
        let output = pieces::contract_output(c, piece);
        let rows = [piece.groups(), piece.rows()];
        Self::with(rows, row_length, [c.rows * out_row, out_row], Role::WeightGradient, output, wanted, builder)
    }

    fn with(
        [groups, rows]: [u32; 2],
        row_length: u32,
        [out_group, out_row]: [u32; 2],
        role: Role,
        output: Window,
        wanted: u64,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        let values = u64::from(groups) * u64::from(rows) * u64::from(row_length);
        // Half of what is left, so that kernels with columns have room for them.
        let room = builder.available(Slot::Partials) / 2 / values;
        let splits = wanted.min(room).clamp(1, builder.caps.max_terms(1).min(65_535).into()) as u32;
        let split = splits > 1;
        if split {
            builder.reserve(Slot::Partials, u64::from(splits) * values)?;
        }
        Ok(Reduction {
            splits,
            split_stride: values as u32,
            group_stride: if split { rows * row_length } else { out_group },
            row_stride: if split { row_length } else { out_row },
            values,
            row_length,
            out_row,
            role,
            output,
        })
    }

    /// What the first pass writes.
    pub(super) fn partials(&self, base: usize) -> Binding {
        if self.splits > 1 {
            Binding::slot(Slot::Partials, Window::whole(u64::from(self.splits) * self.values), base)
        } else {
            Binding::new(Operand::Role(self.role), self.output, base)
        }
    }

    /// The second pass.
    pub(super) fn finish(&self, builder: &mut Builder<'_>) -> Result<()> {
        if self.splits == 1 {
            return Ok(());
        }
        let bindings = vec![
            self.partials(offset_of!(SumPartialsParams, partials_base)),
            Binding::new(Operand::Role(self.role), self.output, offset_of!(SumPartialsParams, out_base)),
        ];
        builder.dispatch(&SUM_PARTIALS, &[], self.values.div_ceil(LANES.into()), bindings, |workgroups| {
            bytemuck::bytes_of(&SumPartialsParams {
                workgroups,
                values: self.values as u32,
                row_length: self.row_length,
                splits: self.splits,
                partials_base: 0,
                out_base: 0,
                out_row: self.out_row,
            })
            .to_vec()
        })
    }
}

/// The kernel of the bias gradient.
#[derive(Debug)]
pub(crate) struct SumRows;

impl Kernel for SumRows {
    fn name(&self) -> &'static str {
        "sums"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&SUM_ROWS]
    }

    fn tiles(&self, stage: &Stage, _: &Caps) -> Result<Vec<Tile>, String> {
        match stage {
            Stage::SumRows(_) => Ok(vec![Tile { rows: 1, positions: LANES, lanes_rows: 1 }]),
            _ => Err("it only adds up rows, which is the bias gradient".into()),
        }
    }

    fn predict(&self, stage: &Stage, _: Tile, caps: &Caps) -> Prediction {
        let speed = caps.speed();
        match stage {
            Stage::SumRows(s) => {
                let bytes = f64::from(s.batch) * f64::from(s.channels) * f64::from(s.length) * 4.0;
                let loads = bytes / speed.bandwidth * speed.multiply_adds;
                Work { sums: 0.0, loads, stores: 0.0, packing: 0.0, dispatches: 2.0, busy: 1.0 }.on(&speed)
            }
            _ => Prediction::NEVER,
        }
    }

    fn emit(&self, stage: &Stage, _: Tile, builder: &mut Builder<'_>) -> Result<()> {
        let Stage::SumRows(s) = stage else { return Ok(()) };
        let parts = pieces::rows(s.batch, s.channels, s.length, builder.caps.max_window())?;
        // Parts of the same channels differ in batch items and positions only; they add up in order.
        let mut done: Vec<(std::ops::Range<u32>, Reduction)> = Vec::new();
        for (piece, input) in parts {
            let mut accumulate = done.iter().any(|(channels, _)| *channels == piece.r);
            if !accumulate {
                let channels = piece.rows();
                let total = u64::from(s.batch) * u64::from(s.length);
                let workgroups = f64::from(channels) * f64::from(LANES);
                let wanted = builder.caps.speed().splits(workgroups, 1).min(total / MIN_SPLIT);
                let output = Window { start: piece.r.start.into(), length: channels.into() };
                let reduction =
                    Reduction::with([1, 1], channels, [0, channels], Role::BiasGradient, output, wanted, builder)?;
                done.push((piece.r.clone(), reduction));
            }
            let Some((_, reduction)) = done.iter().find(|(channels, _)| *channels == piece.r) else { continue };
            let split_positions = (piece.batch() * piece.positions()).div_ceil(reduction.splits);
            // Each lane adds up every LANES-th. An empty sum is written too.
            let share = builder.caps.max_terms(1).saturating_mul(LANES);
            for share_first in (0..split_positions.max(1)).step_by(share as usize) {
                let bindings = vec![
                    Binding::new(s.input.operand, input, offset_of!(SumRowsParams, in_base)),
                    reduction.partials(offset_of!(SumRowsParams, out_base)),
                    s.input.saved_binding(input, offset_of!(SumRowsParams, saved_base)),
                ];
                let workgroups = u64::from(piece.rows()) * u64::from(reduction.splits);
                let row = u64::from(piece.n.start) * u64::from(s.channels) + u64::from(piece.r.start);
                builder.dispatch(&SUM_ROWS, &s.input.load_constants(), workgroups, bindings, |workgroups| {
                    bytemuck::bytes_of(&SumRowsParams {
                        workgroups,
                        batch: piece.batch(),
                        channels: piece.rows(),
                        position_first: piece.j.start,
                        positions: piece.positions(),
                        split_positions,
                        share_first,
                        share_end: share_first.saturating_add(share).min(split_positions),
                        in_base: input.base(row * u64::from(s.length)),
                        in_batch: s.channels * s.length,
                        in_length: s.length,
                        out_base: 0,
                        out_split: reduction.split_stride,
                        accumulate: accumulate.into(),
                        saved_base: input.base(row * u64::from(s.length)),
                        slope: s.input.slope(),
                    })
                    .to_vec()
                })?;
                accumulate = true;
            }
        }
        for (_, reduction) in &done {
            reduction.finish(builder)?;
        }
        Ok(())
    }
}
