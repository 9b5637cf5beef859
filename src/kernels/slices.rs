//! Cuts a problem into slices whose operands each fit one storage binding.

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Extension, PaddingMode};
use crate::kernels::order::{Level, Part};
use crate::kernels::program::{Builder, ElementRange};
use crate::lowering::{Contract, Correlate, Phase, SumRows};
use std::ops::Range;

/// Ranges of batch items, groups, output rows of a group, input rows of a group (depth) and positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges {
    pub(crate) n: Range<u32>,
    pub(crate) g: Range<u32>,
    pub(crate) r: Range<u32>,
    pub(crate) q: Range<u32>,
    pub(crate) j: Range<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Axis {
    N,
    G,
    R,
    Q,
    J,
}

impl Ranges {
    pub(crate) fn batch(&self) -> u32 {
        self.n.end - self.n.start
    }

    pub(crate) fn groups(&self) -> u32 {
        self.g.end - self.g.start
    }

    pub(crate) fn rows(&self) -> u32 {
        self.r.end - self.r.start
    }

    pub(crate) fn depth(&self) -> u32 {
        self.q.end - self.q.start
    }

    pub(crate) fn positions(&self) -> u32 {
        self.j.end - self.j.start
    }

    fn axis(&mut self, axis: Axis) -> &mut Range<u32> {
        match axis {
            Axis::N => &mut self.n,
            Axis::G => &mut self.g,
            Axis::R => &mut self.r,
            Axis::Q => &mut self.q,
            Axis::J => &mut self.j,
        }
    }

    /// The two halves along the first axis of `axes` that can be halved.
    fn halves(&self, axes: &[Axis]) -> Option<[Ranges; 2]> {
        axes.iter().find_map(|&axis| {
            let (mut first, mut second) = (self.clone(), self.clone());
            let range = first.axis(axis);
            let middle = range.start + (range.end - range.start) / 2;
            if middle == range.start {
                return None;
            }
            range.end = middle;
            second.axis(axis).start = middle;
            Some([first, second])
        })
    }
}

/// A range of taps of a correlation, cut into slices.
#[derive(Debug)]
pub(crate) struct TapSlice {
    /// The range of taps within each phase.
    pub(crate) taps: Range<u32>,
    pub(crate) correlate: Correlate,
    pub(crate) slices: Vec<CorrelateSlice>,
}

impl TapSlice {
    /// Adds the parts of the sums that the slices compute to the order of the program. `nesting` is the loops of the kernel.
    pub(super) fn order(&self, bias_first: bool, nesting: &[Level], builder: &mut Builder<'_>) {
        for slice in &self.slices {
            builder.order(bias_first, Part::new(slice.ranges.q.clone(), self.taps.clone(), nesting.iter().copied()));
        }
    }
}

/// A slice of a correlation with the range of each operand that it accesses.
#[derive(Debug)]
pub(crate) struct CorrelateSlice {
    pub(crate) ranges: Ranges,
    /// Whether an earlier slice has written the same outputs. This slice then adds to them.
    pub(crate) accumulate: bool,
    /// Whether this slice completes the sums.
    pub(crate) last: bool,
    pub(crate) input: ElementRange,
    /// Positions of an input row that are in the element range.
    pub(crate) touched: Range<i64>,
    pub(crate) weight: ElementRange,
    pub(crate) bias: ElementRange,
    pub(crate) output: ElementRange,
}

impl CorrelateSlice {
    /// Multiply-adds of the slice, where an output of a phase has `taps(phase)` taps.
    pub(crate) fn multiply_adds(&self, c: &Correlate, taps: impl Fn(&Phase) -> u32) -> u64 {
        let p = &self.ranges;
        let inside = |phase: &Phase| phase.count.min(p.j.end).saturating_sub(p.j.start);
        let each: u64 = c.phases.iter().map(|phase| u64::from(inside(phase)) * u64::from(taps(phase))).sum();
        [p.batch(), p.groups(), p.rows(), p.depth()].iter().fold(each, |n, &size| n.saturating_mul(size.into()))
    }
}

