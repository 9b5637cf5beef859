// The parameters of a slice of a correlation:
// out[n, group, row, out_first + j * out.step] = bias[group, row]
//     + sum over q < depth, t < taps of w[group, row, q, tap_first + t * tap] * in[n, group, q, in_first + j * in_step + t * tap_step]
// for the positions j of every phase.
// use: operands, phases/*

/// The sizes of the slice.
struct Problem {
    /// Workgroups that have work; the dispatch may have more.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Output rows of a group.
    rows: u32,
    /// Input rows that an output row sums over.
    depth: u32,
    phases: u32,
    /// The positions of every phase that the slice computes.
    position_first: u32,
    position_end: u32,
}

/// The weight as the caller stores it.
struct Weight {
    /// Index of the first element of the slice, modulo 2^32 as the input's.
    base: u32,
    /// Elements from one group, one output row, one input row and one tap to the next.
    group: u32,
    row: u32,
    depth: u32,
    tap: u32,
}

/// The output, a tensor [batch, groups, rows, length].
struct Output {
    /// Index of the first element of the slice, modulo 2^32 as the input's.
    base: u32,
    /// Elements from one batch item, one group, one row, and one position of a phase to the next.
    batch: u32,
    group: u32,
    row: u32,
    step: u32,
    /// Index of the first bias of the slice, and biases of a group.
    bias_base: u32,
    bias_group: u32,
    /// Slope of the leaky ReLU.
    slope: f32,
}

/// Outputs that are reached by the same taps: every `output.step`-th of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position at which the first output meets the first tap.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one: where its packed weights start.
    taps_before: u32,
}

/// The taps in ascending order of the positions that they read, and positions that share samples. docs/kernels.md has the theory.
struct Walk {
    /// Input positions from one output position to the next, and from one tap to the next.
    in_step: i32,
    tap_step: i32,
    /// 1: ascending taps are descending taps of the kernel. Then the last tap of the kernel is `tap_back` input positions a tap
    /// before the first; otherwise `tap_back` is 0.
    reversed: u32,
    tap_back: i32,
    /// Output positions `spacing` apart share samples, at taps `tap_stride` apart.
    spacing: u32,
    tap_stride: u32,
}

/// `Tiles` is the kernel's own.
struct Params {
    @align(16) skips: Skips,
    @align(16) problem: Problem,
    @align(16) input: Input,
    @align(16) weight: Weight,
    @align(16) output: Output,
    @align(16) phase: Phase,
    @align(16) walk: Walk,
    @align(16) tiles: Tiles,
}

@group(0) @binding(0) var<uniform> params: Params;
