//! Sums in two passes: the first sums fixed splits of the positions, block by block, the second adds the partial sums as a tree. There are
//! no atomics, so the same plan gives the same bits every time. Also `sums`, the kernel of the bias gradient.

use super::operands::{
    Contraction, ContractionParams, Draft, InputParams, Parameters, PartialParams, Skips, SplitParams,
};
use super::order::{Level, Part};
use super::params::{self, append, params, tiles};
use super::predict::{Loads, Tally, Work, predict};
use super::program::{Binding, Builder, ElementRange, LANES, Source, source};
use super::slices::{self, Ranges};
use super::{Kernel, Prediction, Tile, Variant};
use crate::caps::{Caps, Speed};
use crate::error::Result;
use crate::geometry::Extension;
use crate::lowering::{Contract, Operand, Role, Slot, SumRows};
use crate::sums;

pub(super) static SUM_PARTIALS: Source = source!("sum_partials", SumPartials);
static SUM_ROWS: Source = source!("sum_rows", Contraction<RowTiles>);

params! {
    /// `Partials` of `sum_partials.wgsl`.
    SumPartials { values: u32, row_length: u32, splits: u32, out_row: u32 }
}

impl SumPartials {
    const BLOCKS: &'static [params::Block] =
        &[Skips::BLOCK, params::Block { name: "partials", fields: Self::FIELDS, bytes: size_of::<Self>() }];
}

impl Parameters for SumPartials {
    fn bytes(&self, _: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, self);
        bytes
    }
}

tiles! {
    /// `Tiles` of `sum_rows.wgsl`.
    RowTiles { channels: u32 }
}

/// Minimum number of positions, over all batch items, of a split of `sums`.
const MIN_SPLIT: u64 = 4096;

/// Splits of a block of an invocation of `sum_partials.wgsl`: `BLOCK` of `sum_terms.wgsl` there.
const SPLITS_BLOCK: u32 = 32;

/// The invocations of `sum_partials.wgsl` that share the splits of a value. Each adds 16 splits or more, up to a workgroup for 1,024.
fn sharing(splits: u32) -> u32 {
    let wanted = (splits / 16).clamp(1, LANES);
    1 << wanted.ilog2()
}

/// The units of a kernel: the stages, tiles or stretches whose terms an invocation adds.
pub(super) struct Units<'a> {
    /// Most terms of a number of consecutive units.
    pub(super) terms: &'a dyn Fn(u32) -> u64,
    /// Iterations of an invocation for them.
    pub(super) iterations: &'a dyn Fn(u32) -> u64,
    /// Iterations for storing the sums of a block.
    pub(super) store: u32,
}

/// The last number from 1 to `most` that is small enough, or 1. If a number is, so are all before it.
fn last(most: u32, small_enough: impl Fn(u32) -> bool) -> u32 {
    if small_enough(most) {
        return most;
    }
    let (mut good, mut bad) = (1, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if small_enough(middle) { good = middle } else { bad = middle }
    }
    good
}

/// How the units of a split are added: in blocks, each of them from zero, and some blocks in a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Units of a block.
    pub(super) block: u32,
    /// Most units of a split that a dispatch adds.
    pub(super) at_once: u32,
    /// The chain of the terms of a block.
    chain: u64,
}

impl Blocks {
    /// The blocks of splits of `each` units of a reduction. Where a device limits iterations, blocks are up to half as long as the chain
    /// allows, if that saves dispatches.
    pub(super) fn new(reduction: &Reduction, each: u32, units: &Units<'_>, caps: &Caps) -> Self {
        let each = each.max(1);
        let limit = u64::from(caps.max_iterations);
        let most = u64::from(sums::block((units.terms)(each), reduction.tree()));
        let longest = last(each, |block| (units.terms)(block) <= most);
        // Blocks of equal length.
        let longest = each.div_ceil(each.div_ceil(longest));
        let at_once = |block: u32| {
            let stores = |count: u32| u64::from(count.div_ceil(block)) * u64::from(units.store);
            let count = last(each, |count| (units.iterations)(count) + stores(count) <= limit);
            // Whole blocks, unless it is the whole split.
            if count == each || count < block { count } else { count / block * block }
        };
        let step = (longest / 16).max(1) as usize;
        let lengths = (longest.div_ceil(2)..=longest).rev().step_by(step);
        let all_at_once = at_once(longest) == each;
        let lengths = lengths.take(if all_at_once { 1 } else { usize::MAX });
        let block = lengths.min_by_key(|&block| each.div_ceil(at_once(block))).unwrap_or(longest);
        let at_once = at_once(block);
        let block = block.min(at_once);
        Blocks { block, at_once, chain: (units.terms)(block) }
    }

