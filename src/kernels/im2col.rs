//! `im2col`: writes columns to a workspace of bounded size, part by part, and multiplies them by the other operand as a matrix product.

use super::operands::{Contraction, Correlation, Draft, InputParams, Phases, ProblemParams};
use super::order::{Level, Part};
use super::pack::{self, PACK, Packing};
use super::params::tiles;
use super::predict::{Loads, Tally, Work, predict};
use super::program::{Binding, Builder, ElementRange, LANES, Source, source};
use super::reduce::{Blocks, Reduction, SUM_PARTIALS, Units, most_outputs, second_pass};
use super::slices::{self, ContractSlice, CorrelateSlice, Limits, Ranges};
use super::{Kernel, Prediction, Tile, Variant, waste};
use crate::caps::{Caps, Speed};
use crate::error::{Error, Result};
use crate::geometry::Extension;
use crate::lowering::{Contract, Correlate, Phase, Read, Slot, gcd};

static IM2COL: Source = source!("im2col", Correlation<ColumnTiles>);
static GEMM: Source = source!("gemm", Correlation<ColumnTiles>);
static CONTRACT_GEMM: Source = source!("contract_gemm", Contraction<ColumnTiles>);

tiles! {
    /// `Tiles` of `columns.wgsl`.
    ColumnTiles {
        pair_first: u32, column_tile_first: u32, column_tiles: u32, depth: u32, position_first: u32, positions: u32,
        row_tiles: u32, in_step: i32, tap_step: i32, pair_tiles: u32,
    }
}

/// Positions of a tile of columns.
const POSITIONS: u32 = 64;
/// Rows of a tile that a workgroup of `im2col.wgsl` writes.
const TILE_DEPTH: u32 = 8;
/// Rows of a tile that `gemm.wgsl` stages at once; positions that `contract_gemm.wgsl` stages at once.
const DEPTH: u32 = 16;
/// Invocations of the matrix products along rows, and along positions or pairs.
const SIDE: u32 = 8;
/// (depth, tap) pairs of a workgroup of `contract_gemm.wgsl`.
const COLUMNS: u32 = 32;
/// Maximum iterations of the matrix products for staging one row.
const STAGING: u32 = 4;

const TILES: [GemmTile; 2] = [GemmTile { rows: 4 }, GemmTile { rows: 1 }];

#[derive(Debug)]
pub(crate) struct Im2col;

impl Kernel<Correlate> for Im2col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&IM2COL, &PACK, &GEMM]
    }

    fn variants(&self, _: &Correlate, _: &Caps) -> Result<Vec<Box<dyn Variant<Correlate>>>, String> {
        Ok(TILES.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

impl Kernel<Contract> for Im2col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&IM2COL, &CONTRACT_GEMM, &SUM_PARTIALS]
    }

    fn variants(&self, _: &Contract, _: &Caps) -> Result<Vec<Box<dyn Variant<Contract>>>, String> {
        Ok(TILES.into_iter().map(|tile| Box::new(tile) as _).collect())
    }
}

/// A matrix product of weights and columns, with those of partial tiles.
struct Product {
    multiply_adds: f64,
    /// Elements of the columns, which are written and read.
    columns: f64,
    workgroups: f64,
    inputs: f64,
    outputs: f64,
    splits: f64,
    in_step: u32,
    out_step: u32,
    /// Invocations with work, where they may be few.
    busy: Option<f64>,
    /// Columns of a tile: positions, or pairs of an input row and a tap.
    tile: u32,
}

/// Lanes that wait for one bank of workgroup memory when DEPTH lanes store a row of `width` words each.
fn conflicts(width: u32) -> f64 {
    f64::from(DEPTH.div_ceil(32 / gcd(width, 32)))
}

/// Outputs of a row, of all phases.
fn outputs_of(c: &Correlate) -> f64 {
    c.phases.iter().map(|p| f64::from(p.count)).sum()
}

/// Output rows of an invocation of a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GemmTile {
    rows: u32,
}

impl GemmTile {
    fn costs(&self, product: &Product, speed: &Speed) -> Work {
        let positions = f64::from(POSITIONS / SIDE);
        let sums = product.multiply_adds;
        Work {
            sums,
            loads: sums * speed.staged_load * (1.0 / f64::from(self.rows) + 1.0 / positions),
            stores: 0.0,
            packing: product.columns * 8.0 / speed.bandwidth * speed.multiply_adds,
            dispatches: 3.0,
            busy: product.busy.map_or(1.0, |invocations| speed.busy(invocations)),
        }
    }