/// A slice of a contraction with the range of each operand that it accesses.
#[derive(Debug)]
pub(crate) struct ContractSlice {
    pub(crate) ranges: Ranges,
    pub(crate) narrow: ElementRange,
    pub(crate) wide: ElementRange,
    /// Positions of a wide row that are in the element range.
    pub(crate) touched: Range<i64>,
}

/// Limits of a slice of a correlation.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    /// Maximum elements of an element range.
    pub(crate) max_range: u64,
    /// Maximum iterations of all loops of an invocation, and the iterations of a sum over a number of input rows.
    pub(crate) max_iterations: u32,
    pub(crate) iterations: &'a dyn Fn(&Correlate, u32) -> u64,
    pub(crate) staged: Option<Staged<'a>>,
}

/// The amount that a kernel stages in the workspace for a slice, and its limit.
#[derive(Clone, Copy)]
pub(crate) struct Staged<'a> {
    pub(crate) amount: &'a dyn Fn(&Ranges) -> u64,
    pub(crate) limit: u64,
}

impl Staged<'_> {
    /// The amount for a slice if it exceeds the limit.
    fn too_much(&self, ranges: &Ranges) -> Option<u64> {
        let amount = (self.amount)(ranges);
        (amount > self.limit).then_some(amount)
    }
}

/// The slices of a correlation, in the order in which they must run. Empty for an empty batch.
pub(crate) fn correlate(c: &Correlate, limits: Limits<'_>) -> Result<Vec<TapSlice>> {
    if c.batch == 0 {
        return Ok(Vec::new());
    }
    let fits = |taps: u32| (limits.iterations)(&c.with_taps(0..taps), 1) <= limits.max_iterations.into();
    if c.max_taps() <= 1 || fits(c.max_taps()) {
        let slices = correlate_slices(c, limits, [true; 2])?;
        return Ok(vec![TapSlice { taps: 0..c.max_taps(), correlate: c.clone(), slices }]);
    }
    // Bisects for the most taps that fit: `most` fits (or is 1), `too_many` does not fit.
    let (mut most, mut too_many) = (1, c.max_taps());
    while too_many - most > 1 {
        let middle = most + (too_many - most) / 2;
        if fits(middle) { most = middle } else { too_many = middle }
    }
    (0..c.max_taps())
        .step_by(most as usize)
        .map(|first| {
            let end = first.saturating_add(most);
            let correlate = c.with_taps(first..end);
            let slices = correlate_slices(&correlate, limits, [first == 0, end >= c.max_taps()])?;
            Ok(TapSlice { taps: first..end.min(c.max_taps()), correlate, slices })
        })
        .collect()
}

fn correlate_slices(
    c: &Correlate,
    limits: Limits<'_>,
    [first_taps, last_taps]: [bool; 2],
) -> Result<Vec<CorrelateSlice>> {
    let Limits { max_range, max_iterations, iterations, staged } = limits;
    let whole = Ranges { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions() };
    let mut done = Vec::new();
    // The stack pops the first half before the second.
    let mut open = vec![whole];
    while let Some(ranges) = open.pop() {
        let first = first_taps && ranges.q.start == 0;
        let cut = CorrelateSlice {
            accumulate: !first,
            last: last_taps && ranges.q.end == c.depth,
            input: rows_range(&ranges, c.groups, c.depth, &ranges.q, c.in_length, touched_input(c, &ranges)),
            touched: touched_input(c, &ranges),
            weight: weight(c, &ranges),
            bias: if first { bias(c, &ranges) } else { ElementRange::EMPTY },
            output: output(c, &ranges),
            ranges,
        };
        // Cut batch items first: of the operands, their slices share only the weight.
        let halves = if cut.output.length > max_range {
            cut.ranges.halves(&[Axis::N, Axis::G, Axis::R, Axis::J])
        } else if cut.input.length > max_range {
            cut.ranges.halves(&[Axis::N, Axis::G, Axis::Q, Axis::J])
        } else if cut.weight.length > max_range {
            cut.ranges.halves(&weight_axes(c, &cut.ranges))
        } else if cut.ranges.depth() > 1 && iterations(c, cut.ranges.depth()) > max_iterations.into() {
            cut.ranges.halves(&[Axis::Q])
        } else if let Some((needed, limit)) = staged.and_then(|s| Some((s.too_much(&cut.ranges)?, s.limit))) {
            let halves = cut.ranges.halves(&[Axis::N, Axis::G, Axis::J, Axis::Q]);
            let [first, second] = halves.ok_or_else(|| indivisible(needed, limit))?;
            open.extend([second, first]);
            continue;
        } else {
            done.push(cut);
            continue;
        };
        let longest = cut.output.length.max(cut.input.length).max(cut.weight.length);
        let [first, second] = halves.ok_or_else(|| indivisible(longest, max_range))?;
        open.extend([second, first]);
    }
    Ok(done)
}

