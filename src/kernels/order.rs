//! The order in which the terms of an element are added.

use super::slices::Ranges;
use std::fmt;
use std::ops::Range;

/// The order in which a plan adds up the terms of each element of its output.
///
/// Two plans of equal order give equal bits for elements with equal terms, apart from the sign of a zero. Their kernels, tiles, batches
/// and lengths may differ. Every multiply-add is one `fma`, and every operation after it is an `fma` or a single operation, so a driver
/// has nothing to contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Whether the sum starts from the bias and each part continues the sum of the parts before it. Otherwise each part is summed from
    /// zero and then added to the bias and the parts before it.
    bias_first: bool,
    parts: Vec<Part>,
}

/// A part of a sum: some of its terms, in nested loops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    terms: Terms,
    /// The loops, outermost first.
    nesting: Vec<Level>,
}

/// The terms of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Terms {
    /// Input rows and taps of a correlation.
    Taps { depth: Range<u32>, taps: Range<u32> },
    /// Batch items and positions of a weight or bias gradient.
    Positions { batch: Range<u32>, positions: Range<u32> },
}

/// A loop over terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Blocks of input rows.
    DepthBlocks(u32),
    /// Blocks of sequences: pairs of an input row and a residue of taps.
    SequenceBlocks(u32),
    /// Blocks of taps.
    TapBlocks(u32),
    Depth,
    /// Residues of the tap index modulo the tap stride.
    Residues(u32),
    /// Residues of the index of a texel of four taps modulo the tap stride.
    TexelResidues(u32),
    Taps,
    TapsDescending,
    /// Splits: their number, and the terms or stretches of each. Each split is summed from zero; their sums are added as a tree.
    Splits(u32, u32),
    /// Blocks of terms, or of stretches, within a split. Each block is summed from zero and added to the blocks before it.
    Blocks(u32),
    /// Stretches of positions. The positions of a stretch belong to one batch item.
    Stretches(u32),
    /// Batch items; in each, the sequences of positions that are this far apart.
    Positions(u32),
    /// Lanes that take terms in turn. Their sums are added pairwise.
    Lanes(u32),
}

impl Part {
    /// Omits blocks and tap loops of a single iteration, and blocks that do not change the order, so that parts of equal order compare
    /// equal.
    pub(crate) fn new(depth: Range<u32>, taps: Range<u32>, nesting: impl IntoIterator<Item = Level>) -> Self {
        let (rows, count) = (depth.end - depth.start, taps.end - taps.start);
        let there = |level: &Level| match *level {
            Level::TapBlocks(block) => block < count,
            Level::DepthBlocks(block) => block < rows,
            Level::Residues(stride) => stride > 1 && count > 1,
            Level::Taps | Level::TapsDescending => count > 1,
            _ => true,
        };
        let nesting: Vec<Level> = nesting.into_iter().filter(there).collect();
        // Blocks do not change the order if the next loop is over the same terms.
        let changes = |pair: &[Level]| {
            let blocks = matches!(pair, [Level::DepthBlocks(_), Level::Depth] | [Level::TapBlocks(_), Level::Taps]);
            let sequences = matches!(pair, [Level::SequenceBlocks(_), next] if !matches!(next, Level::TapBlocks(_)));
            !blocks && !sequences
        };
        let kept = (0..nesting.len()).filter(|&i| nesting.get(i..i + 2).is_none_or(changes));
        Part { nesting: kept.map(|i| nesting[i]).collect(), terms: Terms::Taps { depth, taps } }
    }

    /// A sum over batch items and positions. Each of `splits` has `each` terms, or stretches, of which one dispatch adds `at_once`.
    pub(crate) fn over_positions(
        ranges: &Ranges,
        [splits, each, at_once]: [u32; 3],
        stretch: Option<u32>,
        inner: impl IntoIterator<Item = Level>,
    ) -> Self {
        let mut nesting = Vec::new();
        if splits > 1 {
            nesting.push(Level::Splits(splits, each));
        }
        if at_once < each {
            nesting.push(Level::Blocks(at_once));
        }
        if let Some(positions) = stretch.filter(|_| !nesting.is_empty()) {
            nesting.push(Level::Stretches(positions));
        }
        nesting.extend(inner);
        Part { nesting, terms: Terms::Positions { batch: ranges.n.clone(), positions: ranges.j.clone() } }
    }

