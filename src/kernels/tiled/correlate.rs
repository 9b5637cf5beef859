//! Correlation with operands staged in workgroup memory.

use super::{LANES_POSITIONS, Tiled, WORKGROUP_BYTES};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::kernels::operands::{Correlation, Draft};
use crate::kernels::order::Level;
use crate::kernels::pack::{self, PACK, Packing};
use crate::kernels::params::tiles;
use crate::kernels::predict::{Loads, Prediction, Tally, Work, predict, rank};
use crate::kernels::program::{Builder, Source, source};
use crate::kernels::slices::{self, CorrelateSlice, Limits};
use crate::kernels::{CorrelateLayout, CorrelateTile, Kernel, Variant, ranked};
use crate::lowering::{Correlate, gcd};

static TILED: Source = source!("tiled", Correlation<TiledTiles>);

tiles! {
    /// `Tiles` of `tiled.wgsl`.
    TiledTiles {
        row_tiles: u32, position_tiles: u32, in_step: u32, tap_step: i32, depth: u32, taps: u32, samples: u32,
    }
}

/// Samples that are staged at once, and also weights: each takes half of the workgroup memory that WebGPU guarantees.
const STAGED: u32 = 2048;

/// The reason for having no variant.
const TOO_LONG: &str = "the samples that a tile of positions reads do not fit the workgroup memory";

/// The largest stride that is compiled into the shader as a constant, so that samples are read at fixed distances. Every value
/// needs a separate compilation.
const MOST_CONSTANT_STEP: i32 = 2;

/// Maximum input rows that are staged at once. With more, the barriers saved are negligible.
const MOST_DEPTH: u32 = 16;

/// Compiled for RDNA 3, the first tile's loop over taps issues 112 instructions, of which 96 are multiply-adds, with 132 registers, no
/// spills and 8 waves (RDNA 2: the same, but 128 registers). With 16 positions, 128 of 146 instructions are multiply-adds, but RDNA 2
/// has only 6 waves; with 8 positions, 64 of 78. Compiler: Mesa's RADV, 2026-11-21.
const TILES: [CorrelateTile; 3] = [
    CorrelateTile { rows: 8, positions: 12, lanes_rows: 8 },
    CorrelateTile { rows: 8, positions: 8, lanes_rows: 8 },
    CorrelateTile { rows: 4, positions: 4, lanes_rows: 4 },
];

impl Kernel<Correlate> for Tiled {
    fn name(&self) -> &'static str {
        "tiled"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&TILED, &PACK]
    }

    fn variants(&self, c: &Correlate, caps: &Caps) -> Result<Vec<Box<dyn Variant<Correlate>>>, String> {
        let fits = |tile: &CorrelateTile| {
            LANES_POSITIONS * tile.lanes_rows <= caps.max_invocations
                && caps.max_workgroup_bytes >= WORKGROUP_BYTES
                && TiledLayout::new(c, *tile).is_some()
        };
        let tiles: Vec<CorrelateTile> = TILES.into_iter().filter(fits).collect();
        if tiles.is_empty() {
            return Err(TOO_LONG.into());
        }
        Ok(ranked::<TiledLayout>("tiled", tiles))
    }
}

/// The input rows, taps and samples that a workgroup stages at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TiledLayout {
    tile: CorrelateTile,
    depth: u32,
    taps: u32,
    /// Staged samples of an input row.
    samples: u32,
}

impl CorrelateLayout for TiledLayout {
    fn ranked(c: &Correlate, tile: CorrelateTile, caps: &Caps) -> Vec<(Self, Prediction)> {
        rank(TiledLayout::new(c, tile).into_iter(), |layout| layout.predict(c, caps))
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        let limits = Limits {
            max_range: builder.caps.max_range(),
            max_iterations: builder.caps.max_iterations,
            iterations: &|c, depth| self.iterations(c, depth),
            staged: None,
        };
        for part in slices::correlate(c, limits)? {
            self.emit_slices(&part.correlate, &part.slices, builder)?;
            let nesting = [Level::DepthBlocks(self.depth), Level::TapBlocks(self.taps), Level::Depth, Level::Taps];
            part.order(false, &nesting, builder);
        }
        Ok(())
    }
}