/// The axes of the weight of a slice, in descending order of the elements that they span: halving the first shortens the element range
/// most. The weight's outer axis may be the output rows or the depth.
fn weight_axes(c: &Correlate, p: &Ranges) -> [Axis; 3] {
    let span = |axis: Axis| match axis {
        Axis::G => u64::from(p.groups() - 1) * u64::from(c.w_group),
        Axis::R => u64::from(p.rows() - 1) * u64::from(c.w_row),
        _ => u64::from(p.depth() - 1) * u64::from(c.w_depth),
    };
    let mut axes = [Axis::G, Axis::R, Axis::Q];
    axes.sort_by_key(|&axis| std::cmp::Reverse(span(axis)));
    axes
}

/// A problem that can be cut into parts whose operands fit bindings.
pub(crate) trait Sliced: Sized + Clone {
    /// The problem with one batch item, if its batch is empty and it therefore has no output.
    fn with_an_item(&self) -> Option<Self> {
        None
    }

    /// Cuts the problem into parts whose operands fit bindings of `max_range` elements. Returns one problem for each distinct size, with
    /// the number of parts of that size. The predicted time of a problem is the sum over its parts.
    fn parts(&self, max_range: u64) -> Result<Vec<(Self, u64)>>;
}

/// One problem for each distinct size of the ranges, with the number of ranges of that size.
fn counted<P>(all: impl Iterator<Item = Ranges>, problem: impl Fn(&Ranges) -> P) -> Vec<(P, u64)> {
    let mut parts: Vec<([u32; 5], P, u64)> = Vec::new();
    for ranges in all {
        let sizes = [ranges.batch(), ranges.groups(), ranges.rows(), ranges.depth(), ranges.positions()];
        match parts.iter_mut().find(|(known, ..)| *known == sizes) {
            Some((_, _, count)) => *count += 1,
            None => parts.push((sizes, problem(&ranges), 1)),
        }
    }
    parts.into_iter().map(|(_, problem, count)| (problem, count)).collect()
}

impl Sliced for Correlate {
    fn with_an_item(&self) -> Option<Self> {
        (self.batch == 0).then(|| Correlate { batch: 1, ..self.clone() })
    }

    fn parts(&self, max_range: u64) -> Result<Vec<(Self, u64)>> {
        if self.batch == 0 {
            return Ok(vec![(self.clone(), 1)]);
        }
        let limits = Limits { max_range, max_iterations: u32::MAX, iterations: &|_, _| 0, staged: None };
        let slices = correlate_slices(self, limits, [true; 2])?;
        Ok(counted(slices.into_iter().map(|slice| slice.ranges), |p| {
            let inside = |phase: &Phase| phase.count.min(p.j.end).saturating_sub(p.j.start);
            let phases = self.phases.iter().map(|phase| Phase { count: inside(phase), ..*phase }).collect();
            let (batch, groups, rows, depth) = (p.batch(), p.groups(), p.rows(), p.depth());
            Correlate { batch, groups, rows, depth, phases, ..self.clone() }
        }))
    }
}

impl Sliced for Contract {
    fn parts(&self, max_range: u64) -> Result<Vec<(Self, u64)>> {
        if self.batch == 0 {
            return Ok(vec![(self.clone(), 1)]);
        }
        let slices = contract(self, max_range, max_range, None)?;
        Ok(counted(slices.into_iter().flatten().map(|slice| slice.ranges), |p| {
            let (batch, groups, rows, depth) = (p.batch(), p.groups(), p.rows(), p.depth());
            Contract { batch, groups, rows, depth, positions: p.positions(), ..self.clone() }
        }))
    }
}

impl Sliced for SumRows {
    fn parts(&self, _: u64) -> Result<Vec<(Self, u64)>> {
        Ok(vec![(self.clone(), 1)])
    }
}