    /// A dispatch of `sum_terms.wgsl` for all of `units` units, each a term, or for as many as a device adds at once.
    fn of_lanes(units: u32, caps: &Caps) -> Self {
        // An iteration for a term, and two for every 128.
        let most = (caps.max_iterations / 64 * 63).max(1).saturating_mul(LANES);
        let at_once = (sums::lanes_split(LANES.into()) as u32).min(most);
        let lane = at_once.min(units).div_ceil(LANES);
        Blocks { block: at_once, at_once, chain: sums::lane_chain(lane.into()) + sums::tree_chain(LANES) }
    }
}

/// The most outputs of a weight gradient that are computed together: the splits that its `terms` terms need should fit the workspace, or
/// at least one. A third of the workspace leaves room for what the first pass stages. Outputs cannot be cut between the taps of a row.
pub(super) fn most_outputs(c: &Contract, terms: u64, builder: &Builder<'_>) -> u64 {
    match terms.div_ceil(sums::SPLIT) {
        0..=1 => u64::MAX,
        splits => {
            let room = builder.available(Slot::Partials) / 3;
            let outputs = (room / splits).max(room.min(c.taps.into()));
            if outputs < c.taps.into() { u64::MAX } else { outputs }
        }
    }
}

/// The splits of a sum over positions. With several, a second pass adds the partial sums; a single one is written to the output directly.
///
/// Where the workspace, or a binding, has no room for as many splits as the terms need, a split takes more blocks than the chain allows.
/// Then the sum has *rounds*: the second pass runs several times, and adds the partial sums of each round to the output.
#[derive(Debug)]
pub(super) struct Reduction {
    pub(super) splits: u32,
    /// Terms of an output.
    terms: u64,
    /// Whether the first pass writes partial sums to the workspace, for the second pass. Otherwise there is one split, in the output.
    staged: bool,
    /// The longest chain of a block, and the blocks of a split since the last second pass.
    block_chain: u64,
    blocks: u64,
    /// The second passes so far, and the most blocks before one.
    rounds: u64,
    most_blocks: u64,
    output: Output,
}

/// The values that a reduction computes: the part of a gradient, with its strides.
#[derive(Debug, Clone, Copy)]
struct Output {
    groups: u32,
    rows: u32,
    /// Values of a row.
    row_length: u32,
    /// Elements of the gradient from one group to the next, and from one row to the next.
    group_stride: u32,
    row_stride: u32,
    role: Role,
    range: ElementRange,
}

impl Output {
    fn values(&self) -> u64 {
        u64::from(self.groups) * u64::from(self.rows) * u64::from(self.row_length)
    }

    /// The gradient itself.
    fn binding(&self, variable: &'static str) -> Binding {
        Binding::new(variable, Operand::Role(self.role), self.range)
    }
}

impl Reduction {
    /// The reduction for the part of the weight gradient that `ranges` compute, in at most `wanted` splits, or as many as `terms` terms
    /// need and the workspace holds.
    pub(super) fn new(
        c: &Contract,
        ranges: &Ranges,
        terms: u64,
        wanted: u64,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        let row_length = ranges.depth() * c.taps;
        let out_row = c.depth * c.taps;
        let output = Output {
            groups: ranges.groups(),
            rows: ranges.rows(),
            row_length,
            group_stride: c.rows * out_row,
            row_stride: out_row,
            role: Role::WeightGradient,
            range: slices::contract_output(c, ranges),
        };
        Self::with(output, terms, [wanted, terms.div_ceil(sums::SPLIT)], builder)
    }

