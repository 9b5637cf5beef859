//! Correlation with operands staged in textures.

use super::staging::{INPUT, Rows, StagedRows};
use super::{TEXEL, Texels, check, staging_tally, texels};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::kernels::operands::{Correlation, Draft, Phases, WalkParams};
use crate::kernels::order::{Level, Part};
use crate::kernels::pack::LastPart;
use crate::kernels::params::tiles;
use crate::kernels::predict::{Loads, Prediction, Tally, Work, predict, rank};
use crate::kernels::program::{Binding, Builder, LANES, Source, WRITTEN_TEXELS, source};
use crate::kernels::slices::{self, CorrelateSlice, Limits, Ranges, Staged, TapSlice};
use crate::kernels::walk::Walk;
use crate::kernels::{CorrelateLayout, CorrelateTile, Kernel, Variant, active_share, ranked};
use crate::lowering::{Correlate, Phase, Slot, gcd};
use std::ops::Range;

static TEXELS: Source = source!("texels", Correlation<TexelTiles>);
static WEIGHTS: Source = source!("texels_weight", Correlation<WeightTiles>);

tiles! {
    /// `Tiles` of `texels.wgsl`.
    TexelTiles {
        row_tiles: u32, row_workgroups: u32, position_tiles: u32, position_workgroups: u32, units: u32, full_units: u32,
        unit_taps: u32, unit_texels: u32, texel_first: i32, texel_step: u32, position_texels: u32, neighbour_texels: u32,
        tap_texels: u32, steps: u32,
    }
}

tiles! {
    /// `Tiles` of `texels_weight.wgsl`.
    WeightTiles { row_tiles: u32, phase_workgroups: u32, units: u32, full_units: u32, unit_taps: u32, steps: u32 }
}

/// Cost of a residue of taps per sum, in multiply-adds. A loop body that loads all samples of a tile of at least `LARGE_BODY` sums
/// is slower by the factor `LARGE_BODY_SLOWDOWN`. Measured on llvmpipe (Mesa 22.3.6, two threads of an AMD EPYC, 2026-11-21): with
/// shifts, a step took 277 ns in tiles of 8 x 16 and the residue itself 600 ns. Without shifts, a step took 235 ns in tiles of 8 x 8
/// and 800 ns in tiles of 8 x 16, whose 3,000 instructions are more than the processor keeps decoded.
const RESIDUE: f64 = 5.5;
const LARGE_BODY: f64 = 128.0;
const LARGE_BODY_SLOWDOWN: f64 = 1.6;

/// llvmpipe takes a second to compile a tile of 8 x 16; larger tiles cost more compile time than they gain.
const TILES: [CorrelateTile; 8] = [
    CorrelateTile { rows: 8, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 4, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 8, positions: 8, lanes_rows: 1 },
    CorrelateTile { rows: 1, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 2, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 4, positions: 8, lanes_rows: 1 },
    // Few positions, many rows.
    CorrelateTile { rows: 8, positions: 4, lanes_rows: 8 },
    CorrelateTile { rows: 1, positions: 1, lanes_rows: 1 },
];

impl Kernel<Correlate> for Texels {
    fn name(&self) -> &'static str {
        "texels"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&TEXELS, &WEIGHTS, &INPUT]
    }

    fn variants(&self, _: &Correlate, caps: &Caps) -> Result<Vec<Box<dyn Variant<Correlate>>>, String> {
        check(caps)?;
        Ok(ranked::<TexelLayout>("texels", TILES))
    }
}

/// The layout of the operands of a correlation in textures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TexelLayout {
    tile: CorrelateTile,
    /// Whether a texel holds four taps of an input row; otherwise four input rows.
    texel_taps: bool,
    /// Input positions from one texel to the next, and from one texel of taps to the next.
    texel_step: u32,
    tap_step: u32,
    walk: Walk,
}

/// The units (rows of texels) that an output row sums over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    /// Units with all taps, and all units.
    full: u32,
    all: u32,
    /// Texels of taps of a full unit, if a texel holds taps.
    taps: u32,
    /// Taps of the other units.
    last_taps: u32,
    /// Texels of weights of an output row, all phases together.
    steps: u64,
}

