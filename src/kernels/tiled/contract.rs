//! Weight gradient with operands staged in workgroup memory.

use super::{LANES_POSITIONS, Tiled, WORKGROUP_BYTES};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::kernels::operands::{Contraction, Draft};
use crate::kernels::order::{Level, Part};
use crate::kernels::params::tiles;
use crate::kernels::predict::{Loads, Prediction, Tally, Work, predict};
use crate::kernels::program::{Builder, Source, source};
use crate::kernels::reduce::{Blocks, Reduction, SUM_PARTIALS, Units, most_outputs, second_pass};
use crate::kernels::slices::{self, ContractSlice};
use crate::kernels::{Kernel, Tile, Variant};
use crate::lowering::Contract;

static CONTRACT: Source = source!("contract_tiled", Contraction<TiledTiles>);

tiles! {
    /// `Tiles` of `contract_tiled.wgsl`.
    TiledTiles { row_tiles: u32, column_tiles: u32 }
}

/// Positions that are staged at once.
const STAGE: u32 = 16;

/// Minimum stages of a split. In shorter splits, adding the partial sums dominates.
const MIN_SPLIT: u64 = 8;

/// Compiled for RDNA 3, the loop of the first tile issues 287 instructions, of which 256 are multiply-adds, with 108 registers, no
/// spills and 10 waves (RDNA 2: 285 instructions, 104 registers, 8 waves). Compiler: Mesa's RADV, 2026-11-21.
const TILES: [ContractTile; 2] =
    [ContractTile { rows: 8, columns: 8, lanes_rows: 8 }, ContractTile { rows: 4, columns: 4, lanes_rows: 4 }];

impl Kernel<Contract> for Tiled {
    fn name(&self) -> &'static str {
        "tiled"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&CONTRACT, &SUM_PARTIALS]
    }

    fn variants(&self, _: &Contract, caps: &Caps) -> Result<Vec<Box<dyn Variant<Contract>>>, String> {
        let fits = |tile: &ContractTile| {
            LANES_POSITIONS * tile.lanes_rows <= caps.max_invocations && caps.max_workgroup_bytes >= WORKGROUP_BYTES
        };
        let tiles: Vec<ContractTile> = TILES.into_iter().filter(fits).collect();
        if tiles.is_empty() {
            return Err("every tile needs more workgroup memory or invocations than the device has".into());
        }
        Ok(tiles.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

/// Operations on integers for each element that is staged (counted).
const STAGED_INTEGERS: f64 = 8.0;

/// Output rows and (depth, tap) columns of an invocation, and invocations of a workgroup along rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContractTile {
    rows: u32,
    columns: u32,
    lanes_rows: u32,
}

impl Variant<Contract> for ContractTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, self.columns, self.lanes_rows)
    }

    fn predict(&self, c: &Contract, caps: &Caps) -> Prediction {
        let [row_tiles, column_tiles] = self.tiles(c.rows, c.depth.saturating_mul(c.taps));
        let tiles = f64::from(row_tiles) * f64::from(column_tiles) * f64::from(c.groups);
        let lanes = f64::from(LANES_POSITIONS * self.lanes_rows);
        let all_stages = c.terms().div_ceil(STAGE.into());
        let stages = all_stages as f64;
        let (rows, columns) = (f64::from(self.rows), f64::from(self.columns));
        // Elements that a workgroup stages for a position.
        let staged = f64::from(self.lanes_rows) * rows + f64::from(LANES_POSITIONS) * columns;
        let positions = tiles * lanes * stages * f64::from(STAGE);
        let costs = |speed: &Speed| {
            // Per position: the sums, their operands from workgroup memory, and a share of the staging.
            let load = (rows + columns) / 4.0 * speed.staged_load + staged / lanes * (speed.load + speed.staged_load);
            Work {
                sums: positions * rows * columns,
                loads: positions * load,
                stores: 0.0,
                packing: 0.0,
                dispatches: 2.0,
                busy: speed.busy(tiles * lanes * stages / MIN_SPLIT as f64),
            }
        };
        let tallies = |_| {
            let splits = caps.splits(tiles * lanes, self.rows * self.columns);
            let splits = splits.min(all_stages / MIN_SPLIT).max(1) as f64;
            let [narrow, wide, outputs] = c.elements();
            let loaded = positions * staged / lanes;
            let samples = positions * f64::from(LANES_POSITIONS) * columns / lanes;
            let staged_rows = f64::from(self.rows * self.lanes_rows);
            let wide_rows = f64::from((self.columns * LANES_POSITIONS).div_ceil(c.taps));
            let main = Tally {
                workgroups: tiles * splits,
                invocations: lanes,
                registers: rows * columns + rows + columns + 24.0,
                workgroup_bytes: self.workgroup_bytes(),
                // Addresses and bounds of what is staged (counted).
                integers: loaded * STAGED_INTEGERS + positions * 0.5,
                scalars: positions * 2.0,
                divisions: positions / f64::from(STAGE) * 2.0,
                multiply_adds: positions * rows * columns,
                // The lanes of a stage have neighbouring positions; groups of them, other rows.
                loads: [Loads { words: 1.0, ..Loads::apart(loaded, 1 + c.stride) }, Loads::default()],
                stores: Loads::apart(tiles * splits * lanes * rows * columns, 1),
                // Each staged sample needs the row and the position of its column.
                staged: positions * (rows + columns) / 4.0 + loaded / 4.0 + 2.0 * samples,
                staged_words: positions * (rows + columns) + loaded + 2.0 * samples,
                // The taps of an input row share its samples.
                fetched: tiles * stages * f64::from(STAGE) * (staged_rows + wide_rows * f64::from(c.stride)),
                memory: narrow + wide + outputs * splits,
                barriers: tiles * stages * 2.0,
                // Four rows of the narrow side are loaded at once, samples one by one.
                waits: positions * (staged_rows / 4.0 + f64::from(self.columns * LANES_POSITIONS)) / lanes,
            };
            (main, second_pass(outputs, splits))
        };
        predict(caps, costs, tallies)
    }

    fn emit(&self, c: &Contract, builder: &mut Builder<'_>) -> Result<()> {
        let slices = slices::contract_to_bindings(c, most_outputs(c, c.terms(), builder), builder.caps)?;
        slices.iter().try_for_each(|slices| self.emit_slices(c, slices, builder))
    }
}

