//! Sums in two passes: the first sums fixed splits of the positions, the second adds the partial sums in a fixed order. There are no
//! atomics, so the same plan gives the same bits every time. Also `sums`, the kernel of the bias gradient.

use super::operands::{
    Contraction, ContractionParams, Draft, InputParams, Parameters, PartialParams, Skips, SplitParams,
};
use super::order::{Level, Part};
use super::params::{Block, append, params, tiles};
use super::predict::Work;
use super::program::{Binding, Builder, ElementRange, LANES, Source, source};
use super::slices::{self, Ranges};
use super::{Kernel, Prediction, Tile, Variant};
use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::Extension;
use crate::lowering::{Contract, Operand, Role, Slot, SumRows};

pub(super) static SUM_PARTIALS: Source = source!("sum_partials", SumPartials);
static SUM_ROWS: Source = source!("sum_rows", Contraction<RowTiles>);

params! {
    /// `Partials` of `sum_partials.wgsl`.
    SumPartials { values: u32, row_length: u32, splits: u32, out_row: u32 }
}

impl SumPartials {
    const BLOCKS: &'static [Block] =
        &[Skips::BLOCK, Block { name: "partials", fields: Self::FIELDS, bytes: size_of::<Self>() }];
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

/// The splits of a sum over positions. With several, a second pass adds the partial sums; a single one is written to the output directly.
#[derive(Debug)]
pub(super) struct Reduction {
    pub(super) splits: u32,
    /// Strides of the tensor that the first pass writes: partial sums, or the output.
    strides: PartialParams,
    /// Values of one split, values of a row, and elements of the output from one row to the next.
    values: u64,
    row_length: u32,
    out_row: u32,
    role: Role,
    output: ElementRange,
}

impl Reduction {
    /// The reduction for the part of the weight gradient that `ranges` compute, in at most `wanted` splits.
    pub(super) fn new(c: &Contract, ranges: &Ranges, wanted: u64, builder: &mut Builder<'_>) -> Result<Self> {
        let row_length = ranges.depth() * c.taps;
        let out_row = c.depth * c.taps;
        let output = slices::contract_output(c, ranges);
        let rows = [ranges.groups(), ranges.rows()];
        Self::with(rows, row_length, [c.rows * out_row, out_row], Role::WeightGradient, output, wanted, builder)
    }

    fn with(
        [groups, rows]: [u32; 2],
        row_length: u32,
        [out_group, out_row]: [u32; 2],
        role: Role,
        output: ElementRange,
        wanted: u64,
        builder: &mut Builder<'_>,
    ) -> Result<Self> {
        let values = u64::from(groups) * u64::from(rows) * u64::from(row_length);
        // Half of the remaining workspace, so that kernels with columns have room for them.
        let room = builder.available(Slot::Partials) / 2 / values;
        let splits = wanted.min(room).clamp(1, builder.caps.max_terms(1).min(65_535).into()) as u32;
        let split = splits > 1;
        if split {
            builder.reserve(Slot::Partials, u64::from(splits) * values)?;
        }
        let strides = PartialParams {
            split: values as u32,
            group: if split { rows * row_length } else { out_group },
            row: if split { row_length } else { out_row },
        };
        Ok(Reduction { splits, strides, values, row_length, out_row, role, output })
    }

    /// Strides of the tensor that the first pass writes.
    pub(super) fn params(&self) -> PartialParams {
        self.strides
    }

    /// Divides the splits of `all` terms into dispatches of at most `at_once` terms per split. An empty sum has one dispatch, which
    /// writes zeros.
    pub(super) fn dispatches(&self, all: u32, at_once: u32) -> impl Iterator<Item = SplitParams> + use<> {
        let each = all.div_ceil(self.splits);
        (0..each.max(1)).step_by(at_once as usize).map(move |first| SplitParams {
            all,
            each,
            first,
            end: first.saturating_add(at_once).min(each),
        })
    }

    /// The memory that the first pass writes.
    fn partials(&self, variable: &'static str) -> Binding {
        if self.splits > 1 {
            Binding::slot(variable, Slot::Partials, u64::from(self.splits) * self.values)
        } else {
            Binding::new(variable, Operand::Role(self.role), self.output)
        }
    }

    /// Emits the second pass, if there is more than one split.
    pub(super) fn finish(&self, builder: &mut Builder<'_>) -> Result<()> {
        if self.splits == 1 {
            return Ok(());
        }
        let draft = Draft::new(&SUM_PARTIALS).bind(self.partials("input")).bind(Binding::new(
            "output",
            Operand::Role(self.role),
            self.output,
        ));
        let params = SumPartials {
            values: self.values as u32,
            row_length: self.row_length,
            splits: self.splits,
            out_row: self.out_row,
        };
        builder.dispatch(draft, self.values.div_ceil(LANES.into()), &params)
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
            let Some((_, reduction)) = done.iter().find(|(channels, _)| *channels == ranges.r) else { continue };
            // Each lane sums every LANES-th term.
            let at_once = builder.caps.max_terms(1).saturating_mul(LANES);
            let all = ranges.batch() * ranges.positions();
            let sizes = [reduction.splits, all.div_ceil(reduction.splits), at_once];
            let inner = [Level::Lanes(LANES), Level::Positions(1)];
            builder.order(false, Part::over_positions(&ranges, sizes, None, inner));
            for split in reduction.dispatches(all, at_once) {
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
    let output = ElementRange { start: ranges.r.start.into(), length: channels.into() };
    Reduction::with([1, 1], channels, [0, channels], Role::BiasGradient, output, wanted, builder)
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
