//! Laying rows of a tensor aside in a texture of the workspace.

use super::{LANES, texels};
use crate::error::Result;
use crate::geometry::Extension;
use crate::kernels::extension;
use crate::kernels::params::params;
use crate::kernels::program::{Binding, Builder, Source, Window};
use crate::lowering::{Read, Slot};
use std::mem::offset_of;
use std::ops::Range;

pub(super) static INPUT: Source = Source {
    name: "texels_input",
    wgsl: include_str!("../../../shaders/texels_input.wgsl"),
    params: InputParams::FIELDS,
};

params! {
    /// `Params` of `texels_input.wgsl`.
    InputParams {
        workgroups: u32, groups: u32, depth: u32, units: u32, full_units: u32, unit_texels: u32, unit_workgroups: u32,
        in_base: u32, in_batch: u32, in_group: u32, in_length: u32, touched_first: i32, touched: u32,
        texel_first: i32, texel_step: u32, tap_step: u32,
        last_tap: u32, last_taps: u32, fill: f32, saved_base: u32, slope: f32,
    }
}

/// Texels of an invocation: `TILE` of the shader.
const TILE: u32 = 4;

/// A tensor `[N, groups * channels, length]` and the window of it that is bound.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) read: Read,
    pub(super) window: Window,
    /// Positions of a row that are in the window.
    pub(super) touched: Range<i64>,
    /// First element of the first row.
    pub(super) first: u64,
    pub(super) groups: u32,
    pub(super) channels: u32,
    pub(super) length: u32,
    /// What extends it.
    pub(super) extension: Extension,
}

/// What of it is laid aside, and how.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) slot: Slot,
    pub(super) rows: Rows,
    pub(super) batch: u32,
    pub(super) groups: u32,
    pub(super) channels: u32,
    /// Whether a texel holds four taps of a row; otherwise four rows.
    pub(super) texel_taps: bool,
    /// Rows of texels of a group, and those of them that hold all taps.
    pub(super) units: u32,
    pub(super) full_units: u32,
    pub(super) unit_texels: u64,
    /// Position of a unit's first texel, and positions from one texel, and one tap, to the next.
    pub(super) texel_first: i64,
    pub(super) texel_step: u32,
    pub(super) tap_step: u32,
    /// First and number of the last taps, which units that are not full hold.
    pub(super) last_tap: u32,
    pub(super) last_taps: u32,
}

impl Staging {
    /// Rows of texels.
    fn count(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.groups) * u64::from(self.units)
    }

    pub(super) fn emit(&self, builder: &mut Builder<'_>) -> Result<()> {
        let length = (self.count() * self.unit_texels).max(1);
        builder.reserve(self.slot, length)?;
        let ([mode, repeated], fill) = extension(self.rows.extension);
        let unit_texels = texels(self.unit_texels)?;
        let unit_workgroups = unit_texels.div_ceil(LANES * TILE);
        let Rows { read, window, ref touched, first, groups, channels, length: in_length, .. } = self.rows;
        let bindings = vec![
            Binding::new(read.operand, window, offset_of!(InputParams, in_base)),
            Binding::written_texels(self.slot, length),
            read.saved_binding(window, offset_of!(InputParams, saved_base)),
        ];
        let [derivative, saved_input] = read.load_constants();
        let constants = [("TEXEL_TAPS", self.texel_taps.into()), mode, repeated, derivative, saved_input];
        builder.dispatch(&INPUT, &constants, self.count() * u64::from(unit_workgroups), bindings, |workgroups| {
            bytemuck::bytes_of(&InputParams {
                workgroups,
                groups: self.groups,
                depth: self.channels,
                units: self.units,
                full_units: self.full_units,
                unit_texels,
                unit_workgroups,
                in_base: window.base(first),
                in_batch: groups * channels * in_length,
                in_group: channels * in_length,
                in_length,
                touched_first: touched.start as i32,
                touched: (touched.end - touched.start) as u32,
                texel_first: self.texel_first as i32,
                texel_step: self.texel_step,
                tap_step: self.tap_step,
                last_tap: self.last_tap,
                last_taps: self.last_taps,
                fill,
                saved_base: window.base(first),
                slope: read.slope(),
            })
            .to_vec()
        })
    }
}