/// The slices of a contraction, grouped by the part of the weight gradient that they compute: the slices of one entry differ
/// only in batch items and positions. The part of the weight gradient spans at most `max_output` elements. `staged` limits
/// the amount that the kernel stages for a slice.
pub(crate) fn contract(
    c: &Contract,
    max_range: u64,
    max_output: u64,
    staged: Option<Staged<'_>>,
) -> Result<Vec<Vec<ContractSlice>>> {
    let whole = Ranges { n: 0..c.batch, g: 0..c.groups, r: 0..c.rows, q: 0..c.depth, j: 0..c.positions };
    let mut done = Vec::new();
    let mut open = vec![whole];
    while let Some(block) = open.pop() {
        let out = output_span(c, &block);
        let cut = if out > max_output {
            Cut::Channels(block.halves(&[Axis::G, Axis::R, Axis::Q]), out, max_output)
        } else {
            contract_parts(c, &block, max_range, staged)
        };
        match cut {
            Cut::Parts(parts) => done.push(parts),
            Cut::Channels(halves, longest, limit) => {
                let [first, second] = halves.ok_or_else(|| indivisible(longest, limit))?;
                open.extend([second, first]);
            }
        }
    }
    Ok(done)
}

/// The slices of a contraction for a kernel that stages nothing in the workspace.
pub(crate) fn contract_to_bindings(c: &Contract, max_output: u64, caps: &Caps) -> Result<Vec<Vec<ContractSlice>>> {
    contract(c, caps.max_range(), max_output.min(caps.max_range()), None)
}

/// How a block of the weight gradient is cut.
enum Cut {
    /// Into slices that differ only in batch items and positions.
    Parts(Vec<ContractSlice>),
    /// First along its channels, into these halves (`None` if it cannot be halved). The numbers are the element count that is too large,
    /// and its limit.
    Channels(Option<[Ranges; 2]>, u64, u64),
}

/// Cuts a block along batch items and positions, in the same way for all its channels: slices that are added to a common
/// output must have all outputs in common.
fn contract_parts(c: &Contract, block: &Ranges, max_range: u64, staged: Option<Staged<'_>>) -> Cut {
    let mut parts = Vec::new();
    let mut open = vec![block.clone()];
    while let Some(ranges) = open.pop() {
        let touched = touched_wide(c, &ranges);
        let wide = rows_range(&ranges, c.groups, c.depth, &ranges.q, c.wide_length, touched.clone());
        let cut = ContractSlice { narrow: narrow(c, &ranges), wide, touched, ranges };
        let ranges = &cut.ranges;
        // Positions are cut only within one channel: the element range of several channels spans whole rows.
        let (halves, longest, limit) = if cut.narrow.length > max_range {
            let channels = ranges.halves(&[Axis::N]).is_none().then(|| block.halves(&[Axis::G, Axis::R])).flatten();
            if channels.is_some() {
                return Cut::Channels(channels, cut.narrow.length, max_range);
            }
            (ranges.halves(&[Axis::N, Axis::J]), cut.narrow.length, max_range)
        } else if cut.wide.length > max_range {
            let channels = ranges.halves(&[Axis::N]).is_none().then(|| block.halves(&[Axis::G, Axis::Q])).flatten();
            if channels.is_some() {
                return Cut::Channels(channels, cut.wide.length, max_range);
            }
            (ranges.halves(&[Axis::N, Axis::J]), cut.wide.length, max_range)
        } else if let Some((needed, limit)) = staged.and_then(|s| Some((s.too_much(ranges)?, s.limit))) {
            (ranges.halves(&[Axis::N, Axis::J]), needed, limit)
        } else {
            parts.push(cut);
            continue;
        };
        match halves {
            Some([first, second]) => open.extend([second, first]),
            None => return Cut::Channels(None, longest, limit),
        }
    }
    Cut::Parts(parts)
}

/// Elements from the first to the last output of a slice of a contraction, `[g, r, q, t]`.
fn output_span(c: &Contract, p: &Ranges) -> u64 {
    let row = u64::from(c.depth) * u64::from(c.taps);
    (u64::from(p.groups() - 1) * u64::from(c.rows) + u64::from(p.rows() - 1)) * row
        + u64::from(p.depth()) * u64::from(c.taps)
}

