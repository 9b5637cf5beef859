// The parameters of a slice of a contraction over positions. A bias gradient is one without taps and without a narrow operand; a weight
// gradient is
// dw[group, row, q, t] = sum over n, j of narrow[n, group, row, j] * in[n, group, q, in_first + j * stride + t * dilation].
// use: operands

/// The sizes of the slice.
struct Contraction {
    /// Workgroups that have work; the dispatch may have more.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Rows of a group of the narrow operand, rows of a group of the input, and taps: the weight gradient is [groups, rows, depth,
    /// taps].
    rows: u32,
    depth: u32,
    taps: u32,
    /// The positions that the slice sums over.
    position_first: u32,
    positions: u32,
    /// Input position at which the first position meets the first tap.
    in_first: i32,
    stride: u32,
    dilation: u32,
}

/// The operand with one element for each position: a tensor [batch, groups, rows, length].
struct Narrow {
    /// Index of the first element of the slice, modulo 2^32 as the input's.
    base: u32,
    /// Elements from one batch item to the next, from one group to the next, and of a row.
    batch: u32,
    group: u32,
    length: u32,
    /// Slope of the leaky ReLU that the gradient goes back through.
    slope: f32,
}

/// Where the sums are stored: partial sums in the workspace where the sum is split, otherwise the weight gradient itself.
struct Partials {
    /// Elements from one split, one group and one row to the next.
    split: u32,
    group: u32,
    row: u32,
}

/// A long sum is split: each split is summed separately, and the splits are added up in a fixed order.
struct Split {
    /// Terms of the whole sum, and of a split.
    all: u32,
    each: u32,
    /// The terms of each split that this dispatch adds: a dispatch has a limit of iterations.
    first: u32,
    end: u32,
}

/// `Tiles` is the kernel's own.
struct Params {
    @align(16) skips: Skips,
    @align(16) problem: Contraction,
    @align(16) input: Input,
    @align(16) narrow: Narrow,
    @align(16) partials: Partials,
    @align(16) split: Split,
    @align(16) tiles: Tiles,
}

@group(0) @binding(0) var<uniform> params: Params;
