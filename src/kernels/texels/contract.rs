//! Weight gradient with operands staged in textures.

use super::staging::{INPUT, Rows, StagedRows};
use super::{TEXEL, Texels, check, staging_tally, texels};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::geometry::Extension;
use crate::kernels::operands::{Contraction, Draft};
use crate::kernels::order::{Level, Part};
use crate::kernels::params::tiles;
use crate::kernels::predict::{Loads, Prediction, Tally, Work, predict};
use crate::kernels::program::{Binding, Builder, LANES, Source, source};
use crate::kernels::reduce::{Blocks, Reduction, SUM_PARTIALS, Units, most_outputs, second_pass};
use crate::kernels::slices::{self, ContractSlice, Ranges, Staged};
use crate::kernels::{Kernel, Tile, Variant};
use crate::lowering::{Contract, Slot, gcd};

static CONTRACT: Source = source!("contract_texels", Contraction<TexelTiles>);

tiles! {
    /// `Tiles` of `contract_texels.wgsl`.
    TexelTiles {
        row_tiles: u32, column_tiles: u32, tiles: u32, splits: u32, steps: u32, narrow_units: u32, narrow_texels: u32,
        wide_units: u32, unit_columns: u32, wide_texels: u32, position_texels: u32, column_texels: u32,
    }
}

const TILES: [ContractTile; 4] = [
    ContractTile { rows: 8, columns: 8 },
    ContractTile { rows: 8, columns: 16 },
    ContractTile { rows: 4, columns: 16 },
    ContractTile { rows: 4, columns: 4 },
];

/// Minimum steps of a split. In shorter splits, adding the partial sums dominates.
const MIN_SPLIT: u64 = 128;

/// Cost of carrying a sum from one step to the next. The unit is a multiply-add in a loop with four multiply-adds per carried sum.
const CARRIED_SUM: f64 = 0.8;

/// Rounds the texels of a unit up to an odd number of cache lines, so that units visited side by side do not map to the same few
/// cache sets. The weight gradient of 512 to 512 channels, K 1, two items of 4096 positions, took 297 ms without this and 219 ms
/// with it (llvmpipe, two threads of an AMD EPYC, 2026-11-21).
fn odd_lines(texels: u64) -> u64 {
    let line = 4;
    (texels.div_ceil(line) | 1) * line
}

impl Kernel<Contract> for Texels {
    fn name(&self) -> &'static str {
        "texels"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&CONTRACT, &INPUT, &SUM_PARTIALS]
    }

    fn variants(&self, _: &Contract, caps: &Caps) -> Result<Vec<Box<dyn Variant<Contract>>>, String> {
        check(caps)?;
        Ok(TILES.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

/// Output rows and columns of an invocation, both in whole texels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContractTile {
    rows: u32,
    columns: u32,
}

impl Variant<Contract> for ContractTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, self.columns, 1)
    }

    fn predict(&self, c: &Contract, caps: &Caps) -> Prediction {
        ContractLayout::fastest(c, *self, caps).1
    }

    fn emit(&self, c: &Contract, builder: &mut Builder<'_>) -> Result<()> {
        ContractLayout::fastest(c, *self, builder.caps).0.emit(c, builder)
    }
}

/// The layout of the wide side of a contraction in a texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContractLayout {
    tile: ContractTile,
    /// Whether a texel holds four taps of a row; otherwise four rows.
    texel_taps: bool,
    /// Positions from one texel to the next, and from one column to the next.
    texel_step: u32,
    column_step: u32,
    /// Columns of a unit.
    unit_columns: u32,
}

impl ContractLayout {
    fn new(c: &Contract, tile: ContractTile, texel_taps: bool) -> Self {
        let texel = if texel_taps { TEXEL } else { 1 };
        let unit_columns = c.taps.div_ceil(texel);
        let column_step = c.dilation.saturating_mul(texel);
        let texel_step = if unit_columns == 1 { c.stride } else { gcd(c.stride, column_step) };
        ContractLayout { tile, texel_taps, texel_step, column_step, unit_columns }
    }

    /// The layout with the fastest prediction for a tile, and that prediction.
    fn fastest(c: &Contract, tile: ContractTile, caps: &Caps) -> (Self, Prediction) {
        let [rows, taps] = [false, true].map(|texel_taps| ContractLayout::new(c, tile, texel_taps));
        let (by_rows, by_taps) = (rows.predict(c, caps), taps.predict(c, caps));
        if by_taps.seconds() < by_rows.seconds() { (taps, by_taps) } else { (rows, by_rows) }
    }

    fn wide_units(&self, depth: u32) -> u32 {
        if self.texel_taps { depth } else { depth.div_ceil(TEXEL) }
    }

    /// Texels of a unit of the wide side for `positions` positions.
    fn wide_texels(&self, c: &Contract, positions: u32) -> u64 {
        let last_position = u64::from(positions.saturating_sub(1)) * u64::from(c.stride / self.texel_step);
        odd_lines(last_position + u64::from(self.unit_columns - 1) * u64::from(self.column_step / self.texel_step) + 1)
    }