/// The element range of the weight gradient that a slice computes.
pub(crate) fn contract_output(c: &Contract, p: &Ranges) -> ElementRange {
    let (rows, depth, taps) = (u64::from(c.rows), u64::from(c.depth), u64::from(c.taps));
    let start = ((u64::from(p.g.start) * rows + u64::from(p.r.start)) * depth + u64::from(p.q.start)) * taps;
    ElementRange { start, length: output_span(c, p) }
}

impl ContractSlice {
    /// Multiply-adds of the slice with `positions` positions for every tap.
    pub(crate) fn multiply_adds(&self, c: &Contract, positions: u32) -> u64 {
        let p = &self.ranges;
        let sizes = [p.batch(), p.groups(), p.rows(), p.depth(), c.taps];
        sizes.iter().fold(positions.into(), |n: u64, &size| n.saturating_mul(size.into()))
    }
}

fn indivisible(value: u64, limit: u64) -> Error {
    Error::TooLarge {
        what: "elements or texels of the smallest part that must be bound, or fit the workspace, at once",
        value,
        limit,
    }
}

/// The range from the first to the last element at positions `inside` of rows `(n, g*per_group + q)`, `q` in `channels`, of a tensor
/// `[N, groups*per_group, length]`.
fn rows_range(
    ranges: &Ranges,
    groups: u32,
    per_group: u32,
    channels: &Range<u32>,
    length: u32,
    inside: Range<i64>,
) -> ElementRange {
    if ranges.n.is_empty() || inside.is_empty() {
        return ElementRange::EMPTY;
    }
    let row = |n: u32, g: u32, q: u32| {
        ((u64::from(n) * u64::from(groups) + u64::from(g)) * u64::from(per_group) + u64::from(q)) * u64::from(length)
    };
    let start = row(ranges.n.start, ranges.g.start, channels.start) + inside.start as u64;
    let end = row(ranges.n.end - 1, ranges.g.end - 1, channels.end - 1) + inside.end as u64;
    ElementRange { start, length: end - start }
}

/// The positions within `0..length` that a read of `first..=last` accesses. Positions outside are mapped inside by the extension.
fn touched(first: i64, last: i64, length: u32, extension: Extension) -> Range<i64> {
    let length = i64::from(length);
    let mut touched = first.max(0)..(last + 1).min(length);
    let mut include = |range: Range<i64>| {
        touched = if touched.is_empty() { range } else { touched.start.min(range.start)..touched.end.max(range.end) };
    };
    let (left, right) = ((-first).max(0), (last + 1 - length).max(0));
    if extension.repeated && left.max(right) > 0 {
        return 0..length;
    }
    // A stride may skip positions between the row and the far end of the padding; they are included anyway.
    if left > 0 {
        match extension.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) => {}
            PaddingMode::Reflect => include(0..(left + 1).min(length)),
            PaddingMode::Symmetric => include(0..left.min(length)),
            PaddingMode::Replicate => include(0..1),
            PaddingMode::Circular => include((length - left).max(0)..length),
        }
    }
    if right > 0 {
        match extension.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) => {}
            PaddingMode::Reflect => include((length - 1 - right).max(0)..length),
            PaddingMode::Symmetric => include((length - right).max(0)..length),
            PaddingMode::Replicate => include(length - 1..length),
            PaddingMode::Circular => include(0..right.min(length)),
        }
    }
    if touched.is_empty() { 0..0 } else { touched }
}

fn touched_input(c: &Correlate, p: &Ranges) -> Range<i64> {
    let mut inside = 0..0;
    for phase in c.phases.iter().filter(|phase| phase.taps > 0 && phase.count > p.j.start) {
        let last_position = p.j.end.min(phase.count) - 1;
        let (a, b) = (i64::from(p.j.start), i64::from(last_position));
        let reach = i64::from(phase.taps - 1) * i64::from(c.tap_step);
        let first = i64::from(phase.in_first) + a * i64::from(c.in_step) + reach.min(0);
        let last = i64::from(phase.in_first) + b * i64::from(c.in_step) + reach.max(0);
        let range = touched(first, last, c.in_length, c.extension);
        if !range.is_empty() {
            inside = if inside.is_empty() { range } else { inside.start.min(range.start)..inside.end.max(range.end) };
        }
    }
    inside
}

