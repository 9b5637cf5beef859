//! `direct`: a register tile per invocation, for any geometry. Its only workspace is the partial sums of a split sum.

use super::operands::{Contraction, Correlation, Draft};
use super::order::{Level, Part};
use super::params::tiles;
use super::predict::{Loads, Tally, Work, predict, rank};
use super::program::{Builder, LANES, Source, source};
use super::reduce::{Blocks, Reduction, SUM_PARTIALS, Units, most_outputs, second_pass};
use super::slices::{self, ContractSlice, CorrelateSlice, Limits, TapSlice};
use super::walk::Walk;
use super::{CorrelateLayout, CorrelateTile, Kernel, Prediction, Tile, Variant, active_share, ranked};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::lowering::{Contract, Correlate, Phase};

static DIRECT: Source = source!("direct", Correlation<CorrelateTiles>);
static CONTRACT: Source = source!("contract", Contraction<ContractTiles>);

tiles! {
    /// `Tiles` of `direct.wgsl`.
    CorrelateTiles { row_tiles: u32, position_tiles: u32, position_workgroups: u32 }
}

tiles! {
    /// `Tiles` of `contract.wgsl`.
    ContractTiles { row_tiles: u32, tap_tiles: u32, column_workgroups: u32, spacing: u32, stretches: u32, stretch: u32 }
}

/// Maximum positions of a stretch. A split sums whole stretches; adding the partial sums dominates the time of shorter splits.
const STRETCH: u32 = 256;

#[derive(Debug)]
pub(crate) struct Direct;

impl Kernel<Correlate> for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&DIRECT]
    }

    fn variants(&self, _: &Correlate, _: &Caps) -> Result<Vec<Box<dyn Variant<Correlate>>>, String> {
        Ok(ranked::<DirectLayout>("direct", CORRELATE_TILES))
    }
}