impl TiledLayout {
    /// Chooses the number of taps with the fewest samples per tap, and as many input rows as fit. `None` if not even one row fits.
    fn new(c: &Correlate, tile: CorrelateTile) -> Option<Self> {
        let (rows, positions) = (tile.rows * tile.lanes_rows, tile.positions * LANES_POSITIONS);
        let samples = |taps: u32| {
            u64::from(positions - 1) * u64::from(c.in_step.unsigned_abs())
                + u64::from(taps - 1) * u64::from(c.tap_step.unsigned_abs())
                + 1
        };
        let fits = |taps: &u32| samples(*taps) <= STAGED.into();
        // For equal samples per tap, more taps are better: fewer barriers.
        let most = c.max_taps().clamp(1, STAGED / rows);
        let cost = |taps: u32| (samples(taps).div_ceil(taps.into()), most - taps);
        let taps = (1..=most).filter(fits).min_by_key(|&taps| cost(taps))?;
        let samples = samples(taps) as u32;
        let depth = (STAGED / samples).min(STAGED / (taps * rows)).min(MOST_DEPTH).min(c.depth);
        Some(TiledLayout { tile, depth, taps, samples })
    }

    /// Output rows of a workgroup.
    fn rows(&self) -> u32 {
        self.tile.rows * self.tile.lanes_rows
    }

    /// Positions of a workgroup.
    fn positions(&self) -> u32 {
        self.tile.positions * LANES_POSITIONS
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        let blocks = f64::from(c.positions().div_ceil(self.positions())) * f64::from(c.batch) * c.phases.len() as f64;
        let workgroups = blocks * f64::from(c.rows.div_ceil(self.rows())) * f64::from(c.groups);
        let pack = || vec![pack::tally(c, self.rows())];
        predict(
            caps,
            |speed| self.costs(c, workgroups, speed),
            |subgroup| (self.tally(c, workgroups, subgroup), pack()),
        )
    }

    /// Lanes that wait for one bank of workgroup memory, where neighbouring lanes load samples `in_step` words apart.
    fn conflicts(&self, c: &Correlate) -> f64 {
        let banks = 32 / gcd(c.in_step.unsigned_abs().max(1), 32);
        f64::from(LANES_POSITIONS.div_ceil(banks))
    }

    fn lanes(&self) -> f64 {
        f64::from(LANES_POSITIONS * self.tile.lanes_rows)
    }

    fn costs(&self, c: &Correlate, workgroups: f64, speed: &Speed) -> Work {
        let CorrelateTile { rows, positions, .. } = self.tile;
        let lanes = self.lanes();
        // Per tap of an input row: the sums, the samples and weights from workgroup memory, and a share of the staging.
        let staged = f64::from(self.samples) / f64::from(self.taps) + f64::from(self.rows()) / 4.0;
        let load =
            f64::from(positions + rows / 4) * speed.staged_load + staged / lanes * (speed.load + speed.staged_load);
        let taps = workgroups * lanes * f64::from(c.depth) * c.mean_taps();
        Work {
            sums: taps * f64::from(rows * positions),
            loads: taps * load,
            stores: workgroups * lanes * f64::from(rows * positions) * speed.store,
            packing: 0.0,
            dispatches: 2.0,
            busy: speed.busy(workgroups * lanes),
        }
    }

