//! Stages rows of a tensor in a texture of the workspace.

use super::texels;
use crate::error::Result;
use crate::geometry::Extension;
use crate::kernels::operands::{Correlation, Draft, InputParams, ProblemParams};
use crate::kernels::params::tiles;
use crate::kernels::program::{Binding, Builder, ElementRange, LANES, Source, WRITTEN_TEXELS, source};
use crate::lowering::{Read, Slot};
use std::ops::Range;

pub(super) static INPUT: Source = source!("texels_input", Correlation<StagingTiles>);

tiles! {
    /// `Tiles` of `texels_input.wgsl`.
    StagingTiles {
        units: u32, full_units: u32, unit_texels: u32, unit_workgroups: u32, texel_first: i32, texel_step: u32, tap_step: u32,
        last_tap: u32, last_taps: u32,
    }
}

/// Texels per invocation.
const TILE: u32 = 4;

/// A tensor `[N, groups * channels, length]` and the range of it that is bound.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) read: Read,
    pub(super) range: ElementRange,
    /// Positions of a row that are in `range`.
    pub(super) touched: Range<i64>,
    /// First element of the first row.
    pub(super) first: u64,
    pub(super) groups: u32,
    pub(super) channels: u32,
    pub(super) length: u32,
    /// The extension beyond the ends of a row.
    pub(super) extension: Extension,
}

/// The rows that are staged, and their layout.
#[derive(Debug)]
pub(super) struct StagedRows {
    pub(super) slot: Slot,
    pub(super) rows: Rows,
    pub(super) batch: u32,
    pub(super) groups: u32,
    pub(super) channels: u32,
    /// Whether a texel holds four taps of a row; otherwise four rows.
    pub(super) texel_taps: bool,
    /// Units (rows of texels) of a group and batch item, and those of them that hold all taps.
    pub(super) units: u32,
    pub(super) full_units: u32,
    pub(super) unit_texels: u64,
    /// Input position of a unit's first texel, and positions from one texel to the next and from one tap to the next.
    pub(super) texel_first: i64,
    pub(super) texel_step: u32,
    pub(super) tap_step: u32,
    /// The first of the last taps, which the other units hold, and their number.
    pub(super) last_tap: u32,
    pub(super) last_taps: u32,
}

impl StagedRows {
    /// Number of units of the whole batch.
    fn count(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.groups) * u64::from(self.units)
    }

    pub(super) fn emit(&self, builder: &mut Builder<'_>) -> Result<()> {
        let length = (self.count() * self.unit_texels).max(1);
        builder.reserve(self.slot, length)?;
        let unit_texels = texels(self.unit_texels)?;
        let unit_workgroups = unit_texels.div_ceil(LANES * TILE);
        let Rows { read, range, ref touched, first, groups, channels, length: row, extension } = self.rows;
        let draft = Draft::new(&INPUT)
            .constants(&[("TEXEL_TAPS", self.texel_taps.into()), ("TILE", TILE)])
            .samples(read, range, extension)
            .bind(Binding::slot(WRITTEN_TEXELS, self.slot, length));
        let params = Correlation {
            problem: ProblemParams { groups: self.groups, depth: self.channels, ..Default::default() },
            input: InputParams::new(&read, [groups, channels, row], range, first, touched, extension),
            tiles: StagingTiles {
                units: self.units,
                full_units: self.full_units,
                unit_texels,
                unit_workgroups,
                texel_first: self.texel_first as i32,
                texel_step: self.texel_step,
                tap_step: self.tap_step,
                last_tap: self.last_tap,
                last_taps: self.last_taps,
            },
            ..Default::default()
        };
        builder.dispatch(draft, self.count() * u64::from(unit_workgroups), &params)
    }
}
