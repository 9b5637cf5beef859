//! Packs the weight in the order in which a kernel reads it.

use super::operands::{Correlation, Draft, PhaseParams, Phases, ProblemParams, WeightParams};
use super::params::tiles;
use super::predict::{Loads, Tally};
use super::program::{Binding, Builder, Dispatch, ElementRange, LANES, Required, Source, source};
use super::slices::{CorrelateSlice, Ranges};
use crate::caps::Caps;
use crate::error::Result;
use crate::lowering::{Correlate, Operand, Slot};
use std::ops::Range;

pub(super) static PACK: Source = source!("pack", Correlation<PackTiles>);

tiles! {
    /// `Tiles` of `pack.wgsl`.
    PackTiles { row_tiles: u32, phase_workgroups: u32 }
}

/// The part of the weight that was packed last. Consecutive slices that read the same part pack it once.
#[derive(Debug, Default)]
pub(super) struct LastPart(Option<(Part, Binding)>);

/// The groups, output rows and input rows of a part of the weight.
type Part = [Range<u32>; 3];

impl LastPart {
    /// The binding of the weight of `ranges`: the last binding if it has the same part, otherwise the result of `pack`.
    pub(super) fn binding(&mut self, ranges: &Ranges, pack: impl FnOnce() -> Result<Binding>) -> Result<Binding> {
        let part = [ranges.g.clone(), ranges.r.clone(), ranges.q.clone()];
        match &self.0 {
            Some((last, binding)) if *last == part => Ok(binding.clone()),
            _ => Ok(self.0.insert((part, pack()?)).1.clone()),
        }
    }
}

/// Packs the weight for consecutive slices, in tiles of `tile_rows` output rows.
#[derive(Debug)]
pub(super) struct Packing {
    tile_rows: u32,
    phases: Phases,
    last: LastPart,
}

impl Packing {
    pub(super) fn new(c: &Correlate, tile_rows: u32, builder: &Builder<'_>) -> Result<Self> {
        Ok(Packing { tile_rows, phases: builder.phases(&c.phases_of_taps())?, last: LastPart::default() })
    }

    /// Packs the weight of a slice, unless the slice before it packed the same part. The layout is `[depth, taps, tile_rows]` for each
    /// phase, group and tile of output rows. Returns the binding of the packed weight.
    pub(super) fn emit(&mut self, c: &Correlate, slice: &CorrelateSlice, builder: &mut Builder<'_>) -> Result<Binding> {
        let Packing { tile_rows, phases, last } = self;
        last.binding(&slice.ranges, || pack(c, slice, *tile_rows, phases, builder))
    }
}

/// The dispatch that packs a whole weight. An invocation moves one element; it finds its place by four divisions (counted).
pub(super) fn tally(c: &Correlate, tile_rows: u32) -> Tally {
    let rows = c.rows.next_multiple_of(tile_rows);
    let all_taps: f64 = c.phases.iter().map(|p| f64::from(p.taps)).sum();
    let elements = f64::from(c.groups) * f64::from(rows) * f64::from(c.depth) * all_taps;
    let lanes = (elements / f64::from(LANES)).ceil() * f64::from(LANES);
    let distance = if tile_rows > 1 { c.w_row } else { 1 };
    Tally {
        workgroups: lanes / f64::from(LANES),
        invocations: LANES.into(),
        registers: 8.0,
        integers: 20.0 * lanes,
        divisions: 3.0 * lanes,
        loads: [Loads::apart(lanes, distance), Loads::default()],
        stores: Loads::apart(lanes, 1),
        fetched: lanes * f64::from(distance.min(8)),
        memory: 2.0 * elements,
        waits: lanes,
        ..Tally::default()
    }
}

/// Packs the weight of a slice and returns the binding of the packed weight.
fn pack(
    c: &Correlate,
    slice: &CorrelateSlice,
    tile_rows: u32,
    phases: &Phases,
    builder: &mut Builder<'_>,
) -> Result<Binding> {
    let ranges = &slice.ranges;
    // Weights of each tap, in whole tiles.
    let rows = ranges.rows().next_multiple_of(tile_rows);
    let weights = u64::from(ranges.groups()) * u64::from(rows) * u64::from(ranges.depth());
    let all_taps: u64 = c.phases.iter().map(|p| u64::from(p.taps)).sum();
    // Shaders read the packed weight in vectors of four.
    let length = (weights * all_taps).next_multiple_of(4);
    let phase_workgroups = (weights * u64::from(c.max_taps())).div_ceil(LANES.into());
    let draft = Draft::new(&PACK)
        .constants(&[("TILE_ROWS", tile_rows)])
        .phases(phases)
        .weight(slice.weight)
        .bind(Binding::slot("output", Slot::Packed, length));
    let tiles = PackTiles { row_tiles: ranges.rows().div_ceil(tile_rows), phase_workgroups: phase_workgroups as u32 };
    let params = Correlation { tiles, ..slice.packing_params(c, phases) };
    let workgroups = phase_workgroups * u64::from(phases.count);
    builder.pack(draft, workgroups, &params, ("packed", Slot::Packed, length))
}

/// The dispatches that copy a weight in its stored layout: they pack one output row whose taps are all elements of the weight.
pub(super) fn copy(elements: u64, caps: &Caps) -> Result<Vec<Dispatch>> {
    let mut builder = Builder::new(caps, 0, Required::default());
    let at_once = caps.max_range();
    for start in (0..elements).step_by(at_once as usize) {
        let range = ElementRange { start, length: at_once.min(elements - start) };
        let draft = Draft::new(&PACK).constants(&[("TILE_ROWS", 1)]).weight(range).bind(Binding::new(
            "output",
            Operand::Slot(Slot::Packed),
            range,
        ));
        let workgroups = range.length.div_ceil(LANES.into());
        let params = Correlation {
            problem: ProblemParams { groups: 1, rows: 1, depth: 1, phases: 1, ..Default::default() },
            weight: WeightParams { tap: 1, ..Default::default() },
            phase: PhaseParams { taps: range.length as u32, ..Default::default() },
            tiles: PackTiles { row_tiles: 1, phase_workgroups: workgroups as u32 },
            ..Default::default()
        };
        builder.dispatch(draft, workgroups, &params)?;
    }
    Ok(builder.program.dispatches.iter().map(|dispatch| dispatch.written_to(0)).collect())
}