impl Kernel<Contract> for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&CONTRACT, &SUM_PARTIALS]
    }

    fn variants(&self, _: &Contract, _: &Caps) -> Result<Vec<Box<dyn Variant<Contract>>>, String> {
        Ok(CONTRACT_TILES.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

const CORRELATE_TILES: [CorrelateTile; 9] = [
    CorrelateTile { rows: 8, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 4, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 8, positions: 4, lanes_rows: 1 },
    CorrelateTile { rows: 4, positions: 4, lanes_rows: 1 },
    CorrelateTile { rows: 1, positions: 16, lanes_rows: 1 },
    CorrelateTile { rows: 1, positions: 4, lanes_rows: 1 },
    CorrelateTile { rows: 1, positions: 1, lanes_rows: 1 },
    // Few positions, many rows.
    CorrelateTile { rows: 4, positions: 1, lanes_rows: 8 },
    CorrelateTile { rows: 1, positions: 1, lanes_rows: 64 },
];

/// Operations on integers for each sample that a shader loads at a position that may be in the padding (counted).
pub(super) const SAMPLE_INTEGERS: f64 = 6.0;

/// Invocations of all workgroups, taps that they visit, and samples that one loads for each tap.
struct Totals {
    /// Tiles along the positions of all batch items.
    tiles: f64,
    lanes: f64,
    taps: f64,
    samples: f64,
}

/// A tile and its walk over positions and taps.
#[derive(Debug, Clone, Copy)]
struct DirectLayout {
    tile: CorrelateTile,
    walk: Walk,
}

impl CorrelateLayout for DirectLayout {
    fn ranked(c: &Correlate, tile: CorrelateTile, caps: &Caps) -> Vec<(Self, Prediction)> {
        let (in_step, tap_step) = (c.in_step.unsigned_abs(), c.tap_step.unsigned_abs());
        let lanes = Some(LANES / tile.lanes_rows);
        let walks = Walk::all(in_step, tap_step, tile.positions, c.max_taps(), lanes);
        rank(walks.map(|walk| DirectLayout { tile, walk }), |layout| layout.predict(c, caps))
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        // Per tap: a sample for each position, and for each row its weight and a sum for each position. Per residue: samples.
        let iterations = u64::from(2 + 2 * self.tile.positions + self.tile.rows * (1 + self.tile.positions));
        let limits = Limits {
            max_range: builder.caps.max_range(),
            max_iterations: builder.caps.max_iterations,
            iterations: &|c, depth| {
                let meeting = c.phases.iter().map(|p| self.meeting_taps(c, p)).max().unwrap_or(0);
                u64::from(depth) * (u64::from(meeting) + 1) * iterations
            },
            staged: None,
        };
        for part in slices::correlate(c, limits)? {
            self.emit_slices(&part.correlate, &part.slices, builder)?;
            self.order(&part, builder);
        }
        Ok(())
    }
}

impl DirectLayout {
    fn lanes_positions(&self) -> u32 {
        LANES / self.tile.lanes_rows
    }

    /// Maximum number of taps that read a sample inside the input row for at least one position of a tile.
    fn meeting_taps(&self, c: &Correlate, phase: &Phase) -> u32 {
        // Distance between the first and last output position of a tile.
        let positions = u64::from(self.tile.positions - 1) * u64::from(self.walk.spacing);
        c.meeting_taps(phase, positions * u64::from(c.in_step.unsigned_abs()))
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        let CorrelateTile { rows, positions, lanes_rows } = self.tile;
        let tiles = u64::from(c.batch) * self.walk.position_tiles(c.positions());
        let lanes_positions = u64::from(self.lanes_positions());
        let lanes = (tiles.div_ceil(lanes_positions) * lanes_positions) as f64;
        let row_tiles = f64::from(c.rows.div_ceil(rows * lanes_rows) * lanes_rows) * f64::from(c.groups);
        let taps: f64 = c.phases.iter().map(|p| f64::from(self.meeting_taps(c, p))).sum();
        let all = Totals {
            tiles: tiles as f64,
            lanes: lanes * row_tiles * c.phases.len() as f64,
            taps: lanes * row_tiles * f64::from(c.depth) * taps,
            samples: self.walk.samples(positions, c.max_taps()),
        };
        predict(caps, |speed| self.costs(&all, speed), |subgroup| (self.tally(c, &all, subgroup), Vec::new()))
    }

    fn costs(&self, all: &Totals, speed: &Speed) -> Work {
        let CorrelateTile { rows, positions, .. } = self.tile;
        let sums = f64::from(rows * positions);
        // Per tap: the sums, the samples, and a weight for each row.
        Work {
            sums: all.taps * sums * speed.direct_sum,
            loads: all.taps * (all.samples + f64::from(rows)) * speed.load,
            stores: all.lanes * sums * speed.store,
            packing: 0.0,
            dispatches: 1.0,
            busy: speed.busy(all.lanes),
        }
    }

    fn tally(&self, c: &Correlate, all: &Totals, subgroup: f64) -> Tally {
        let CorrelateTile { rows, positions, lanes_rows } = self.tile;
        let in_step = c.in_step.unsigned_abs();
        let along = f64::from(self.lanes_positions());
        let active = active_share(all.tiles, c.rows, self.tile, subgroup);
        let all_taps = all.taps * active;
        let outputs_of_lanes = all.lanes * active * f64::from(rows * positions);
        let workgroups = all.lanes / f64::from(LANES);
        let shared_samples = self.lanes_positions() == 1;
        let samples = Loads {
            sharing: (subgroup / along).max(1.0),
            ..Loads::apart(all_taps * all.samples, self.walk.distance(in_step))
        };
        // The lanes of a row load its weights at one address; those of other rows, far away.
        let weights = match lanes_rows {
            1 => Loads::shared(all_taps * f64::from(rows), 1.0),
            _ => Loads {
                sharing: self.lanes_positions().into(),
                ..Loads::apart(all_taps * f64::from(rows), c.w_row.saturating_mul(rows))
            },
        };
        let [inputs, weight_elements, outputs] = c.elements();
        let taps = c.mean_taps();
        // Samples and weights of the positions and rows of a workgroup.
        let samples_fetched = c.samples_of(f64::from(self.lanes_positions() * positions)) * f64::from(c.depth);
        let weights_fetched =
            f64::from((rows * lanes_rows).min(c.rows)) * f64::from(c.depth) * taps * c.weight_spread();
        Tally {
            workgroups,
            invocations: LANES.into(),
            registers: f64::from(rows * positions + rows + positions + 16),
            // Addresses and bounds of each sample (counted). With one position, all lanes share them.
            integers: outputs_of_lanes * 8.0
                + if shared_samples { all_taps * 2.0 } else { all_taps * (SAMPLE_INTEGERS * all.samples + 1.0) },
            // Of the tile of a lane.
            divisions: 4.0 * all.lanes * active,
            scalars: all_taps * (4.0 + 2.0 * f64::from(rows) + if shared_samples { 8.0 } else { 0.0 }),
            multiply_adds: all_taps * f64::from(rows * positions),
            loads: [samples, weights],
            stores: Loads::apart(all.lanes * f64::from(rows * positions), self.walk.distance(c.out_step)),
            fetched: workgroups * (samples_fetched + weights_fetched),
            memory: inputs + weight_elements + outputs,
            waits: all_taps * (1.0 + all.samples),
            ..Tally::default()
        }
    }

    /// Adds the order of a part, unless taps are clamped: tiles then omit different terms, so elements have no common order.
    fn order(&self, part: &TapSlice, builder: &mut Builder<'_>) {
        let c = &part.correlate;
        let clamped = c.phases.iter().any(|p| self.meeting_taps(c, p) < p.taps);
        let nesting = [Level::Depth, Level::Residues(self.walk.tap_stride), c.ascending_taps()];
        if !clamped {
            part.order(true, &nesting, builder);
        }
    }

    fn emit_slices(&self, c: &Correlate, slices: &[CorrelateSlice], builder: &mut Builder<'_>) -> Result<()> {
        let CorrelateTile { rows, positions, lanes_rows } = self.tile;
        let phases = builder.phases(&c.phases)?;
        let clamped = c.phases.iter().any(|p| self.meeting_taps(c, p) < p.taps);
        for slice in slices {
            builder.count(slice.multiply_adds(c, |p| self.meeting_taps(c, p)));
            let ranges = &slice.ranges;
            let position_tiles = self.walk.position_tiles(ranges.positions());
            let position_workgroups =
                (u64::from(ranges.batch()) * position_tiles).div_ceil(self.lanes_positions().into());
            let row_tiles = ranges.rows().div_ceil(rows * lanes_rows);
            let draft = Draft::new(&DIRECT)
                .constants(&[
                    ("LANES_POSITIONS", self.lanes_positions()),
                    ("LANES_ROWS", lanes_rows),
                    ("TILE_ROWS", rows),
                    ("TILE_POSITIONS", positions),
                    ("SHIFTED", self.walk.shifted.into()),
                    ("CLAMPED", clamped.into()),
                ])
                .correlation(c, slice, &phases)
                .weight(slice.weight);
            let params = Correlation {
                walk: c.walk_params(self.walk.spacing, self.walk.tap_stride),
                tiles: CorrelateTiles {
                    row_tiles,
                    position_tiles: position_tiles as u32,
                    position_workgroups: position_workgroups as u32,
                },
                ..slice.params(c, &phases)
            };
            let workgroups =
                position_workgroups * u64::from(phases.count) * u64::from(row_tiles) * u64::from(ranges.groups());
            builder.dispatch(draft, workgroups, &params)?;
        }
        Ok(())
    }
}

/// Output rows and taps of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContractTile {
    rows: u32,
    taps: u32,
}

const CONTRACT_TILES: [ContractTile; 6] = [
    ContractTile { rows: 8, taps: 1 },
    ContractTile { rows: 4, taps: 1 },
    ContractTile { rows: 4, taps: 4 },
    ContractTile { rows: 1, taps: 16 },
    ContractTile { rows: 1, taps: 4 },
    ContractTile { rows: 1, taps: 1 },
];

impl Variant<Contract> for ContractTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, self.taps, 1)
    }

    fn predict(&self, c: &Contract, caps: &Caps) -> Prediction {
        Stretches::new(c, *self, c.positions).predict(c, *self, caps)
    }

    fn emit(&self, c: &Contract, builder: &mut Builder<'_>) -> Result<()> {
        let max_output = most_outputs(c, self.terms(c), builder);
        let slices = slices::contract_to_bindings(c, max_output, builder.caps)?;
        slices.iter().try_for_each(|slices| self.emit_slices(c, slices, builder))
    }
}

