//! `window`: samples are staged in workgroup memory and slide through registers past the taps. All invocations read a packed weight at
//! the same address.

use super::operands::{Correlation, Draft};
use super::order::Level;
use super::pack::{self, PACK, Packing};
use super::params::tiles;
use super::predict::{Loads, Tally, Work, predict};
use super::program::{Builder, LANES, Source, source};
use super::slices::{self, CorrelateSlice, Limits};
use super::walk::MAX_BLOCK;
use super::{Kernel, Prediction, Tile, Variant};
use crate::caps::{Caps, Speed};
use crate::error::{Error, Result};
use crate::lowering::{Correlate, Phase, gcd};

static WINDOW: Source = source!("window", Correlation<WindowTiles>);

tiles! {
    /// `Tiles` of `window.wgsl`.
    WindowTiles {
        row_tiles: u32, along: u32, across: u32, width_shift: u32, sequences: u32, taps: u32, samples: u32,
    }
}

/// Samples that are staged at once: half of the workgroup memory that WebGPU guarantees, so that two workgroups fit in it.
const STAGED: u32 = 2048;

/// Maximum sequences of samples that are staged at once. With more, the barriers saved are negligible.
const MOST_SEQUENCES: u32 = 16;

/// Maximum taps of an unrolled step.
const MOST_UNROLLED: u32 = 5;

/// The reason for having no variant.
const TOO_FAR: &str = "the positions that share samples are too far apart, or the workgroup memory is too small";

/// Compiled for RDNA 3, the first tile's loop over three taps issues 364 instructions, of which 336 are multiply-adds, with 132 registers,
/// no spills and 8 waves (RDNA 2: 363 instructions, 128 registers, 8 waves). Its loop over four taps of a longer kernel issues 487
/// instructions (RDNA 2: 482), of which 448 are multiply-adds. Compiler: Mesa's RADV, 2026-11-27. For the same number of sums, more rows
/// stage fewer samples.
const TILES: [WindowTile; 2] = [WindowTile { rows: 16, positions: 7 }, WindowTile { rows: 1, positions: 15 }];

#[derive(Debug)]
pub(crate) struct SlidingWindow;

impl Kernel<Correlate> for SlidingWindow {
    fn name(&self) -> &'static str {
        "window"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&WINDOW, &PACK]
    }

    fn variants(&self, c: &Correlate, caps: &Caps) -> Result<Vec<Box<dyn Variant<Correlate>>>, String> {
        let fits = |tile: &WindowTile| caps.max_workgroup_bytes >= STAGED * 4 && WindowLayout::new(c, *tile).is_some();
        let tiles: Vec<WindowTile> = TILES.into_iter().filter(fits).collect();
        if tiles.is_empty() {
            return Err(TOO_FAR.into());
        }
        Ok(tiles.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

/// Output rows and positions of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowTile {
    rows: u32,
    positions: u32,
}

impl Variant<Correlate> for WindowTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, self.positions, 1)
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        WindowLayout::new(c, *self).map_or(Prediction::NEVER, |layout| layout.predict(c, caps))
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        let layout = |c: &Correlate| {
            let too_far = || Error::Unsupported { kernel: "window", reason: TOO_FAR.into() };
            WindowLayout::new(c, *self).ok_or_else(too_far)
        };
        let whole = layout(c)?;
        let limits = Limits {
            max_range: builder.caps.max_range(),
            max_iterations: builder.caps.max_iterations,
            iterations: &|c, depth| layout(c).unwrap_or(whole).iterations(c, depth),
            staged: None,
        };
        for part in slices::correlate(c, limits)? {
            // A cut range of taps has residues of other lengths.
            let layout = layout(&part.correlate)?;
            layout.emit(&part.correlate, &part.slices, builder)?;
            part.order(false, &layout.order(&part.correlate), builder);
        }
        Ok(())
    }
}

/// Workgroups and their invocations, and residues and chunks of taps.
struct Totals {
    workgroups: f64,
    lanes: f64,
    residues: f64,
    chunks: f64,
}

/// The order in which positions and taps are visited, and the samples that a workgroup stages at once.
///
/// Output position `j` reads input position `j*stride + t*dilation` for tap `t`. Positions `dilation/gcd` apart (the spacing) share
/// samples at taps `stride/gcd` apart (the tap stride). So the taps of one residue modulo the tap stride are visited together, while the
/// samples of a tile's positions shift through the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowLayout {
    tile: WindowTile,
    spacing: u32,
    tap_stride: u32,
    /// Base-2 logarithm of the number of adjacent positions in adjacent invocations: a power of two, at most the spacing.
    width_shift: u32,
    /// Sequences that are staged at once, and the taps and samples of a staged sequence.
    sequences: u32,
    taps: u32,
    samples: u32,
    /// Taps of an unrolled step; whether a step has all taps of a residue; whether a remainder loop is needed.
    unrolled: u32,
    whole: bool,
    rest: bool,
}