/// Invocations, their steps over texels, and staged texels.
struct Totals {
    /// Tiles along the positions of all batch items.
    tiles: f64,
    lanes: f64,
    steps: f64,
    input: f64,
    weight: f64,
}

impl CorrelateLayout for TexelLayout {
    fn ranked(c: &Correlate, tile: CorrelateTile, caps: &Caps) -> Vec<(Self, Prediction)> {
        // With several phases, a texel cannot hold taps: the phases differ in their taps.
        let texel_taps = [false, true].into_iter().filter(|&texel_taps| !texel_taps || c.phases.len() == 1);
        let layouts = texel_taps.flat_map(|texel_taps| {
            let texel = if texel_taps { TEXEL } else { 1 };
            let (in_step, tap_step) = (c.in_step.unsigned_abs(), c.tap_step.unsigned_abs().saturating_mul(texel));
            let walks = Walk::all(in_step, tap_step, tile.positions, c.max_taps().div_ceil(texel), None);
            walks.map(move |walk| TexelLayout::new(c, tile, texel_taps, walk))
        });
        rank(layouts, |layout| layout.predict(c, caps))
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        // Half of the remaining workspace for the input, so that the weight has room.
        let room = builder.available(Slot::InputTexels) / 2;
        let amount = |ranges: &Ranges| self.input_texels(c, ranges);
        let limits = Limits {
            max_range: builder.caps.max_range(),
            max_iterations: builder.caps.max_iterations,
            iterations: &|c, depth| self.iterations(c, depth),
            staged: Some(Staged { amount: &amount, limit: room }),
        };
        for part in slices::correlate(c, limits)? {
            self.emit_slices(&part.correlate, &part.slices, builder)?;
            self.order(&part, builder);
        }
        Ok(())
    }
}

impl TexelLayout {
    fn new(c: &Correlate, tile: CorrelateTile, texel_taps: bool, walk: Walk) -> Self {
        let in_step = c.in_step.unsigned_abs();
        let texel = if texel_taps { TEXEL } else { 1 };
        let tap_step = c.tap_step.unsigned_abs().saturating_mul(texel);
        let common = gcd(in_step, tap_step);
        let texel_step = if c.max_taps() <= texel { in_step } else { common };
        TexelLayout { tile, texel_taps, texel_step, tap_step, walk }
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

    /// Lowest input position that a phase reads for the first output of a row.
    fn lowest(c: &Correlate, phase: &Phase) -> i64 {
        i64::from(phase.in_first) + i64::from(phase.taps.saturating_sub(1)) * i64::from(c.tap_step.min(0))
    }

    /// Lowest input position over all phases that have taps.
    fn first(c: &Correlate) -> i64 {
        c.phases.iter().filter(|p| p.taps > 0).map(|p| TexelLayout::lowest(c, p)).min().unwrap_or(0)
    }

    /// Texels of a unit for `positions` positions, rounded up to whole tiles.
    fn unit_texels(&self, c: &Correlate, positions: u32) -> u64 {
        let whole = self.walk.position_tiles(positions) * u64::from(self.tile.positions);
        let last_position = whole.saturating_sub(1) * u64::from(c.in_step.unsigned_abs() / self.texel_step);
        let first = TexelLayout::first(c);
        let texel = if self.texel_taps { TEXEL } else { 1 };
        let reach = |phase: &Phase| {
            let offset = (TexelLayout::lowest(c, phase) - first) as u64 / u64::from(self.texel_step);
            let taps = u64::from((phase.taps / texel).max(1) - 1);
            offset + taps * u64::from(self.tap_step / self.texel_step)
        };
        let reach = c.phases.iter().filter(|p| p.taps > 0).map(reach).max().unwrap_or(0);
        last_position + reach + 1
    }

    /// Texels of the input of `ranges`.
    fn input_texels(&self, c: &Correlate, ranges: &Ranges) -> u64 {
        let rows =
            u64::from(ranges.batch()) * u64::from(ranges.groups()) * u64::from(self.units(c, ranges.depth()).all);
        rows.saturating_mul(self.unit_texels(c, ranges.positions()))
    }

    fn weight_texels(&self, c: &Correlate, ranges: &Ranges) -> u64 {
        let rows = u64::from(ranges.groups()) * u64::from(ranges.rows().next_multiple_of(self.tile.rows));
        rows * self.units(c, ranges.depth()).steps
    }

    /// Iterations of all loops of an invocation that sums over `depth` input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let units = self.units(c, depth);
        let taps = u64::from(if self.texel_taps { units.taps.max(1) } else { c.max_taps() });
        let CorrelateTile { rows, positions, .. } = self.tile;
        let residues = if self.walk.shifted { u64::from(self.walk.tap_stride).min(taps) } else { 0 };
        let tap = u64::from(2 + positions + rows * (1 + positions));
        u64::from(units.all) * (residues * u64::from(1 + positions) + taps * tap)
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        let CorrelateTile { rows, lanes_rows, .. } = self.tile;
        let whole = Ranges { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions() };
        let tiles = (u64::from(c.batch) * self.walk.position_tiles(c.positions())) as f64;
        let lanes = (tiles / f64::from(LANES / lanes_rows)).ceil() * f64::from(LANES / lanes_rows);
        let row_tiles = f64::from(c.rows.div_ceil(rows * lanes_rows) * lanes_rows) * f64::from(c.groups);
        let all = Totals {
            tiles,
            lanes: lanes * row_tiles * c.phases.len() as f64,
            steps: lanes * row_tiles * self.units(c, c.depth).steps as f64,
            input: self.input_texels(c, &whole) as f64,
            weight: self.weight_texels(c, &whole) as f64,
        };
        predict(caps, |speed| self.costs(c, &all, speed), |subgroup| self.tallies(c, &all, subgroup))
    }