impl ContractTile {
    /// Iterations per position: its samples, and for each row a sum for each tap.
    fn position_iterations(&self) -> u32 {
        1 + self.taps + self.rows * (1 + self.taps)
    }

    /// Emits slices that are added to the same part of the weight gradient.
    fn emit_slices(&self, c: &Contract, slices: &[ContractSlice], builder: &mut Builder<'_>) -> Result<()> {
        let Some(ContractSlice { ranges: first, .. }) = slices.first() else { return Ok(()) };
        let row_tiles = first.rows().div_ceil(self.rows);
        let tap_tiles = c.taps.div_ceil(self.taps);
        let columns = u64::from(first.groups()) * u64::from(first.depth()) * u64::from(tap_tiles);
        let column_workgroups = columns.div_ceil(LANES.into());
        let invocations = (column_workgroups * u64::from(LANES) * u64::from(row_tiles)) as f64;
        let wanted = builder.caps.splits(invocations, self.rows * self.taps);
        let all_stretches = Stretches::new(c, *self, c.positions).count(c.batch);
        let mut reduction = Reduction::new(c, first, self.terms(c), wanted.min(all_stretches), builder)?;
        let meeting = c.meeting_positions(self.taps);
        for slice in slices {
            let stretches = Stretches::new(c, *self, slice.ranges.positions());
            let all = stretches.count(slice.ranges.batch()) as u32;
            let each = all.div_ceil(reduction.splits);
            let blocks = self.blocks(c, &reduction, &stretches, each, builder.caps);
            builder.count(slice.multiply_adds(c, meeting.min(slice.ranges.positions())));
            let inner = [Level::Positions(stretches.spacing)];
            let sizes = [reduction.splits, each, blocks.block];
            if meeting == c.positions {
                builder.order(false, Part::over_positions(&slice.ranges, sizes, Some(stretches.stretch), inner));
            }
            for split in reduction.dispatches(all, blocks) {
                let accumulate = reduction.begin(split, blocks, builder)?;
                let draft = Draft::new(&CONTRACT)
                    .constants(&[
                        ("TILE_ROWS", self.rows),
                        ("TILE_TAPS", self.taps),
                        ("SHIFTED", stretches.shifted.into()),
                        ("CLAMPED", (meeting < c.positions).into()),
                    ])
                    .samples(c.wide, slice.wide, c.extension)
                    .narrow(c, slice)
                    .partials(&reduction, accumulate);
                let params = Contraction {
                    partials: reduction.params(),
                    split,
                    tiles: ContractTiles {
                        row_tiles,
                        tap_tiles,
                        column_workgroups: column_workgroups as u32,
                        spacing: stretches.spacing,
                        stretches: stretches.stretches,
                        stretch: stretches.stretch,
                    },
                    ..slice.params(c)
                };
                let workgroups = column_workgroups * u64::from(row_tiles) * u64::from(reduction.splits);
                builder.dispatch(draft, workgroups, &params)?;
            }
        }
        reduction.finish(builder)
    }