impl ContractTile {
    /// Number of tiles along the rows and along the columns of a group.
    fn tiles(&self, rows: u32, columns: u32) -> [u32; 2] {
        [rows.div_ceil(self.rows * self.lanes_rows), columns.div_ceil(self.columns * LANES_POSITIONS)]
    }

    /// Bytes of workgroup memory: the vectors of a stage, and two words for each column.
    fn workgroup_bytes(&self) -> f64 {
        let [rows, columns] = [self.rows * self.lanes_rows, self.columns * LANES_POSITIONS];
        f64::from(STAGE * 16 * (rows / 4 + 1 + columns / 4 + 1) + 8 * columns)
    }

    /// Iterations of all loops of an invocation per stage.
    fn iterations(&self) -> u32 {
        let ContractTile { rows, columns, lanes_rows } = *self;
        let units = LANES_POSITIONS * lanes_rows / STAGE;
        let vectors = (rows * lanes_rows / 4).div_ceil(units) + (columns * LANES_POSITIONS / 4).div_ceil(units);
        1 + vectors * 5 + STAGE * (2 + columns / 4 + rows / 4 * (1 + columns))
    }

    /// Emits slices that are added to the same part of the weight gradient.
    fn emit_slices(&self, c: &Contract, slices: &[ContractSlice], builder: &mut Builder<'_>) -> Result<()> {
        let Some(ContractSlice { ranges: first, .. }) = slices.first() else { return Ok(()) };
        let [row_tiles, column_tiles] = self.tiles(first.rows(), first.depth() * c.taps);
        let tiles = u64::from(first.groups()) * u64::from(row_tiles) * u64::from(column_tiles);
        let all_stages = (u64::from(c.batch) * u64::from(c.positions)).div_ceil(STAGE.into());
        let lanes = f64::from(LANES_POSITIONS * self.lanes_rows);
        let wanted = builder.caps.splits(tiles as f64 * lanes, self.rows * self.columns);
        let mut reduction = Reduction::new(c, first, c.terms(), wanted.min(all_stages / MIN_SPLIT), builder)?;
        let units = Units {
            terms: &|stages| u64::from(stages) * u64::from(STAGE),
            iterations: &|stages| u64::from(stages) * u64::from(self.iterations()),
            store: 1 + self.rows * (1 + self.columns),
        };
        for slice in slices {
            builder.count(slice.multiply_adds(c, slice.ranges.positions()));
            let positions = u64::from(slice.ranges.batch()) * u64::from(slice.ranges.positions());
            let stages = positions.div_ceil(STAGE.into()) as u32;
            let each = stages.div_ceil(reduction.splits);
            let blocks = Blocks::new(&reduction, each, &units, builder.caps);
            let terms = |stages: u32| stages.saturating_mul(STAGE);
            let sizes = [reduction.splits, terms(each), terms(blocks.block)];
            builder.order(false, Part::over_positions(&slice.ranges, sizes, None, [Level::Positions(1)]));
            for split in reduction.dispatches(stages, blocks) {
                let accumulate = reduction.begin(split, blocks, builder)?;
                let draft = Draft::new(&CONTRACT)
                    .constants(&[
                        ("LANES_COLUMNS", LANES_POSITIONS),
                        ("LANES_ROWS", self.lanes_rows),
                        ("TILE_ROWS", self.rows),
                        ("TILE_COLUMNS", self.columns),
                        ("STAGE", STAGE),
                    ])
                    .samples(c.wide, slice.wide, c.extension)
                    .narrow(c, slice)
                    .partials(&reduction, accumulate);
                let tiles_params = TiledTiles { row_tiles, column_tiles };
                let params =
                    Contraction { partials: reduction.params(), split, tiles: tiles_params, ..slice.params(c) };
                builder.dispatch(draft, tiles * u64::from(reduction.splits), &params)?;
            }
        }
        reduction.finish(builder)
    }
}