    /// The reduction of `terms` terms for each value of `output`, in `wanted` splits if the workspace holds them, or in the `needed` ones.
    fn with(output: Output, terms: u64, [wanted, needed]: [u64; 2], builder: &mut Builder<'_>) -> Result<Self> {
        let values = output.values();
        let room = builder.available(Slot::Partials) / values;
        // The second pass takes an iteration for each split of an invocation, and for each block of them.
        let most = (builder.caps.max_iterations / 2).max(1).saturating_mul(LANES).min(65_535);
        // Half of the workspace leaves room for columns.
        let splits = wanted.min(room / 2).max(needed.min(room)).clamp(1, most.into()) as u32;
        let staged = splits > 1 || needed > 1 && room > 0;
        if staged {
            builder.reserve(Slot::Partials, u64::from(splits) * values)?;
        }
        Ok(Reduction { splits, terms, staged, block_chain: 0, blocks: 0, rounds: 0, most_blocks: 0, output })
    }

    /// Strides of the tensor that the first pass writes.
    pub(super) fn params(&self) -> PartialParams {
        let Output { rows, row_length, group_stride, row_stride, .. } = self.output;
        PartialParams {
            split: self.output.values() as u32,
            group: if self.staged { rows * row_length } else { group_stride },
            row: if self.staged { row_length } else { row_stride },
        }
    }

    /// Most blocks of a split in a round.
    fn round(&self, blocks: &Blocks) -> u32 {
        let left = sums::CHAIN.saturating_sub(40 + blocks.chain.max(self.block_chain) + self.tree());
        if self.staged { left.max(1) as u32 } else { u32::MAX }
    }

    /// Divides the splits of `all` units into dispatches. An empty sum has one dispatch, which writes zeros.
    pub(super) fn dispatches(&self, all: u32, blocks: Blocks) -> impl Iterator<Item = SplitParams> + use<> {
        let each = all.div_ceil(self.splits);
        let at_once = blocks.at_once.min(blocks.block.saturating_mul(self.round(&blocks)));
        (0..each.max(1)).step_by(at_once as usize).map(move |first| SplitParams {
            all,
            each,
            first,
            end: first.saturating_add(at_once).min(each),
            block: blocks.block,
        })
    }

    /// Counts the blocks of a dispatch. If they are too many for this round, a second pass comes before the dispatch. Returns whether the
    /// dispatch adds to the partial sums of the dispatches before it.
    pub(super) fn begin(&mut self, dispatch: SplitParams, blocks: Blocks, builder: &mut Builder<'_>) -> Result<bool> {
        let more = u64::from((dispatch.end - dispatch.first).div_ceil(dispatch.block).max(1));
        if self.staged && self.blocks > 0 && self.blocks + more > self.round(&blocks).into() {
            self.second_pass(builder)?;
        }
        let accumulate = self.blocks > 0;
        self.count(dispatch, blocks);
        Ok(accumulate)
    }

    /// Counts the blocks of a dispatch without a second pass.
    pub(super) fn count(&mut self, dispatch: SplitParams, blocks: Blocks) {
        self.block_chain = self.block_chain.max(blocks.chain);
        self.blocks += u64::from((dispatch.end - dispatch.first).div_ceil(dispatch.block).max(1));
        self.most_blocks = self.most_blocks.max(self.blocks);
    }

    /// The memory that the first pass writes.
    fn partials(&self, variable: &'static str) -> Binding {
        if self.staged {
            Binding::slot(variable, Slot::Partials, u64::from(self.splits) * self.output.values())
        } else {
            self.output.binding(variable)
        }
    }

    /// The chain of the second pass.
    fn tree(&self) -> u64 {
        if !self.staged {
            return 0;
        }
        let each = self.splits.div_ceil(sharing(self.splits));
        u64::from(each.min(SPLITS_BLOCK) + each.div_ceil(SPLITS_BLOCK)) + sums::tree_chain(sharing(self.splits))
    }