    /// Terms of an output: the positions at which one of its tile's taps reads a sample.
    fn terms(&self, c: &Contract) -> u64 {
        u64::from(c.batch) * u64::from(c.meeting_positions(self.taps))
    }

    /// The blocks of splits of `each` stretches.
    fn blocks(&self, c: &Contract, reduction: &Reduction, stretches: &Stretches, each: u32, caps: &Caps) -> Blocks {
        // A tile visits only the positions at which one of its taps reads a sample. `sequence` is the most of them in a sequence, and
        // `sequences` the most sequences that a number of consecutive stretches touches.
        let sequence = u64::from(c.meeting_positions(self.taps) / stretches.spacing + 1);
        let sequences = |count: u32| u64::from(count.div_ceil(stretches.stretches) + 1);
        let terms = |count: u32| (u64::from(count) * u64::from(stretches.stretch)).min(sequences(count) * sequence);
        let units = Units {
            terms: &terms,
            iterations: &|count| {
                u64::from(count) * u64::from(2 + self.taps) + terms(count) * u64::from(self.position_iterations())
            },
            store: 1 + self.taps + self.rows * (1 + self.taps),
        };
        Blocks::new(reduction, each, &units, caps)
    }
}

/// The order in which the positions of a batch item are visited: sequences of positions `spacing` apart, cut into stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretches {
    /// Whether samples are shifted through the taps of a tile.
    shifted: bool,
    spacing: u32,
    /// Stretches of a sequence, and positions of a stretch.
    stretches: u32,
    stretch: u32,
}

