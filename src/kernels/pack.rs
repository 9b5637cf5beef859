//! Packing the weight in the order in which a kernel reads it.

use super::params::params;
use super::pieces::Piece;
use super::program::{Binding, Builder, Source, Window};
use crate::error::Result;
use crate::lowering::{Correlate, Slot, WEIGHT};
use std::mem::offset_of;

pub(super) static PACK: Source =
    Source { name: "pack", wgsl: include_str!("../../shaders/pack.wgsl"), params: PackParams::FIELDS };

params! {
    /// `Params` of `pack.wgsl`.
    PackParams {
        workgroups: u32, phase_workgroups: u32, groups: u32, rows: u32, row_tiles: u32, depth: u32, tap_stride: u32,
        w_base: u32, w_group: u32, w_row: u32, w_depth: u32, packed_base: u32,
    }
}

/// Invocations of a workgroup of the shader.
const LANES: u32 = 64;

/// Weights of a piece in tiles of so many output rows, for each tap of the kernel.
fn weights(piece: &Piece, tile_rows: u32) -> u64 {
    u64::from(piece.groups()) * u64::from(piece.rows().next_multiple_of(tile_rows)) * u64::from(piece.depth())
}

/// Elements of the packed weight of a piece, and what fills them up to whole vectors of four.
pub(super) fn length(c: &Correlate, piece: &Piece, tile_rows: u32) -> u64 {
    let all_taps: u64 = c.phases.iter().map(|p| u64::from(p.taps)).sum();
    (weights(piece, tile_rows) * all_taps).next_multiple_of(4)
}

/// Packs the weight of a piece: per phase, group and tile of output rows `[depth, taps, tile_rows]`.
pub(super) fn emit(
    c: &Correlate,
    piece: &Piece,
    weight: Window,
    tile_rows: u32,
    phases: &Binding,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let packed = Window::whole(length(c, piece, tile_rows));
    builder.reserve(Slot::Packed, packed.length)?;
    let phase_workgroups = (weights(piece, tile_rows) * u64::from(c.max_taps())).div_ceil(LANES.into());
    let bindings = vec![
        phases.clone(),
        Binding::new(WEIGHT, weight, offset_of!(PackParams, w_base)),
        Binding::slot(Slot::Packed, packed, offset_of!(PackParams, packed_base)),
    ];
    let workgroups = phase_workgroups * c.phases.len() as u64;
    builder.dispatch(&PACK, &[("TILE_ROWS", tile_rows)], workgroups, bindings, |workgroups| {
        bytemuck::bytes_of(&PackParams {
            workgroups,
            phase_workgroups: phase_workgroups as u32,
            groups: piece.groups(),
            rows: piece.rows(),
            row_tiles: piece.rows().div_ceil(tile_rows),
            depth: piece.depth(),
            tap_stride: c.tap_stride,
            w_base: weight.base(c.weight_at(piece.g.start, piece.r.start, piece.q.start)),
            w_group: c.w_group,
            w_row: c.w_row,
            w_depth: c.w_depth,
            packed_base: 0,
        })
        .to_vec()
    })?;
    if workgroups > 0 {
        builder.last_packs_weight();
    }
    Ok(())
}