    /// The most additions that a term passes through.
    fn chain(&self) -> u64 {
        (self.block_chain + self.most_blocks + self.tree() + self.rounds.saturating_sub(1)).min(self.terms)
    }

    /// Emits the last second pass, if there are partial sums, and checks the chain.
    pub(super) fn finish(mut self, builder: &mut Builder<'_>) -> Result<()> {
        if self.staged {
            self.second_pass(builder)?;
        }
        if self.rounds > 1 {
            builder.program.unordered = true;
        }
        builder.chain(self.chain())
    }

    /// Emits the second pass of a round. The passes after the first add to the output.
    fn second_pass(&mut self, builder: &mut Builder<'_>) -> Result<()> {
        let (values, at_once) = (self.output.values(), LANES / sharing(self.splits));
        let draft = Draft::new(&SUM_PARTIALS)
            .constants(&[("SUMS", at_once), ("BLOCK", SPLITS_BLOCK), ("ACCUMULATE", (self.rounds > 0).into())])
            .bind(self.partials("input"))
            .bind(self.output.binding("output"));
        let params = SumPartials {
            values: values as u32,
            row_length: self.output.row_length,
            splits: self.splits,
            out_row: self.output.row_stride,
        };
        self.rounds += 1;
        self.blocks = 0;
        builder.dispatch(draft, values.div_ceil(at_once.into()), &params)
    }
}

impl Draft {
    /// Binds the tensor that the first pass of a reduction writes, or adds to.
    pub(super) fn partials(self, reduction: &Reduction, accumulate: bool) -> Self {
        self.constants(&[("ACCUMULATE", accumulate.into())]).bind(reduction.partials("output"))
    }
}

/// The kernel of the bias gradient.
#[derive(Debug)]
pub(crate) struct Sums;

impl Kernel<SumRows> for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn sources(&self) -> Vec<&'static Source> {
        vec![&SUM_ROWS, &SUM_PARTIALS]
    }

    fn variants(&self, _: &SumRows, _: &Caps) -> Result<Vec<Box<dyn Variant<SumRows>>>, String> {
        Ok(vec![Box::new(Lanes)])
    }
}

/// The only variant: one workgroup for each split of a channel.
#[derive(Debug)]
struct Lanes;

impl Variant<SumRows> for Lanes {
    fn tile(&self) -> Tile {
        Tile::new(1, LANES, 1)
    }

    fn predict(&self, s: &SumRows, caps: &Caps) -> Prediction {
        let elements = f64::from(s.batch) * f64::from(s.channels) * f64::from(s.length);
        let costs = |speed: &Speed| {
            let loads = 4.0 * elements / speed.bandwidth * speed.multiply_adds;
            Work { sums: 0.0, loads, stores: 0.0, packing: 0.0, dispatches: 2.0, busy: 1.0 }
        };
        let tallies = |_| {
            let total = u64::from(s.batch) * u64::from(s.length);
            let lanes = f64::from(s.channels) * f64::from(LANES);
            let splits = caps.splits(lanes, 1).min(total / MIN_SPLIT).max(1) as f64;
            let main = Tally {
                workgroups: f64::from(s.channels) * splits,
                invocations: LANES.into(),
                registers: 8.0,
                integers: 8.0 * elements,
                divisions: elements,
                loads: [Loads::apart(elements, 1), Loads::default()],
                stores: Loads::shared(f64::from(s.channels) * splits, 1.0),
                fetched: elements,
                memory: elements,
                waits: elements,
                ..Tally::default()
            };
            (main, second_pass(s.channels.into(), splits))
        };
        predict(caps, costs, tallies)
    }