    fn count(&self) -> u64 {
        let length = |range: &Range<u32>| u64::from(range.end - range.start);
        match &self.terms {
            Terms::Taps { depth, taps } => length(depth) * length(taps),
            Terms::Positions { batch, positions } => length(batch) * length(positions),
        }
    }

    /// The input rows and the taps, if the input rows are the outermost loop. A part with the following rows then continues that loop.
    fn outer_rows(&self) -> Option<(&Range<u32>, &Range<u32>)> {
        match &self.terms {
            Terms::Taps { depth, taps } if self.nesting.first() == Some(&Level::Depth) => Some((depth, taps)),
            _ => None,
        }
    }
}

impl Order {
    pub(crate) fn new(bias_first: bool) -> Self {
        Order { bias_first, parts: Vec::new() }
    }

    /// Adds a part, unless it is already known: slices of other batch items, rows and positions add the same parts to other elements.
    pub(crate) fn add(&mut self, part: Part) {
        let known = |known: &Part| {
            let inside = match (known.outer_rows(), part.outer_rows()) {
                (Some((rows, taps)), Some((more, same))) if self.bias_first => {
                    taps == same && rows.start <= more.start && more.end <= rows.end && known.nesting == part.nesting
                }
                _ => false,
            };
            inside || *known == part
        };
        if self.parts.iter().any(known) {
            return;
        }
        if let Some(last) = self.parts.last_mut()
            && let (Some((rows, taps)), Some((more, same))) = (last.outer_rows(), part.outer_rows())
            && self.bias_first
            && last.nesting == part.nesting
            && taps == same
            && rows.end == more.start
        {
            last.terms = Terms::Taps { depth: rows.start..more.end, taps: same.clone() };
            return;
        }
        self.parts.push(part);
    }

    /// Whether the parts have `terms` terms in total. Otherwise elements differ in their parts.
    pub(crate) fn covers(&self, terms: u64) -> bool {
        self.parts.iter().map(Part::count).sum::<u64>() == terms
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::DepthBlocks(rows) => write!(f, "blocks of {rows} input channels"),
            Level::SequenceBlocks(count) => write!(f, "blocks of {count} (input channel, residue) pairs"),
            Level::TapBlocks(taps) => write!(f, "blocks of {taps} taps"),
            Level::Depth => write!(f, "input channels"),
            Level::Residues(stride) => write!(f, "taps modulo {stride}"),
            Level::TexelResidues(stride) => write!(f, "texels of 4 taps modulo {stride}"),
            Level::Taps => write!(f, "taps"),
            Level::TapsDescending => write!(f, "taps from the last"),
            Level::Splits(count, terms) => write!(f, "{count} splits of {terms}"),
            Level::Blocks(terms) => write!(f, "blocks of {terms}"),
            Level::Stretches(positions) => write!(f, "stretches of {positions} positions"),
            Level::Positions(spacing) => write!(f, "batch items and positions, {spacing} apart"),
            Level::Lanes(lanes) => write!(f, "{lanes} lanes pairwise"),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bias_first {
            write!(f, "from the bias on, ")?;
        }
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                write!(f, "; then ")?;
            }
            match &part.terms {
                _ if self.parts.len() == 1 => {}
                Terms::Taps { depth, taps } => write!(f, "input channels {depth:?} and taps {taps:?}: ")?,
                Terms::Positions { batch, positions } => {
                    write!(f, "batch items {batch:?} and positions {positions:?}: ")?;
                }
            }
            match part.nesting.as_slice() {
                [] => write!(f, "a single term")?,
                nesting => {
                    let stretches = nesting.iter().any(|level| matches!(level, Level::Stretches(_)));
                    let unit = if stretches { " stretches" } else { "" };
                    let name = |level: &Level| match level {
                        Level::Splits(..) | Level::Blocks(_) => format!("{level}{unit}"),
                        other => other.to_string(),
                    };
                    let names: Vec<String> = nesting.iter().map(name).collect();
                    write!(f, "{}", names.join(" > "))?;
                }
            }
        }
        Ok(())
    }
}