    /// The dispatch that multiplies the columns, and the one that makes them.
    fn tallies(&self, product: &Product) -> (Tally, Tally) {
        let invocations = f64::from(SIDE * SIDE);
        let (rows, positions) = (f64::from(self.rows), f64::from(product.tile / SIDE));
        let taps = product.multiply_adds / (rows * positions);
        // Each invocation stages as many weights as rows, and as many columns as positions, for a step of DEPTH terms.
        let (staged_weights, staged_columns) = (taps * rows / f64::from(SIDE), taps * positions / f64::from(SIDE));
        let loaded = staged_weights + staged_columns;
        let main = Tally {
            workgroups: product.workgroups,
            invocations,
            registers: rows * positions + rows + positions + 20.0,
            workgroup_bytes: f64::from(4 * DEPTH * (self.rows * SIDE + product.tile)),
            integers: 7.0 * loaded + taps,
            scalars: 2.0 * taps,
            multiply_adds: product.multiply_adds,
            loads: [Loads::apart(loaded, 1), Loads::default()],
            stores: Loads::apart(product.outputs * product.splits, product.out_step),
            staged: taps * (rows + positions) + loaded,
            staged_words: taps * (rows + positions)
                + staged_weights * conflicts(self.rows * SIDE)
                + staged_columns * if product.tile == COLUMNS { conflicts(COLUMNS) } else { 1.0 },
            fetched: loaded,
            memory: product.columns + product.outputs * product.splits,
            barriers: taps / invocations / f64::from(DEPTH) * 2.0,
            // A loop stages the weights, and the columns of a gradient; the columns of a product are loaded at once.
            waits: staged_weights + if product.tile == COLUMNS { staged_columns } else { taps / f64::from(DEPTH) },
            ..Tally::default()
        };
        let columns = Tally {
            workgroups: product.columns / f64::from(POSITIONS),
            invocations: LANES.into(),
            registers: 12.0,
            integers: 25.0 * product.columns,
            divisions: product.columns,
            loads: [Loads::apart(product.columns, product.in_step), Loads::default()],
            stores: Loads::apart(product.columns, 1),
            fetched: product.columns,
            memory: product.columns + product.inputs,
            waits: product.columns,
            ..Tally::default()
        };
        (main, columns)
    }

    /// Iterations per staged row: its staging, and for each output row a weight and a sum for each of `columns` columns.
    fn iterations(&self, columns: u32) -> u32 {
        STAGING + columns + self.rows * (1 + columns)
    }
}

impl Variant<Correlate> for GemmTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, POSITIONS / SIDE, SIDE)
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        let taps: f64 = c.phases.iter().map(|p| f64::from(p.count) * f64::from(p.taps)).sum();
        let columns = f64::from(c.batch) * f64::from(c.groups) * f64::from(c.depth) * taps;
        let [inputs, _, outputs] = c.elements();
        let partial = waste(c.batch.saturating_mul(c.positions()).max(1), POSITIONS);
        let row_tiles = c.rows.div_ceil(self.rows * SIDE);
        let positions = f64::from(c.batch) * f64::from(c.groups) * outputs_of(c) / f64::from(POSITIONS);
        let product = Product {
            multiply_adds: c.work() * waste(c.rows, self.rows * SIDE) * partial,
            columns: columns * partial,
            workgroups: (positions.ceil() * f64::from(row_tiles)).max(1.0),
            inputs,
            outputs,
            splits: 1.0,
            in_step: c.in_step.unsigned_abs(),
            out_step: c.out_step,
            busy: Some(outputs / f64::from(self.rows * POSITIONS / SIDE)),
            tile: POSITIONS,
        };
        let tallies = |_| {
            let (main, columns) = self.tallies(&product);
            (main, vec![columns, pack::tally(c, 1)])
        };
        predict(caps, |speed| self.costs(&product, speed), tallies)
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        let iterations = u64::from(self.iterations(POSITIONS / SIDE));
        let limits = Limits {
            max_range: builder.caps.max_range(),
            max_iterations: builder.caps.max_iterations,
            iterations: &|c, depth| u64::from(depth) * (u64::from(c.max_taps()) + 1) * iterations,
            staged: None,
        };
        for part in slices::correlate(c, limits)? {
            self.emit_slices(&part.correlate, &part.slices, builder)?;
            part.order(false, &[Level::Depth, Level::Taps], builder);
        }
        Ok(())
    }
}

impl Variant<Contract> for GemmTile {
    fn tile(&self) -> Tile {
        Tile::new(self.rows, POSITIONS / SIDE, SIDE)
    }