    fn tally(&self, c: &Correlate, workgroups: f64, subgroup: f64) -> Tally {
        let CorrelateTile { rows, positions, .. } = self.tile;
        let lanes = workgroups * self.lanes();
        let [inputs, weights, outputs] = c.elements();
        let depth = f64::from(c.depth);
        let taps = depth * c.mean_taps();
        let chunks = (c.mean_taps() / f64::from(self.taps)).ceil();
        // Samples and vectors of weights that an invocation stages for an input row and a chunk of taps.
        // Whole subgroups do it.
        let share = |count: f64| (count / subgroup).ceil() * subgroup / self.lanes();
        let samples = share(self.samples.into());
        let vectors = share(f64::from(self.taps * self.rows()) / 4.0);
        let (rows, positions) = (f64::from(rows), f64::from(positions));
        let stages = (depth / f64::from(self.depth)).ceil() * chunks;
        let fetched = depth * chunks * f64::from(self.samples) + taps * f64::from(self.rows());
        Tally {
            workgroups,
            invocations: self.lanes(),
            registers: rows * positions + rows + positions + 16.0,
            workgroup_bytes: WORKGROUP_BYTES.into(),
            // Addresses in workgroup memory, and those of the staging (counted).
            integers: lanes * (taps * 2.0 + depth * chunks * (8.0 * samples + 8.0 * vectors) + rows * positions * 6.0),
            scalars: lanes * (depth * chunks * 20.0 + taps * 4.0),
            multiply_adds: lanes * taps * rows * positions,
            loads: [
                Loads::apart(workgroups * depth * chunks * f64::from(self.samples), 1),
                Loads { words: 4.0, ..Loads::apart(workgroups * taps * f64::from(self.rows()) / 4.0, 4) },
            ],
            stores: Loads { sharing: 1.0, ..Loads::apart(lanes * rows * positions, c.out_step) },
            staged: lanes * (taps * (positions + rows / 4.0) + depth * chunks * (samples + vectors)),
            staged_words: lanes
                * (taps * (positions * self.conflicts(c) + rows) + depth * chunks * (samples + 4.0 * vectors)),
            fetched: workgroups * fetched,
            memory: inputs + weights + outputs,
            barriers: workgroups * 2.0 * stages,
            waits: lanes * depth * chunks * (samples + vectors),
            ..Tally::default()
        }
    }

    /// Iterations of all loops of an invocation that sums over `depth` input rows.
    fn iterations(&self, c: &Correlate, depth: u32) -> u64 {
        let CorrelateTile { rows, positions, lanes_rows } = self.tile;
        let lanes = LANES_POSITIONS * lanes_rows;
        let chunks = u64::from(c.max_taps().div_ceil(self.taps));
        let stage = 3 + self.samples.div_ceil(lanes) + (self.taps * self.rows() / 4).div_ceil(lanes);
        let tap = 1 + positions + rows / 4 * (1 + positions);
        u64::from(depth) * (2 + chunks * u64::from(1 + stage) + u64::from(c.max_taps()) * u64::from(tap))
    }

    fn emit_slices(&self, c: &Correlate, slices: &[CorrelateSlice], builder: &mut Builder<'_>) -> Result<()> {
        let phases = builder.phases(&c.phases)?;
        let mut packing = Packing::new(c, self.rows(), builder)?;
        for slice in slices {
            builder.count(slice.multiply_adds(c, |phase| phase.taps));
            let packed = packing.emit(c, slice, builder)?;
            let ranges = &slice.ranges;
            let row_tiles = ranges.rows().div_ceil(self.rows());
            let position_tiles = ranges.positions().div_ceil(self.positions());
            let draft = Draft::new(&TILED)
                .constants(&[
                    ("LANES_POSITIONS", LANES_POSITIONS),
                    ("LANES_ROWS", self.tile.lanes_rows),
                    ("TILE_ROWS", self.tile.rows),
                    ("TILE_POSITIONS", self.tile.positions),
                    ("IN_STEP", if c.in_step <= MOST_CONSTANT_STEP { c.in_step.unsigned_abs() } else { 0 }),
                    ("STAGED", STAGED),
                ])
                .correlation(c, slice, &phases)
                .bind(packed);
            let params = Correlation {
                tiles: TiledTiles {
                    row_tiles,
                    position_tiles,
                    in_step: c.in_step.unsigned_abs(),
                    tap_step: c.tap_step,
                    depth: self.depth,
                    taps: self.taps,
                    samples: self.samples,
                },
                ..slice.params(c, &phases)
            };
            let tiles = u64::from(row_tiles) * u64::from(position_tiles);
            let workgroups = tiles * u64::from(ranges.batch()) * u64::from(phases.count) * u64::from(ranges.groups());
            builder.dispatch(draft, workgroups, &params)?;
        }
        Ok(())
    }
}
