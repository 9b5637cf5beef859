// The parameters of a slice of a contraction over positions. A bias gradient has neither taps nor a narrow operand. A weight gradient is
// dw[group, row, q, t] = sum over n, j of narrow[n, group, row, j] * in[n, group, q, in_first + j * stride + t * dilation].
// use: operands

/// The sizes of the slice.
struct Contraction {
    /// Workgroups that have work. The dispatch may have more.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Rows of a group of the narrow operand, rows of a group of the input, and taps. The weight gradient has the shape [groups, rows,
    /// depth, taps].
    rows: u32,
    depth: u32,
    taps: u32,
    /// The positions that the slice sums over.
    position_first: u32,
    positions: u32,
    /// Input position of the first position at the first tap.
    in_first: i32,
    stride: u32,
    dilation: u32,
}

/// The operand with one element for each position: a tensor [batch, groups, rows, length].
struct Narrow {
    /// Index of the first element of the slice, modulo 2^32 like the input's.
    base: u32,
    /// Elements from one batch item to the next, from one group to the next, and of a row.
    batch: u32,
    group: u32,
    length: u32,
    /// Slope of the leaky ReLU through which the gradient is propagated back.
    slope: f32,
}

/// Strides of the stored sums: partial sums in the workspace if the sum is split, otherwise the gradient itself.
struct Partials {
    /// Elements from one split, one group and one row to the next.
    split: u32,
    group: u32,
    row: u32,
}

/// The splits of a long sum. Each split is summed separately, and the partial sums are added as a tree. The units of a sum are the terms,
/// or groups of terms: a kernel's stages, tiles or stretches.
struct Split {
    /// Units of the whole sum, and units of a split.
    all: u32,
    each: u32,
    /// Range of units of each split that this dispatch adds. The iterations of a dispatch are limited.
    first: u32,
    end: u32,
    /// Units of a block. The sum of a block starts from zero and is added to the sum of its split.
    block: u32,
}

/// The kernel defines `Tiles`.
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