    fn predict(&self, c: &Contract, caps: &Caps) -> Prediction {
        let partial = waste(c.batch.saturating_mul(c.positions).max(1), POSITIONS);
        let row_tiles = c.rows.div_ceil(self.rows * SIDE);
        let pair_tiles = c.depth.saturating_mul(c.taps).div_ceil(COLUMNS);
        let tiles = f64::from(c.groups) * f64::from(row_tiles) * f64::from(pair_tiles);
        let all_tiles = c.terms().div_ceil(POSITIONS.into());
        let splits = caps.splits(tiles * f64::from(SIDE * SIDE), self.rows * COLUMNS / SIDE);
        let splits = splits.min(all_tiles / 4).max(1) as f64;
        let [_, inputs, outputs] = c.elements();
        // A model has whole tiles of pairs; the costs of a software driver were measured without.
        let pairs = caps.model.map_or(1.0, |_| waste(c.depth.saturating_mul(c.taps), COLUMNS));
        let product = Product {
            multiply_adds: c.work() * waste(c.rows, self.rows * SIDE) * partial * pairs,
            columns: c.work() / f64::from(c.rows) * partial,
            workgroups: tiles * splits,
            inputs,
            outputs,
            splits,
            in_step: c.stride,
            out_step: 1,
            busy: None,
            tile: COLUMNS,
        };
        let tallies = |_| {
            let (main, columns) = self.tallies(&product);
            let mut beside = vec![columns];
            beside.extend(second_pass(outputs, splits));
            (main, beside)
        };
        predict(caps, |speed| self.costs(&product, speed), tallies)
    }

    fn emit(&self, c: &Contract, builder: &mut Builder<'_>) -> Result<()> {
        let one = Phase { out_first: 0, count: c.positions, in_first: c.first, tap_first: 0, taps: c.taps };
        let phases = builder.phases(&[one])?;
        let slices = slices::contract_to_bindings(c, most_outputs(c, c.terms(), builder), builder.caps)?;
        slices.iter().try_for_each(|slices| self.emit_slices_of_gradient(c, slices, &phases, builder))
    }
}

impl GemmTile {
    fn emit_slices(&self, c: &Correlate, slices: &[CorrelateSlice], builder: &mut Builder<'_>) -> Result<()> {
        let phases = builder.phases(&c.phases)?;
        let mut packing = Packing::new(c, 1, builder)?;
        for slice in slices {
            builder.count(slice.multiply_adds(c, |phase| phase.taps));
            let packed = packing.emit(c, slice, builder)?;
            let ranges = &slice.ranges;
            let params: Correlation<ColumnTiles> = slice.params(c, &phases);
            let source = ColumnSource {
                read: c.input,
                range: slice.input,
                params: params.input,
                steps: [c.in_step, c.tap_step],
                extension: c.extension,
                phases: &phases,
                max_taps: c.max_taps(),
            };
            let row_tiles = ranges.rows().div_ceil(self.rows * SIDE);
            for part in source.parts(ranges, builder)? {
                source.emit(ranges, &part, builder)?;
                let draft = Draft::new(&GEMM)
                    .constants(&[("TILE_ROWS", self.rows), ("DEPTH", DEPTH), ("SIDE", SIDE), ("POSITIONS", POSITIONS)])
                    .phases(&phases)
                    .bind(packed.clone())
                    .bind(source.columns("columns", ranges, &part))
                    .epilogue(c, slice);
                let tiles = ColumnTiles { row_tiles, ..source.tiles(ranges, &part) };
                builder.dispatch(draft, part.tiles() * u64::from(row_tiles), &Correlation { tiles, ..params })?;
            }
        }
        Ok(())
    }

    /// The reduction for a part of the weight gradient that has `tiles` tiles.
    fn reduction(&self, c: &Contract, ranges: &Ranges, tiles: f64, builder: &mut Builder<'_>) -> Result<Reduction> {
        let all_tiles = (u64::from(c.batch) * u64::from(c.positions)).div_ceil(POSITIONS.into());
        let wanted = builder.caps.splits(tiles * f64::from(SIDE * SIDE), self.rows * COLUMNS / SIDE);
        // In a split of fewer than four tiles of columns, adding the partial sums dominates.
        Reduction::new(c, ranges, c.terms(), wanted.min(all_tiles / 4), builder)
    }