    /// Texels of the narrow and of the wide side for `ranges`.
    fn staged(&self, c: &Contract, ranges: &Ranges) -> [u64; 2] {
        let items = u64::from(ranges.batch()) * u64::from(ranges.groups());
        let narrow = u64::from(ranges.rows().div_ceil(TEXEL)) * odd_lines(ranges.positions().into());
        let wide = u64::from(self.wide_units(ranges.depth())).saturating_mul(self.wide_texels(c, ranges.positions()));
        [items.saturating_mul(narrow), items.saturating_mul(wide)]
    }

    /// Number of tiles along the rows and along the columns of a group.
    fn tiles(&self, rows: u32, depth: u32) -> [u32; 2] {
        let columns = self.wide_units(depth) * self.unit_columns;
        [rows.div_ceil(self.tile.rows), columns.div_ceil(self.tile.columns / TEXEL)]
    }

    fn predict(&self, c: &Contract, caps: &Caps) -> Prediction {
        let whole = Ranges { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions };
        let [row_tiles, column_tiles] = self.tiles(c.rows, c.depth);
        let tiles = f64::from(row_tiles) * f64::from(column_tiles) * f64::from(c.groups);
        let ContractTile { rows, columns } = self.tile;
        let texels = f64::from((rows + columns) / TEXEL);
        let all_steps = u64::from(c.batch) * u64::from(c.positions.div_ceil(self.step()));
        let [narrow_texels, wide_texels] = self.staged(c, &whole).map(|texels| texels as f64);
        let all_positions = tiles * f64::from(self.step()) * all_steps as f64;
        let texel = f64::from(TEXEL);
        let costs = |speed: &Speed| Work {
            sums: all_positions * f64::from(rows * columns) * (0.8 + CARRIED_SUM / f64::from(self.step())),
            loads: all_positions * texels * speed.texel_load,
            stores: 0.0,
            packing: (narrow_texels + wide_texels) * (texel * speed.load + speed.texel_load),
            dispatches: 4.0,
            busy: 1.0,
        };
        let tallies = |_| {
            let splits = caps.splits(tiles, rows * columns).min(all_steps / MIN_SPLIT).max(1) as f64;
            let [narrow, wide, outputs] = c.elements();
            let invocations = tiles * splits;
            let main = Tally {
                workgroups: (invocations / f64::from(LANES)).ceil(),
                invocations: LANES.into(),
                registers: f64::from(rows * columns + self.step() * (rows + columns) + 16),
                integers: all_positions * (2.0 * texels + 4.0),
                scalars: all_positions * 2.0,
                multiply_adds: all_positions * f64::from(rows * columns),
                // Neighbouring lanes have other tiles, whose texels are far apart.
                loads: [
                    Loads { count: all_positions * texels, words: texel, distance: 1024.0, sharing: 1.0 },
                    Loads::default(),
                ],
                stores: Loads::apart(invocations * f64::from(rows * columns), columns),
                fetched: all_positions * texels,
                memory: texel * (narrow_texels + wide_texels) + outputs * splits,
                waits: all_positions / f64::from(self.step()),
                ..Tally::default()
            };
            let mut beside = vec![staging_tally(narrow_texels, narrow), staging_tally(wide_texels, wide)];
            beside.extend(second_pass(outputs, splits));
            (main, beside)
        };
        predict(caps, costs, tallies)
    }

    /// Positions of a step: at most four, and at most 256 multiply-adds, the loop body that a processor keeps decoded.
    fn step(&self) -> u32 {
        (256 / (self.tile.rows * self.tile.columns)).min(4)
    }

    /// Iterations of all loops of an invocation per step.
    fn iterations(&self) -> u32 {
        let (rows, columns) = (self.tile.rows / TEXEL, self.tile.columns / TEXEL);
        1 + self.step() * (1 + columns + rows * (1 + columns))
    }

    /// Iterations for storing the sums of a block.
    fn store_iterations(&self) -> u32 {
        1 + self.tile.rows * (1 + self.tile.columns / TEXEL * (1 + TEXEL))
    }

    fn emit(&self, c: &Contract, builder: &mut Builder<'_>) -> Result<()> {
        let max_range = builder.caps.max_range();
        // A third of the remaining workspace for each side, and a third for partial sums.
        let room = builder.available(Slot::InputTexels).min(builder.available(Slot::FactorTexels)) / 3;
        let amount = |ranges: &Ranges| self.staged(c, ranges).into_iter().fold(0, u64::max);
        let staged = Staged { amount: &amount, limit: room };
        let max_output = most_outputs(c, c.terms(), builder).min(max_range);
        for slices in slices::contract(c, max_range, max_output, Some(staged))? {
            self.emit_slices(c, &slices, builder)?;
        }
        Ok(())
    }