    /// Samples that an invocation loads for a tap or a texel of taps.
    fn samples(&self, c: &Correlate) -> (u32, f64) {
        let texel = if self.texel_taps { TEXEL } else { 1 };
        let taps = c.max_taps().div_ceil(texel);
        (taps, self.walk.samples(self.tile.positions, taps))
    }

    fn costs(&self, c: &Correlate, all: &Totals, speed: &Speed) -> Work {
        let CorrelateTile { rows, positions, .. } = self.tile;
        let sums = f64::from(rows * positions);
        let (taps, samples) = self.samples(c);
        let mut step_sums = f64::from(TEXEL) * sums;
        let mut step_loads = (f64::from(rows) + samples) * speed.texel_load;
        if self.walk.shifted {
            step_sums += self.walk.residues(taps) * sums * RESIDUE;
        } else if sums >= LARGE_BODY {
            step_sums *= LARGE_BODY_SLOWDOWN;
            step_loads *= LARGE_BODY_SLOWDOWN;
        }
        Work {
            sums: all.steps * step_sums,
            loads: all.steps * step_loads,
            stores: all.lanes * sums * speed.store,
            packing: (all.input + all.weight) * (f64::from(TEXEL) * speed.load + speed.texel_load),
            dispatches: 3.0,
            busy: speed.busy(all.lanes),
        }
    }

    fn tallies(&self, c: &Correlate, all: &Totals, subgroup: f64) -> (Tally, Vec<Tally>) {
        let CorrelateTile { rows, positions, lanes_rows } = self.tile;
        let along = f64::from(LANES / lanes_rows);
        let steps = all.steps * active_share(all.tiles, c.rows, self.tile, subgroup);
        let (taps, samples) = self.samples(c);
        let [inputs, weights, outputs] = c.elements();
        let texel = f64::from(TEXEL);
        let texels = |count: f64, distance: u32| Loads {
            count,
            words: texel,
            distance: f64::from(distance.saturating_mul(TEXEL)),
            sharing: 1.0,
        };
        // A workgroup fetches the samples of its positions once, of each unit.
        let units = steps / f64::from(LANES) / f64::from(taps.max(1));
        let fetched = units * c.samples_of(along * f64::from(positions));
        let distance = self.walk.distance(c.in_step.unsigned_abs().div_ceil(self.texel_step.max(1)));
        // The lanes of a row share its weights, and fetch them once a workgroup.
        let weights_of_lane = f64::from(rows.min(c.rows));
        let factors = match lanes_rows {
            1 => Loads::shared(steps * f64::from(rows), texel),
            _ => Loads { sharing: along, ..texels(steps * f64::from(rows), 1024) },
        };
        let main = Tally {
            workgroups: all.lanes / f64::from(LANES),
            invocations: LANES.into(),
            registers: f64::from(rows * positions + 4 * (rows + positions) + 16),
            integers: steps * 4.0 * (samples + f64::from(rows)),
            scalars: steps * 6.0,
            multiply_adds: steps * texel * f64::from(rows * positions),
            loads: [Loads { sharing: (subgroup / along).max(1.0), ..texels(steps * samples, distance) }, factors],
            stores: Loads::apart(all.lanes * f64::from(rows * positions), self.walk.distance(c.out_step)),
            fetched: texel * (fetched + steps * weights_of_lane / along),
            memory: texel * (all.input + all.weight) + outputs,
            waits: steps,
            ..Tally::default()
        };
        (main, vec![staging_tally(all.input, inputs), staging_tally(all.weight, weights)])
    }