impl WindowLayout {
    /// `None` if positions that share samples are too far apart.
    fn new(c: &Correlate, tile: WindowTile) -> Option<Self> {
        let (in_step, tap_step) = (c.in_step.unsigned_abs(), c.tap_step.unsigned_abs());
        let common = gcd(in_step, tap_step);
        // With one tap, no samples are shared: the positions of a tile are adjacent.
        let (spacing, tap_stride) = if c.max_taps() <= 1 { (1, 1) } else { (tap_step / common, in_step / common) };
        let width_shift = spacing.min(LANES).ilog2();
        let along = LANES >> width_shift;
        let block = u64::from(along * tile.positions).saturating_mul(u64::from(spacing) * u64::from(in_step));
        if block > MAX_BLOCK {
            return None;
        }
        // The number of taps of each residue. Within a phase these numbers differ by at most one.
        let length = |p: &Phase, first: u32| (p.taps - 1 - first) / tap_stride + 1;
        let ends = |p: &Phase| [length(p, 0), length(p, tap_stride.min(p.taps) - 1)];
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
        let sequences = (STAGED / samples).min(MOST_SEQUENCES);
        let layout =
            WindowLayout { tile, spacing, tap_stride, width_shift, sequences, taps, samples, unrolled, whole, rest };
        (taps > 0).then_some(layout)
    }

    /// Blocks that cover `positions` positions of a row: along the spacing, and across it.
    fn blocks(&self, positions: u32) -> [u32; 2] {
        let along = (LANES >> self.width_shift) * self.tile.positions;
        let across = self.spacing.div_ceil(1 << self.width_shift);
        [positions.div_ceil(self.spacing).div_ceil(along), across.min(positions.div_ceil(1 << self.width_shift))]
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        let [along, between] = self.blocks(c.positions());
        let rows = self.tile.rows;
        let blocks = f64::from(along) * f64::from(between) * f64::from(c.batch) * c.phases.len() as f64;
        let workgroups = blocks * f64::from(c.rows.div_ceil(rows)) * f64::from(c.groups);
        let residues = f64::from(self.tap_stride).min(c.mean_taps());
        let chunks = (c.mean_taps() / residues.max(1.0) / f64::from(self.taps)).ceil();
        let all = Totals { workgroups, lanes: workgroups * f64::from(LANES), residues, chunks };
        predict(
            caps,
            |speed| self.costs(c, &all, speed),
            |subgroup| (self.tally(c, &all, subgroup), vec![pack::tally(c, rows)]),
        )
    }

    fn costs(&self, c: &Correlate, all: &Totals, speed: &Speed) -> Work {
        let WindowTile { rows, positions } = self.tile;
        let (sums, positions) = (f64::from(rows * positions), f64::from(positions));
        // Per tap: the sums, its weights and a sample. Per residue: the first samples of the window, and staging all samples.
        let tap = f64::from(rows.div_ceil(4)) * speed.load + speed.staged_load;
        let staged = f64::from(self.samples) / f64::from(LANES);
        let sequence = all.chunks * (positions * speed.staged_load + staged * (speed.load + speed.staged_load));
        let inputs = all.lanes * f64::from(c.depth);
        Work {
            sums: inputs * c.mean_taps() * sums,
            loads: inputs * (c.mean_taps() * tap + all.residues * sequence),
            stores: all.lanes * sums * (speed.store + 2.0 * speed.staged_load),
            packing: 0.0,
            dispatches: 2.0,
            busy: speed.busy(all.lanes),
        }
    }