    /// Adds the order of a slice if its columns fit the workspace at once; otherwise its elements have no common order.
    fn order(
        &self,
        reduction: &Reduction,
        ranges: &Ranges,
        parts: &[ColumnPart],
        [all, block]: [u32; 2],
        builder: &mut Builder<'_>,
    ) {
        if parts.iter().all(|part| part.tile_first == 0 && part.column_tiles == all) {
            let terms = |tiles: u32| tiles.saturating_mul(POSITIONS);
            let sizes = [reduction.splits, terms(all.div_ceil(reduction.splits)), terms(block)];
            builder.order(false, Part::over_positions(ranges, sizes, None, [Level::Positions(1)]));
        }
    }

    /// Emits slices that are added to the same part of the weight gradient.
    fn emit_slices_of_gradient(
        &self,
        c: &Contract,
        slices: &[ContractSlice],
        phases: &Phases,
        builder: &mut Builder<'_>,
    ) -> Result<()> {
        let Some(ContractSlice { ranges: first, .. }) = slices.first() else { return Ok(()) };
        let row_tiles = first.rows().div_ceil(self.rows * SIDE);
        let pair_tiles = (first.depth() * c.taps).div_ceil(COLUMNS);
        let tiles = f64::from(first.groups()) * f64::from(row_tiles) * f64::from(pair_tiles);
        let mut reduction = self.reduction(c, first, tiles, builder)?;
        let units = Units {
            terms: &|tiles| u64::from(tiles) * u64::from(POSITIONS),
            iterations: &|tiles| u64::from(tiles) * u64::from(self.iterations(COLUMNS / SIDE) * POSITIONS),
            store: 1 + self.rows * (1 + COLUMNS / SIDE),
        };
        // The parts of a group are emitted in sequence, slice after slice: the first writes, the others add.
        let mut written = vec![false; first.groups() as usize];
        for slice in slices {
            builder.count(slice.multiply_adds(c, slice.ranges.positions()));
            let ranges = &slice.ranges;
            let params: Contraction<ColumnTiles> = slice.params(c);
            let source = ColumnSource::of_wide(c, slice, params.input, phases);
            let parts = source.parts_of_sum(ranges, builder)?;
            let most = parts.iter().map(|part| part.column_tiles).max().unwrap_or(0);
            let blocks = Blocks::new(&reduction, most.div_ceil(reduction.splits), &units, builder.caps);
            self.order(&reduction, ranges, &parts, [most, blocks.block], builder);
            for part in parts {
                source.emit(ranges, &part, builder)?;
                let pairs = &mut written[part.pair_first as usize..][..part.pairs as usize];
                let mut accumulate = pairs.iter().any(|&w| w);
                pairs.fill(true);
                for split in reduction.dispatches(part.column_tiles, blocks) {
                    // The parts of other groups are added to other sums.
                    if part.pair_first == 0 {
                        reduction.count(split, blocks);
                    }
                    let draft = Draft::new(&CONTRACT_GEMM)
                        .constants(&[
                            ("TILE_ROWS", self.rows),
                            ("TILE_COLUMNS", COLUMNS / SIDE),
                            ("DEPTH", DEPTH),
                            ("SIDE", SIDE),
                            ("POSITIONS", POSITIONS),
                        ])
                        .narrow(c, slice)
                        .bind(source.columns("columns", ranges, &part))
                        .partials(&reduction, accumulate);
                    let mut params = Contraction {
                        partials: reduction.params(),
                        split,
                        tiles: ColumnTiles { row_tiles, pair_tiles, ..source.tiles(ranges, &part) },
                        ..params
                    };
                    params.problem.groups = part.pairs;
                    let tiles = u64::from(part.pairs) * u64::from(row_tiles) * u64::from(pair_tiles);
                    builder.dispatch(draft, tiles * u64::from(reduction.splits), &params)?;
                    accumulate = true;
                }
            }
        }
        reduction.finish(builder)
    }
}

/// Tiles of columns that are in the workspace at the same time, for `pairs` (group, phase) pairs.
#[derive(Debug, Clone, Copy)]
struct ColumnPart {
    pair_first: u32,
    pairs: u32,
    tile_first: u32,
    column_tiles: u32,
}

impl ColumnPart {
    fn tiles(&self) -> u64 {
        u64::from(self.pairs) * u64::from(self.column_tiles)
    }
}

/// Cuts `pairs` pairs of `tiles` tiles of columns each into parts of at most `room` tiles. The parts of a pair are consecutive.
fn column_parts(pairs: u32, tiles: u32, room: u64) -> Vec<ColumnPart> {
    let tiles_at_once = room.min(tiles.into()).max(1) as u32;
    let pairs_at_once = (room / u64::from(tiles.max(1))).clamp(1, pairs.into()) as u32;
    let mut parts = Vec::new();
    for pair_first in (0..pairs).step_by(pairs_at_once as usize) {
        let pairs = pairs_at_once.min(pairs - pair_first);
        for tile_first in (0..tiles).step_by(tiles_at_once as usize) {
            let column_tiles = tiles_at_once.min(tiles - tile_first);
            parts.push(ColumnPart { pair_first, pairs, tile_first, column_tiles });
        }
    }
    parts
}