    fn order(&self, part: &TapSlice, builder: &mut Builder<'_>) {
        let residues = Level::Residues(self.walk.tap_stride);
        let c = &part.correlate;
        if !self.texel_taps {
            let nesting = [Level::DepthBlocks(TEXEL), residues, c.ascending_taps(), Level::Depth];
            return part.order(true, &nesting, builder);
        }
        // First the whole texels of taps of all rows, then the last taps of all rows, counted from the lowest position.
        let Range { start, end } = part.taps;
        let last = (end - start) % TEXEL;
        let (whole, last) = if c.tap_step < 0 {
            (start + last..end, start..start + last)
        } else {
            (start..end - last, end - last..end)
        };
        let stride = if self.walk.shifted { self.walk.tap_stride } else { 1 };
        let residues = (stride > 1 && whole.len() as u32 > TEXEL).then_some(Level::TexelResidues(stride));
        for slice in &part.slices {
            let rows = &slice.ranges.q;
            if !whole.is_empty() {
                let nesting = [Some(Level::Depth), residues, Some(c.ascending_taps())];
                builder.order(true, Part::new(rows.clone(), whole.clone(), nesting.into_iter().flatten()));
            }
            if !last.is_empty() {
                builder.order(true, Part::new(rows.clone(), last.clone(), [Level::Depth, c.ascending_taps()]));
            }
        }
    }

    fn emit_slices(&self, c: &Correlate, slices: &[CorrelateSlice], builder: &mut Builder<'_>) -> Result<()> {
        let phases = builder.phases(&c.phases)?;
        let phases_of_taps = builder.phases(&c.phases_of_taps())?;
        let mut packed = LastPart::default();
        let mut staged_for = None;
        for slice in slices {
            builder.count(slice.multiply_adds(c, |phase| phase.taps));
            let factors = packed.binding(&slice.ranges, || self.pack(c, slice, &phases_of_taps, builder))?;
            let Ranges { n, g, q, j, .. } = &slice.ranges;
            let key = (n.clone(), g.clone(), q.clone(), j.clone());
            if staged_for.as_ref() != Some(&key) {
                self.stage_input(c, slice, builder)?;
                staged_for = Some(key);
            }
            self.emit_sums(c, slice, &phases, factors, builder)?;
        }
        Ok(())
    }

    fn stage_input(&self, c: &Correlate, slice: &CorrelateSlice, builder: &mut Builder<'_>) -> Result<()> {
        let Ranges { n, g, q, j, .. } = &slice.ranges;
        let units = self.units(c, slice.ranges.depth());
        let staged = StagedRows {
            slot: Slot::InputTexels,
            rows: Rows {
                read: c.input,
                range: slice.input,
                touched: slice.touched.clone(),
                first: c.input_row(n.start, g.start, q.start),
                groups: c.groups,
                channels: c.depth,
                length: c.in_length,
                extension: c.extension,
            },
            batch: slice.ranges.batch(),
            groups: slice.ranges.groups(),
            channels: slice.ranges.depth(),
            texel_taps: self.texel_taps,
            units: units.all,
            full_units: units.full,
            unit_texels: self.unit_texels(c, slice.ranges.positions()),
            texel_first: TexelLayout::first(c) + i64::from(j.start) * i64::from(c.in_step),
            texel_step: self.texel_step,
            tap_step: c.tap_step.unsigned_abs(),
            last_tap: units.taps * TEXEL,
            last_taps: units.last_taps,
        };
        staged.emit(builder)
    }