    /// Emits slices that are added to the same part of the weight gradient.
    fn emit_slices(&self, c: &Contract, slices: &[ContractSlice], builder: &mut Builder<'_>) -> Result<()> {
        let Some(ContractSlice { ranges: first, .. }) = slices.first() else { return Ok(()) };
        let [row_tiles, column_tiles] = self.tiles(first.rows(), first.depth());
        let tiles = u64::from(first.groups()) * u64::from(row_tiles) * u64::from(column_tiles);
        let all_steps = u64::from(c.batch) * u64::from(c.positions.div_ceil(self.step()));
        let wanted = builder.caps.splits(tiles as f64, self.tile.rows * self.tile.columns);
        let mut reduction = Reduction::new(c, first, c.terms(), wanted.min(all_steps / MIN_SPLIT), builder)?;
        for slice in slices {
            builder.count(slice.multiply_adds(c, slice.ranges.positions()));
            self.stage(c, slice, builder)?;
            let [narrow, wide] = self.staged(c, &slice.ranges);
            let steps = slice.ranges.positions().div_ceil(self.step());
            let all = slice.ranges.batch() * steps;
            let each = all.div_ceil(reduction.splits);
            let units = Units {
                terms: &|steps| u64::from(steps) * u64::from(self.step()),
                iterations: &|steps| u64::from(steps) * u64::from(self.iterations()),
                store: self.store_iterations(),
            };
            let blocks = Blocks::new(&reduction, each, &units, builder.caps);
            let sizes = [reduction.splits, each, blocks.block];
            builder.order(false, Part::over_positions(&slice.ranges, sizes, Some(self.step()), [Level::Positions(1)]));
            for split in reduction.dispatches(all, blocks) {
                let accumulate = reduction.begin(split, blocks, builder)?;
                let draft = Draft::new(&CONTRACT)
                    .constants(&[
                        ("ROW_TEXELS", self.tile.rows / TEXEL),
                        ("COLUMN_TEXELS", self.tile.columns / TEXEL),
                        ("STEP", self.step()),
                        ("TEXEL_TAPS", self.texel_taps.into()),
                    ])
                    .texels(builder.caps.storage_texture_reads)
                    .bind(Binding::slot("input_texels", Slot::InputTexels, wide.max(1)))
                    .bind(Binding::slot("factor_texels", Slot::FactorTexels, narrow.max(1)))
                    .partials(&reduction, accumulate);
                let params = Contraction {
                    partials: reduction.params(),
                    split,
                    tiles: TexelTiles {
                        row_tiles,
                        column_tiles,
                        tiles: tiles as u32,
                        splits: reduction.splits,
                        steps,
                        ..self.tile_params(c, &slice.ranges)?
                    },
                    ..slice.params(c)
                };
                builder.dispatch(draft, (tiles * u64::from(reduction.splits)).div_ceil(LANES.into()), &params)?;
            }
        }
        reduction.finish(builder)
    }

    /// The layout parameters of both sides for `ranges`.
    fn tile_params(&self, c: &Contract, ranges: &Ranges) -> Result<TexelTiles> {
        Ok(TexelTiles {
            narrow_units: ranges.rows().div_ceil(TEXEL),
            narrow_texels: texels(odd_lines(ranges.positions().into()))?,
            wide_units: self.wide_units(ranges.depth()),
            unit_columns: self.unit_columns,
            wide_texels: texels(self.wide_texels(c, ranges.positions()))?,
            position_texels: c.stride / self.texel_step,
            column_texels: self.column_step / self.texel_step,
            ..Default::default()
        })
    }

    fn stage(&self, c: &Contract, slice: &ContractSlice, builder: &mut Builder<'_>) -> Result<()> {
        let Ranges { n, g, r, q, j } = &slice.ranges;
        let (batch, groups) = (slice.ranges.batch(), slice.ranges.groups());
        let narrow_units = slice.ranges.rows().div_ceil(TEXEL);
        let narrow = StagedRows {
            slot: Slot::FactorTexels,
            rows: Rows {
                read: c.narrow,
                range: slice.narrow,
                touched: j.start.into()..j.end.into(),
                first: c.narrow_row(n.start, g.start, r.start),
                groups: c.groups,
                channels: c.rows,
                length: c.positions,
                extension: Extension::ZEROS,
            },
            batch,
            groups,
            channels: slice.ranges.rows(),
            texel_taps: false,
            units: narrow_units,
            full_units: narrow_units,
            unit_texels: odd_lines(slice.ranges.positions().into()),
            texel_first: j.start.into(),
            texel_step: 1,
            tap_step: 0,
            last_tap: 0,
            last_taps: 0,
        };
        narrow.emit(builder)?;
        let wide_units = self.wide_units(slice.ranges.depth());
        let wide = StagedRows {
            slot: Slot::InputTexels,
            rows: Rows {
                read: c.wide,
                range: slice.wide,
                touched: slice.touched.clone(),
                first: c.wide_row(n.start, g.start, q.start),
                groups: c.groups,
                channels: c.depth,
                length: c.wide_length,
                extension: c.extension,
            },
            batch,
            groups,
            channels: slice.ranges.depth(),
            texel_taps: self.texel_taps,
            units: wide_units,
            full_units: wide_units,
            unit_texels: self.wide_texels(c, slice.ranges.positions()),
            texel_first: i64::from(c.first) + i64::from(j.start) * i64::from(c.stride),
            texel_step: self.texel_step,
            tap_step: c.dilation,
            last_tap: 0,
            last_taps: 0,
        };
        wide.emit(builder)
    }
}