    fn emit(&self, s: &SumRows, builder: &mut Builder<'_>) -> Result<()> {
        let slices = slices::rows(s.batch, s.channels, s.length, builder.caps.max_range())?;
        // Slices of the same channels differ only in batch items and positions. They are added in order, before the workspace is used
        // for other channels.
        let mut channels: Vec<_> = Vec::new();
        for (ranges, _) in &slices {
            if !channels.contains(&ranges.r) {
                channels.push(ranges.r.clone());
            }
        }
        for channels in channels {
            let slices = slices.iter().filter(|(ranges, _)| ranges.r == channels);
            let mut reduction = reduction(s, &channels, builder)?;
            for (ranges, input) in slices {
                emit_slice(s, ranges, *input, &mut reduction, builder)?;
            }
            reduction.finish(builder)?;
        }
        Ok(())
    }
}

/// The dispatch that adds `splits` partial sums of each of `outputs` outputs; none for one split.
pub(super) fn second_pass(outputs: f64, splits: f64) -> Vec<Tally> {
    if splits <= 1.0 {
        return Vec::new();
    }
    let lanes = (outputs / f64::from(LANES)).ceil() * f64::from(LANES);
    let tally = Tally {
        workgroups: lanes / f64::from(LANES),
        invocations: LANES.into(),
        registers: 8.0,
        integers: lanes * (20.0 + 4.0 * splits),
        loads: [Loads::apart(lanes * splits, 1), Loads::default()],
        stores: Loads::apart(lanes, 1),
        fetched: outputs * splits,
        memory: outputs * (splits + 1.0),
        waits: lanes * (2.0 + splits / 8.0),
        ..Tally::default()
    };
    vec![tally]
}

/// Emits the dispatches that add a slice.
fn emit_slice(
    s: &SumRows,
    ranges: &Ranges,
    input: ElementRange,
    reduction: &mut Reduction,
    builder: &mut Builder<'_>,
) -> Result<()> {
    // Each lane sums every LANES-th term, in blocks.
    let all = ranges.batch() * ranges.positions();
    let each = all.div_ceil(reduction.splits);
    let blocks = Blocks::of_lanes(each, builder.caps);
    let inner = [Level::Lanes(LANES), Level::Positions(1)];
    builder.order(false, Part::over_positions(ranges, [reduction.splits, each, blocks.block], None, inner));
    for split in reduction.dispatches(all, blocks) {
        let accumulate = reduction.begin(split, blocks, builder)?;
        let draft = Draft::new(&SUM_ROWS).input(s.input, input).partials(reduction, accumulate);
        let params = Contraction {
            partials: reduction.params(),
            split,
            tiles: RowTiles { channels: ranges.rows() },
            ..params(s, ranges, input)
        };
        builder.dispatch(draft, u64::from(ranges.rows()) * u64::from(reduction.splits), &params)?;
    }
    Ok(())
}

/// The reduction for a range of channels.
fn reduction(s: &SumRows, range: &std::ops::Range<u32>, builder: &mut Builder<'_>) -> Result<Reduction> {
    let channels = range.end - range.start;
    let total = u64::from(s.batch) * u64::from(s.length);
    let lanes = f64::from(channels) * f64::from(LANES);
    let wanted = builder.caps.splits(lanes, 1).min(total / MIN_SPLIT);
    let needed = total.div_ceil(sums::lanes_split(LANES.into()));
    let output = Output {
        groups: 1,
        rows: 1,
        row_length: channels,
        group_stride: 0,
        row_stride: channels,
        role: Role::BiasGradient,
        range: ElementRange { start: range.start.into(), length: channels.into() },
    };
    Reduction::with(output, total, [wanted, needed], builder)
}

/// The parameters of a slice, whose channels are the rows of one group.
fn params(s: &SumRows, ranges: &Ranges, input: ElementRange) -> Contraction<RowTiles> {
    let row = u64::from(ranges.n.start) * u64::from(s.channels) + u64::from(ranges.r.start);
    let inside = i64::from(ranges.j.start)..i64::from(ranges.j.end);
    let first = row * u64::from(s.length);
    Contraction {
        problem: ContractionParams {
            batch: ranges.batch(),
            position_first: ranges.j.start,
            positions: ranges.positions(),
            ..Default::default()
        },
        input: InputParams::new(&s.input, [1, s.channels, s.length], input, first, &inside, Extension::ZEROS),
        ..Default::default()
    }
}