fn output(c: &Correlate, p: &Ranges) -> ElementRange {
    let step = i64::from(c.out_step);
    let reached = c.phases.iter().filter(|phase| phase.count > p.j.start).map(|phase| {
        let (first, end) = (i64::from(phase.out_first), p.j.end.min(phase.count));
        first + i64::from(p.j.start) * step..first + i64::from(end - 1) * step + 1
    });
    let inside = reached.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
    rows_range(p, c.groups, c.rows, &p.r, c.out_length, inside)
}

fn weight(c: &Correlate, p: &Ranges) -> ElementRange {
    let start = c.weight_at(p.g.start, p.r.start, p.q.start);
    let end = c.weight_at(p.g.end - 1, p.r.end - 1, p.q.end - 1) + u64::from(c.kernel);
    ElementRange { start, length: end - start }
}

fn bias(c: &Correlate, p: &Ranges) -> ElementRange {
    if !c.bias {
        return ElementRange::EMPTY;
    }
    let at = |g: u32, r: u32| u64::from(g) * u64::from(c.rows) + u64::from(r);
    let start = at(p.g.start, p.r.start);
    ElementRange { start, length: at(p.g.end - 1, p.r.end - 1) + 1 - start }
}

fn narrow(c: &Contract, p: &Ranges) -> ElementRange {
    rows_range(p, c.groups, c.rows, &p.r, c.positions, i64::from(p.j.start)..i64::from(p.j.end))
}

fn touched_wide(c: &Contract, p: &Ranges) -> Range<i64> {
    let first = i64::from(c.first) + i64::from(p.j.start) * i64::from(c.stride);
    let last = i64::from(c.first)
        + i64::from(p.j.end - 1) * i64::from(c.stride)
        + i64::from(c.taps - 1) * i64::from(c.dilation);
    touched(first, last, c.wide_length, c.extension)
}

/// Cuts a tensor `[batch, channels, length]` along batch items, channels and positions into parts that each fit one binding: ranges
/// of one group whose rows are the channels.
pub(crate) fn rows(batch: u32, channels: u32, length: u32, max_range: u64) -> Result<Vec<(Ranges, ElementRange)>> {
    let whole = Ranges { n: 0..batch, g: 0..1, r: 0..channels, q: 0..1, j: 0..length };
    let mut done = Vec::new();
    let mut open = vec![whole];
    while let Some(ranges) = open.pop() {
        let range =
            rows_range(&ranges, 1, channels, &ranges.r, length, i64::from(ranges.j.start)..i64::from(ranges.j.end));
        if range.length.max(ranges.rows().into()) <= max_range {
            done.push((ranges, range));
            continue;
        }
        let halves = ranges.halves(&[Axis::N, Axis::R, Axis::J]);
        let [first, second] = halves.ok_or_else(|| indivisible(range.length, max_range))?;
        open.extend([second, first]);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The touched positions lie inside the row, never end before they begin, and include every sample that the extension repeats.
    #[test]
    fn touched_positions_are_positions() {
        let modes = [
            PaddingMode::Zeros,
            PaddingMode::Constant(1.0),
            PaddingMode::Reflect,
            PaddingMode::Symmetric,
            PaddingMode::Replicate,
            PaddingMode::Circular,
        ];
        for mode in modes {
            for length in 1..6 {
                for first in -12..12 {
                    for last in first..12 {
                        let (left, right) = ((-first).max(0), (last + 1 - i64::from(length)).max(0));
                        let extension = Extension::new(mode, length as usize, left as u64, right as u64);
                        let touched = touched(first, last, length, extension);
                        let inside = 0 <= touched.start && touched.end <= i64::from(length);
                        assert!(touched.start <= touched.end && inside, "{mode:?} {first}..={last} of {length}");
                        let sources = (first..=last).filter_map(|p| extension.source(p, i64::from(length)));
                        let missing = sources.into_iter().find(|source| !touched.contains(source));
                        assert_eq!(missing, None, "{mode:?} {first}..={last} of {length}");
                    }
                }
            }
        }
    }
}
