// The parameters of a slice of a correlation:
// out[n, group, row, out_first + j * out.step] = bias[group, row]
//     + sum over q < depth, t < taps of w[group, row, q, tap_first + t * tap] * in[n, group, q, in_first + j * in_step + t * tap_step]
// for the positions j of every phase.
// use: operands, phases/*

/// The sizes of the slice.
struct Problem {
    /// Workgroups that have work. The dispatch may have more.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Output rows of a group.
    rows: u32,
    /// Input rows that an output row sums over.
    depth: u32,
    phases: u32,
    /// Range of positions of every phase that the slice computes.
    position_first: u32,
    position_end: u32,
}

/// The weight in the caller's layout.
struct Weight {
    /// Index of the first element of the slice, modulo 2^32 like the input's.
    base: u32,
    /// Elements from one group, one output row, one input row and one tap to the next.
    group: u32,
    row: u32,
    depth: u32,
    tap: u32,
}

/// The output, a tensor [batch, groups, rows, length].
struct Output {
    /// Index of the first element of the slice, modulo 2^32 like the input's.
    base: u32,
    /// Elements from one batch item, one group, one row, and one position of a phase to the next.
    batch: u32,
    group: u32,
    row: u32,
    step: u32,
    /// Index of the first bias of the slice, and biases of a group.
    bias_base: u32,
    bias_group: u32,
    /// Slope of the leaky ReLU of the epilogue.
    slope: f32,
}

/// Outputs that use the same taps: every `output.step`-th position of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position that the first output reads at the first tap.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one. It determines where the packed weights of the phase start.
    taps_before: u32,
}

/// Visits taps in ascending order of input position, and describes the positions that share samples (see docs/kernels.md).
struct Walk {
    /// Input positions from one output position to the next, and from one tap to the next.
    in_step: i32,
    tap_step: i32,
    /// 1: the taps of the kernel are visited from last to first. `tap_back` is then the (negative) input offset from one tap of a
    /// phase to the next; otherwise it is 0.
    reversed: u32,
    tap_back: i32,
    /// Output positions `spacing` apart share samples, at taps `tap_stride` apart.
    spacing: u32,
    tap_stride: u32,
}

/// The kernel defines `Tiles`.
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