    /// Packs the weight of a slice and returns the binding of the packed weight.
    fn pack(
        &self,
        c: &Correlate,
        slice: &CorrelateSlice,
        phases: &Phases,
        builder: &mut Builder<'_>,
    ) -> Result<Binding> {
        let ranges = &slice.ranges;
        let units = self.units(c, ranges.depth());
        let length = self.weight_texels(c, ranges).max(1);
        let row_tiles = ranges.rows().div_ceil(self.tile.rows);
        let phase_steps = if self.texel_taps { units.steps } else { u64::from(units.all) * u64::from(c.max_taps()) };
        let rows = u64::from(ranges.groups()) * u64::from(row_tiles) * u64::from(self.tile.rows);
        let phase_workgroups = (rows * phase_steps).div_ceil(LANES.into());
        let draft = Draft::new(&WEIGHTS)
            .constants(&[("TILE_ROWS", self.tile.rows), ("TEXEL_TAPS", self.texel_taps.into())])
            .phases(phases)
            .weight(slice.weight)
            .bind(Binding::slot(WRITTEN_TEXELS, Slot::FactorTexels, length));
        let params = Correlation {
            walk: WalkParams { reversed: (c.tap_step < 0).into(), ..Default::default() },
            tiles: WeightTiles {
                row_tiles,
                phase_workgroups: phase_workgroups as u32,
                units: units.all,
                full_units: units.full,
                unit_taps: units.taps,
                steps: texels(units.steps)?,
            },
            ..slice.packing_params(c, phases)
        };
        let workgroups = phase_workgroups * u64::from(phases.count);
        builder.pack(draft, workgroups, &params, ("factor_texels", Slot::FactorTexels, length))
    }

    fn emit_sums(
        &self,
        c: &Correlate,
        slice: &CorrelateSlice,
        phases: &Phases,
        factors: Binding,
        builder: &mut Builder<'_>,
    ) -> Result<()> {
        let (ranges, tile) = (&slice.ranges, self.tile);
        let units = self.units(c, ranges.depth());
        let lanes_positions = LANES / tile.lanes_rows;
        let position_tiles = self.walk.position_tiles(ranges.positions());
        let position_workgroups = (u64::from(ranges.batch()) * position_tiles).div_ceil(lanes_positions.into());
        let row_tiles = ranges.rows().div_ceil(tile.rows);
        let row_workgroups = row_tiles.div_ceil(tile.lanes_rows);
        let position_texels = c.in_step.unsigned_abs() / self.texel_step;
        let draft = Draft::new(&TEXELS)
            .constants(&[
                ("LANES_POSITIONS", lanes_positions),
                ("LANES_ROWS", tile.lanes_rows),
                ("TILE_ROWS", tile.rows),
                ("TILE_POSITIONS", tile.positions),
                ("SHIFTED", self.walk.shifted.into()),
                ("TEXEL_TAPS", self.texel_taps.into()),
            ])
            .phases(phases)
            .texels(builder.caps.storage_texture_reads)
            .bind(Binding::slot("input_texels", Slot::InputTexels, self.input_texels(c, ranges).max(1)))
            .bind(factors)
            .epilogue(c, slice);
        let params = Correlation {
            walk: c.walk_params(self.walk.spacing, self.walk.tap_stride),
            tiles: TexelTiles {
                row_tiles,
                row_workgroups,
                position_tiles: position_tiles as u32,
                position_workgroups: position_workgroups as u32,
                units: units.all,
                full_units: units.full,
                unit_taps: units.taps,
                unit_texels: texels(self.unit_texels(c, ranges.positions()))?,
                texel_first: TexelLayout::first(c) as i32,
                texel_step: self.texel_step,
                position_texels,
                neighbour_texels: position_texels * self.walk.spacing,
                tap_texels: self.tap_step / self.texel_step,
                steps: texels(units.steps)?,
            },
            ..slice.params(c, phases)
        };
        let workgroups =
            position_workgroups * u64::from(phases.count) * u64::from(row_workgroups) * u64::from(ranges.groups());
        builder.dispatch(draft, workgroups, &params)
    }
}