/// The operand from which columns are built: the input of a correlation, or the wide side of a contraction.
#[derive(Debug)]
struct ColumnSource<'a> {
    read: Read,
    range: ElementRange,
    params: InputParams,
    /// Input positions from one output position to the next, and from one tap to the next.
    steps: [i32; 2],
    extension: Extension,
    phases: &'a Phases,
    max_taps: u32,
}

impl<'a> ColumnSource<'a> {
    /// The wide side of a contraction.
    fn of_wide(c: &Contract, slice: &ContractSlice, params: InputParams, phases: &'a Phases) -> Self {
        ColumnSource {
            read: c.wide,
            range: slice.wide,
            params,
            steps: [c.stride as i32, c.dilation as i32],
            extension: c.extension,
            phases,
            max_taps: c.taps,
        }
    }

    /// The parts of a sum over columns. A sum without columns has one empty part, which writes zeros.
    fn parts_of_sum(&self, ranges: &Ranges, builder: &mut Builder<'_>) -> Result<Vec<ColumnPart>> {
        let mut parts = self.parts(ranges, builder)?;
        if parts.is_empty() {
            parts.push(ColumnPart { pair_first: 0, pairs: ranges.groups(), tile_first: 0, column_tiles: 0 });
        }
        Ok(parts)
    }

    /// Rows of a tile of columns.
    fn depth(&self, ranges: &Ranges) -> u32 {
        (ranges.depth() * self.max_taps).next_multiple_of(DEPTH)
    }

    /// Cuts the columns of `ranges` into parts that each fit the workspace.
    fn parts(&self, ranges: &Ranges, builder: &mut Builder<'_>) -> Result<Vec<ColumnPart>> {
        let tile = u64::from(self.depth(ranges)) * u64::from(POSITIONS);
        let pairs = ranges.groups() * self.phases.count;
        let sequence = u64::from(ranges.batch()) * u64::from(ranges.positions());
        let tiles = sequence.div_ceil(POSITIONS.into()) as u32;
        if tile == 0 {
            return Ok(column_parts(pairs, tiles, u64::MAX));
        }
        let room = builder.available(Slot::Columns) / tile;
        if room == 0 && tiles > 0 {
            let limit = builder.available(Slot::Columns);
            return Err(Error::TooLarge {
                what: "elements of the workspace for one tile of columns",
                value: tile,
                limit,
            });
        }
        let parts = column_parts(pairs, tiles, room);
        let largest = parts.iter().map(ColumnPart::tiles).max().unwrap_or(0);
        builder.reserve(Slot::Columns, largest * tile)?;
        Ok(parts)
    }

    fn columns(&self, variable: &'static str, ranges: &Ranges, part: &ColumnPart) -> Binding {
        let length = part.tiles() * u64::from(self.depth(ranges)) * u64::from(POSITIONS);
        Binding::slot(variable, Slot::Columns, length)
    }

    fn tiles(&self, ranges: &Ranges, part: &ColumnPart) -> ColumnTiles {
        ColumnTiles {
            pair_first: part.pair_first,
            column_tile_first: part.tile_first,
            column_tiles: part.column_tiles,
            depth: self.depth(ranges),
            position_first: ranges.j.start,
            positions: ranges.positions(),
            row_tiles: self.depth(ranges).div_ceil(TILE_DEPTH),
            in_step: self.steps[0],
            tap_step: self.steps[1],
            pair_tiles: 0,
        }
    }

    fn emit(&self, ranges: &Ranges, part: &ColumnPart, builder: &mut Builder<'_>) -> Result<()> {
        let draft = Draft::new(&IM2COL)
            .constants(&[("TILE_DEPTH", TILE_DEPTH), ("POSITIONS", POSITIONS)])
            .phases(self.phases)
            .samples(self.read, self.range, self.extension)
            .bind(self.columns("output", ranges, part));
        let tiles = self.tiles(ranges, part);
        let params = Correlation {
            problem: ProblemParams {
                batch: ranges.batch(),
                depth: ranges.depth(),
                phases: self.phases.count,
                ..Default::default()
            },
            input: self.params,
            phase: self.phases.one,
            tiles,
            ..Default::default()
        };
        builder.dispatch(draft, part.tiles() * u64::from(tiles.row_tiles), &params)
    }
}
