//! Sums in two passes: the first sums fixed splits of the positions, block by block, the second adds the partial sums as a tree. There are
//! no atomics, so the same plan gives the same bits every time. Also `sums`, the kernel of the bias gradient.

use super::operands::{
    Contraction, ContractionParams, Draft, InputParams, Parameters, PartialParams, Skips, SplitParams,
};
use super::order::{Level, Part};
use super::params::{self, append, params, tiles};
use super::predict::Work;
use super::program::{Binding, Builder, ElementRange, LANES, Source, source};
use super::slices::{self, Ranges};
use super::{Kernel, Prediction, Tile, Variant};
use crate::caps::Caps;
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

/// Splits of a block of an invocation of `sum_partials.wgsl`.
const SPLITS_BLOCK: u32 = 32;

/// The invocations of `sum_partials.wgsl` that share the splits of a value. Each adds 16 splits or more, up to a workgroup for 1,024.
fn sharing(splits: u32) -> u32 {
    let wanted = (splits / 16).clamp(1, LANES);
    1 << wanted.ilog2()
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
    /// The blocks of splits of `each` units of a reduction. An invocation adds the `terms` terms of a unit in `unit` iterations, and stores
    /// the sums of a block in `store` iterations. Where a device limits iterations, blocks are up to half as long if that saves
    /// dispatches.
    pub(super) fn new(reduction: &Reduction, each: u32, terms: u32, [unit, store]: [u32; 2], caps: &Caps) -> Self {
        let most = sums::block(reduction.terms.div_ceil(reduction.splits.into()), reduction.tree());
        // Blocks of equal length.
        let longest = (most / terms.max(1)).clamp(1, each.max(1));
        let longest = each.div_ceil(each.div_ceil(longest).max(1)).max(1);
        let at_once = |block: u32| {
            let iterations = block.saturating_mul(unit).saturating_add(store);
            match caps.max_iterations / iterations {
                0 => (caps.max_iterations.saturating_sub(store) / unit).clamp(1, block),
                blocks => blocks.saturating_mul(block),
            }
        };
        let lengths = (longest.div_ceil(2)..=longest).rev();
        let block = lengths.min_by_key(|&block| each.div_ceil(at_once(block))).unwrap_or(longest);
        Blocks {
            block: block.min(at_once(block)),
            at_once: at_once(block),
            chain: u64::from(block.min(each)) * u64::from(terms),
        }
    }

    /// Whole splits of `units` units in a dispatch.
    pub(super) fn whole(self, units: u32) -> Self {
        Blocks { at_once: units.max(1), ..self }
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

/// The most outputs of a weight gradient that are computed together: the splits that its `terms` terms need should fit the workspace. A
/// third of the workspace leaves room for what the first pass stages. Outputs cannot be cut between the taps of a row.
pub(super) fn most_outputs(c: &Contract, terms: u64, builder: &Builder<'_>) -> u64 {
    match terms.div_ceil(sums::SPLIT) {
        0..=1 => u64::MAX,
        splits => match builder.available(Slot::Partials) / 3 / splits {
            outputs if outputs < c.taps.into() => u64::MAX,
            outputs => outputs,
        },
    }
}

/// The splits of a sum over positions. With several, a second pass adds the partial sums; a single one is written to the output directly.
#[derive(Debug)]
pub(super) struct Reduction {
    pub(super) splits: u32,
    /// Terms of an output.
    terms: u64,
    /// The longest chain of a block, and the blocks of a split.
    block_chain: u64,
    blocks: u64,
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
        let most = (builder.caps.max_iterations / 2).saturating_mul(LANES).min(65_535);
        // Half of the workspace leaves room for columns.
        let splits = wanted.min(room / 2).max(needed.min(room)).clamp(1, most.into()) as u32;
        if splits > 1 {
            builder.reserve(Slot::Partials, u64::from(splits) * values)?;
        }
        Ok(Reduction { splits, terms, block_chain: 0, blocks: 0, output })
    }

    /// Strides of the tensor that the first pass writes.
    pub(super) fn params(&self) -> PartialParams {
        let Output { rows, row_length, group_stride, row_stride, .. } = self.output;
        let split = self.splits > 1;
        PartialParams {
            split: self.output.values() as u32,
            group: if split { rows * row_length } else { group_stride },
            row: if split { row_length } else { row_stride },
        }
    }

    /// Divides the splits of `all` units into dispatches. An empty sum has one dispatch, which writes zeros.
    pub(super) fn dispatches(&self, all: u32, blocks: Blocks) -> impl Iterator<Item = SplitParams> + Clone + use<> {
        let each = all.div_ceil(self.splits);
        (0..each.max(1)).step_by(blocks.at_once as usize).map(move |first| SplitParams {
            all,
            each,
            first,
            end: first.saturating_add(blocks.at_once).min(each),
            block: blocks.block,
        })
    }

    /// Counts the blocks of these dispatches, which are added to the same splits as all that were counted before.
    pub(super) fn count(&mut self, dispatches: impl Iterator<Item = SplitParams>, blocks: Blocks) {
        self.block_chain = self.block_chain.max(blocks.chain);
        self.blocks += dispatches.map(|d| u64::from((d.end - d.first).div_ceil(d.block).max(1))).sum::<u64>();
    }

    /// The memory that the first pass writes.
    fn partials(&self, variable: &'static str) -> Binding {
        if self.splits > 1 {
            Binding::slot(variable, Slot::Partials, u64::from(self.splits) * self.output.values())
        } else {
            self.output.binding(variable)
        }
    }

    /// The chain of the second pass.
    fn tree(&self) -> u64 {
        if self.splits == 1 {
            return 0;
        }
        let each = self.splits.div_ceil(sharing(self.splits));
        u64::from(each.min(SPLITS_BLOCK) + each.div_ceil(SPLITS_BLOCK)) + sums::tree_chain(sharing(self.splits))
    }

    /// The most additions that a term passes through.
    fn chain(&self) -> u64 {
        (self.block_chain + self.blocks + self.tree()).min(self.terms)
    }

    /// Emits the second pass, if there is more than one split, and checks the chain.
    pub(super) fn finish(&self, builder: &mut Builder<'_>) -> Result<()> {
        builder.chain(self.chain())?;
        if self.splits == 1 {
            return Ok(());
        }
        let (values, at_once) = (self.output.values(), LANES / sharing(self.splits));
        let draft = Draft::new(&SUM_PARTIALS)
            .constants(&[("SUMS", at_once), ("BLOCK", SPLITS_BLOCK)])
            .bind(self.partials("input"))
            .bind(self.output.binding("output"));
        let params = SumPartials {
            values: values as u32,
            row_length: self.output.row_length,
            splits: self.splits,
            out_row: self.output.row_stride,
        };
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
        let speed = caps.speed();
        let bytes = f64::from(s.batch) * f64::from(s.channels) * f64::from(s.length) * 4.0;
        let loads = bytes / speed.bandwidth * speed.multiply_adds;
        Work { sums: 0.0, loads, stores: 0.0, packing: 0.0, dispatches: 2.0, busy: 1.0 }.on(&speed)
    }

    fn emit(&self, s: &SumRows, builder: &mut Builder<'_>) -> Result<()> {
        // Slices of the same channels differ only in batch items and positions. They are added in order.
        let mut done: Vec<(std::ops::Range<u32>, Reduction)> = Vec::new();
        let slices = slices::rows(s.batch, s.channels, s.length, builder.caps.max_range())?;
        for (ranges, input) in slices {
            let mut accumulate = done.iter().any(|(channels, _)| *channels == ranges.r);
            if !accumulate {
                done.push((ranges.r.clone(), reduction(s, &ranges, builder)?));
            }
            let Some((_, reduction)) = done.iter_mut().find(|(channels, _)| *channels == ranges.r) else { continue };
            // Each lane sums every LANES-th term, in blocks.
            let all = ranges.batch() * ranges.positions();
            let each = all.div_ceil(reduction.splits);
            let blocks = Blocks::of_lanes(each, builder.caps);
            let inner = [Level::Lanes(LANES), Level::Positions(1)];
            builder.order(false, Part::over_positions(&ranges, [reduction.splits, each, blocks.block], None, inner));
            let dispatches = reduction.dispatches(all, blocks);
            reduction.count(dispatches.clone(), blocks);
            for split in dispatches {
                let draft = Draft::new(&SUM_ROWS).input(s.input, input).partials(reduction, accumulate);
                let params = Contraction {
                    partials: reduction.params(),
                    split,
                    tiles: RowTiles { channels: ranges.rows() },
                    ..params(s, &ranges, input)
                };
                builder.dispatch(draft, u64::from(ranges.rows()) * u64::from(reduction.splits), &params)?;
                accumulate = true;
            }
        }
        done.iter().try_for_each(|(_, reduction)| reduction.finish(builder))
    }
}

/// The reduction for the channels of a slice.
fn reduction(s: &SumRows, ranges: &Ranges, builder: &mut Builder<'_>) -> Result<Reduction> {
    let channels = ranges.rows();
    let total = u64::from(s.batch) * u64::from(s.length);
    let lanes = f64::from(channels) * f64::from(LANES);
    let wanted = builder.caps.speed().splits(lanes, 1).min(total / MIN_SPLIT);
    let needed = total.div_ceil(sums::lanes_split(LANES.into()));
    let output = Output {
        groups: 1,
        rows: 1,
        row_length: channels,
        group_stride: 0,
        row_stride: channels,
        role: Role::BiasGradient,
        range: ElementRange { start: ranges.r.start.into(), length: channels.into() },
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