impl Stretches {
    fn new(c: &Contract, tile: ContractTile, positions: u32) -> Self {
        // If the dilation is `spacing` strides, the next position of a sequence reads the samples of the neighbouring tap.
        let spacing = c.dilation / c.stride;
        let shifted = tile.taps > 1
            && c.dilation.is_multiple_of(c.stride)
            && u64::from(positions) >= 2 * u64::from(tile.taps) * u64::from(spacing);
        let spacing = if shifted { spacing } else { 1 };
        let sequence = positions.div_ceil(spacing).max(1);
        let stretches = sequence.div_ceil(STRETCH);
        Stretches { shifted, spacing, stretches, stretch: sequence.div_ceil(stretches) }
    }

    /// Number of stretches of `batch` items.
    fn count(&self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.spacing) * u64::from(self.stretches)
    }

    fn predict(&self, c: &Contract, tile: ContractTile, caps: &Caps) -> Prediction {
        let ContractTile { rows, taps } = tile;
        let columns = c.groups.saturating_mul(c.depth).saturating_mul(c.taps.div_ceil(taps));
        let lanes = f64::from(columns.div_ceil(LANES)) * f64::from(LANES) * f64::from(c.rows.div_ceil(rows));
        // Each lane loads the samples of its own taps.
        let samples = if self.shifted { 1.0 + f64::from(taps - 1) / f64::from(self.stretch) } else { f64::from(taps) };
        let positions = lanes * f64::from(c.batch) * f64::from(c.meeting_positions(taps));
        let costs = |speed: &Speed| Work {
            sums: positions * f64::from(rows * taps) * speed.direct_sum,
            loads: positions * (samples + f64::from(rows)) * speed.load,
            stores: 0.0,
            packing: 0.0,
            dispatches: 2.0,
            // If there are few sums, splits keep the processors busy.
            busy: speed.busy(lanes * self.count(c.batch) as f64),
        };
        let tallies = |subgroup: f64| {
            let splits = caps.splits(lanes, rows * taps).clamp(1, self.count(c.batch).max(1)) as f64;
            let [narrow, wide, outputs] = c.elements();
            let workgroups = lanes / f64::from(LANES) * splits;
            // Neighbouring lanes have neighbouring tiles of taps, then those of other channels, whose rows are far apart.
            let tap_tiles = c.taps.div_ceil(taps);
            let covered = f64::from(tap_tiles * taps) * f64::from(c.dilation) / 8.0;
            let covered = if tap_tiles * taps > 1 { covered + 0.75 } else { 1.0 };
            // Few columns leave lanes idle, and whole subgroups.
            let subgroups = (f64::from(columns) / subgroup).ceil() * subgroup;
            let idle = subgroups / f64::from(columns.max(1));
            let all_lanes = f64::from(columns.div_ceil(LANES) * LANES);
            let positions = positions * subgroups / all_lanes;
            let samples_loads = Loads {
                sharing: (f64::from(tap_tiles) / covered).max(1.0) * idle,
                ..Loads::apart(positions * samples, c.wide_length.max(8))
            };
            // Lanes of one group load the same gradients.
            let of_group = c.depth.saturating_mul(tap_tiles);
            let gradients = match of_group >= LANES {
                true => Loads::shared(positions * f64::from(rows), 1.0),
                false => {
                    Loads { sharing: of_group.into(), ..Loads::apart(positions * f64::from(rows), c.positions.max(8)) }
                }
            };
            let rows_fetched = f64::from(LANES.div_ceil(tap_tiles).min(c.depth.saturating_mul(c.groups)));
            let main = Tally {
                workgroups,
                invocations: LANES.into(),
                registers: f64::from(rows * taps + rows + taps + 16),
                integers: positions * (SAMPLE_INTEGERS * 0.5 * samples + f64::from(rows)),
                scalars: 4.0 * positions,
                multiply_adds: positions * f64::from(rows * taps),
                loads: [samples_loads, gradients],
                stores: Loads::apart(lanes * splits * f64::from(rows * taps), taps),
                fetched: workgroups
                    * (rows_fetched * f64::from(c.stride) + f64::from(rows))
                    * (c.terms() as f64 / splits),
                memory: narrow + wide + outputs * splits,
                waits: positions * (1.0 + samples),
                ..Tally::default()
            };
            (main, second_pass(outputs, splits))
        };
        predict(caps, costs, tallies)
    }
}