    fn tally(&self, c: &Correlate, all: &Totals, subgroup: f64) -> Tally {
        let WindowTile { rows, positions } = self.tile;
        let sums = f64::from(rows * positions);
        let [inputs, weights, outputs] = c.elements();
        let sequences = f64::from(c.depth) * all.residues * all.chunks;
        let staged = (f64::from(self.samples) / subgroup).ceil() * subgroup / f64::from(LANES);
        let taps = f64::from(c.depth) * c.mean_taps();
        let steps = taps / f64::from(self.unrolled);
        let stages = (f64::from(c.depth) * all.residues / f64::from(self.sequences)).ceil() * all.chunks;
        let from_staged = all.lanes * (sequences * (f64::from(positions) - 1.0 + staged) + taps + 2.0 * sums);
        Tally {
            workgroups: all.workgroups,
            invocations: LANES.into(),
            registers: f64::from(rows * positions + positions + self.unrolled + 20),
            workgroup_bytes: f64::from(4 * STAGED),
            // Addresses of the samples, when they are staged and stored (counted).
            integers: all.lanes * (sequences * (8.0 * staged + 6.0) + 3.0 * steps + 22.0 * sums),
            scalars: all.lanes * (sequences * 30.0 + steps * (4.0 + f64::from(rows) / 4.0)),
            multiply_adds: all.lanes * taps * sums,
            loads: [
                Loads::apart(all.workgroups * sequences * f64::from(self.samples), c.in_step.unsigned_abs()),
                Loads::shared(all.lanes * taps * f64::from(rows.div_ceil(4)), 4.0),
            ],
            stores: Loads::apart(all.lanes * sums, c.out_step),
            staged: from_staged,
            staged_words: from_staged,
            fetched: all.workgroups
                * (sequences * f64::from(self.samples) * f64::from(c.in_step.unsigned_abs().min(8))
                    + f64::from(4 * rows.div_ceil(4)) * taps),
            memory: inputs + weights + outputs,
            barriers: all.workgroups * (2.0 * stages + 2.0 * sums / f64::from(STAGED / LANES)),
            waits: all.lanes * (sequences * staged + steps),
            ..Tally::default()
        }
    }

    /// The loops over the terms of an element. Without blocks of taps, blocks of sequences do not change the order.
    fn order(&self, c: &Correlate) -> Vec<Level> {
        let residues = [Level::Depth, Level::Residues(self.tap_stride), c.ascending_taps()];
        if self.taps >= c.max_taps().div_ceil(self.tap_stride) {
            return residues.to_vec();
        }
        let blocks = [Level::SequenceBlocks(self.sequences), Level::TapBlocks(self.taps)];
        blocks.into_iter().chain(residues).collect()
    }

    /// Iterations of all loops of an invocation that sums over `depth` input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let WindowTile { rows, positions } = self.tile;
        let residues = u64::from(self.tap_stride.min(c.max_taps()));
        let chunks = u64::from(c.max_taps().div_ceil(self.tap_stride).div_ceil(self.taps));
        let sequence = u64::from(4 + self.samples.div_ceil(LANES) + positions);
        let tap = u64::from(3 + rows.div_ceil(4) * (1 + rows.min(4) * (1 + positions)) + positions);
        u64::from(depth) * (1 + residues * chunks * sequence + u64::from(c.max_taps()) * tap)
    }

    fn emit(&self, c: &Correlate, slices: &[CorrelateSlice], builder: &mut Builder<'_>) -> Result<()> {
        let phases = builder.phases(&c.phases)?;
        let mut packing = Packing::new(c, self.tile.rows, builder)?;
        for slice in slices {
            builder.count(slice.multiply_adds(c, |phase| phase.taps));
            let packed = packing.emit(c, slice, builder)?;
            let ranges = &slice.ranges;
            let row_tiles = ranges.rows().div_ceil(self.tile.rows);
            let [along, across] = self.blocks(ranges.positions());
            let draft = Draft::new(&WINDOW)
                .constants(&[
                    ("STAGED", STAGED),
                    ("TILE_ROWS", self.tile.rows),
                    ("TILE_POSITIONS", self.tile.positions),
                    ("UNROLLED", self.unrolled),
                    ("WHOLE", self.whole.into()),
                    ("REST", self.rest.into()),
                    ("ADJACENT", (self.width_shift == 0).into()),
                ])
                .correlation(c, slice, &phases)
                .bind(packed);
            let params = Correlation {
                walk: c.walk_params(self.spacing, self.tap_stride),
                tiles: WindowTiles {
                    row_tiles,
                    along,
                    across,
                    width_shift: self.width_shift,
                    sequences: self.sequences,
                    taps: self.taps,
                    samples: self.samples,
                },
                ..slice.params(c, &phases)
            };
            let blocks = u64::from(row_tiles) * u64::from(along) * u64::from(across);
            let workgroups = blocks * u64::from(ranges.batch()) * u64::from(phases.count) * u64::from(ranges.groups());
            builder.dispatch(draft, workgroups, &params)?;
        }
        Ok(())
    }
}
