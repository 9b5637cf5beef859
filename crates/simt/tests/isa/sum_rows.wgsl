// sum_rows.wgsl
// ---- header
alias Stored = f32;
alias Sum = f32;
const LANES: u32 = 64u;
const TEXTURE_WIDTH: u32 = 4096u;
// ---- shaders/lib/workgroup.wgsl
// The index of the workgroup in a dispatch.
//
// WGSL allows a barrier only in uniform control flow, and treats a struct as uniform only if all its members are (WGSL, section
// "Uniformity analysis"). A kernel may return early depending on its workgroup and then have a barrier. So the place within the workgroup
// is a separate argument, not a member of this struct.

struct Workgroup {
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) all: vec3<u32>,
}

/// Index of the workgroup. A dispatch with more workgroups than one dimension holds has rows of workgroups.
fn index_of(workgroup: Workgroup) -> u32 {
    return workgroup.place.x + workgroup.place.y * workgroup.all.x;
}
// ---- shaders/lib/contraction.wgsl
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
// ---- shaders/lib/operands.wgsl
// Parameter structs that correlations and contractions share.

/// The elements of each binding before the range that the dispatch needs: a binding must start at a multiple of the device's alignment,
/// which may be before the range.
struct Skips {
    input: u32,
    narrow: u32,
    weight: u32,
    bias: u32,
    output: u32,
    residual: u32,
    pre_activation: u32,
    saved: u32,
}

/// The operand that is read at moving positions: a tensor [batch, groups, depth, length], of which a range of elements is bound.
struct Input {
    /// Index of the first element of the slice. It may lie before the bound range: offsets wrap modulo 2^32, and only the final sum is a
    /// valid index.
    base: u32,
    /// Elements from one batch item to the next, from one group to the next, and of a row.
    batch: u32,
    group: u32,
    length: u32,
    /// First position and number of positions of a row that lie in the bound range.
    touched_first: i32,
    touched: u32,
    /// The value of constant padding.
    fill: f32,
    /// Slope of the leaky ReLU through which the gradient is propagated back.
    slope: f32,
}
// ---- shaders/lib/input.wgsl
// The binding of the input.
// use: stored, input/*

@group(0) @binding(1) var<storage, read> input: array<Stored>;

/// Index of the first row of a batch item and a group.
fn input_at(n: u32, group: u32) -> u32 {
    return params.skips.input + params.input.base + n * params.input.batch + group * params.input.group;
}
// ---- shaders/lib/stored.wgsl
// Tensors hold elements of the type Stored. Shaders compute with the type Sum.

fn loaded(value: Stored) -> Sum {
    return Sum(value);
}

fn stored(value: Sum) -> Stored {
    return Stored(value);
}
// ---- shaders/lib/input/plain.wgsl
// The input as stored.

fn load_input(at: u32) -> Sum {
    return loaded(input[at]);
}

/// Adds an element to a sum.
fn add_input(at: u32, sum: Sum) -> Sum {
    return sum + load_input(at);
}
// ---- shaders/lib/partials.wgsl
// Stores the sums of a weight or bias gradient, block by block.
// use: output_tensor

/// Index of the first sum of a split and a group.
fn partials_at(split: u32, group: u32) -> u32 {
    return params.skips.output + split * params.partials.split + group * params.partials.group;
}

/// Adds the sum of a block to the sums of the blocks before it, unless it is the first block of its split in this dispatch.
fn store_partial(at: u32, sum: Sum, first: bool) {
    var total = sum;
    if (ACCUMULATE == 1u || !first) {
        total += loaded(output[at]);
    }
    output[at] = stored(total);
}
// ---- shaders/lib/output_tensor.wgsl
// The tensor that a dispatch writes.
// use: stored

// 1: the output holds sums over earlier terms, and this dispatch adds to them.
const ACCUMULATE: u32 = 0u;

@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
// ---- shaders/lib/split.wgsl
// The units of a split that a dispatch adds, and the blocks of them.

fn split_first(split: u32) -> u32 {
    return split * params.split.each + params.split.first;
}

fn split_end(split: u32) -> u32 {
    return min(split * params.split.each + params.split.end, params.split.all);
}

/// Whether a split has a block that starts here. An empty split has one empty block, whose sums of zero are stored.
fn has_block(block: u32, split: u32) -> bool {
    return block < split_end(split) || block == split_first(split);
}

fn block_end(block: u32, split: u32) -> u32 {
    return min(block + params.split.block, split_end(split));
}
// ---- shaders/lib/scalar_terms.wgsl
// Long sums of single numbers: `sum_terms` with one sum.
// use: sum_terms

alias Term = Sum;
// ---- shaders/lib/sum_terms.wgsl
// A long sum of one invocation, in blocks of terms and in blocks of blocks. Each block starts from zero, so that a small term is not added
// to a large sum.
//
// The chain of n terms, the most additions that a term passes through, is min(n, 128) + min(b, 128) + ceil(b / 128) with
// b = ceil(n / 128).
//
// The shader that uses this part defines `Term`, the type of the sum (Sum, or a vector of sums side by side), and `add_term(i, sum)`,
// which adds term i.

// Terms of a block, and blocks of a block of blocks.
const BLOCK: u32 = 128u;

/// The sum of the terms `first`, `first + step`, and so on before `end`.
fn sum_terms(first: u32, end: u32, step: u32) -> Term {
    let block = BLOCK * step;
    let outer = BLOCK * block;
    var total = Term();
    for (var i = first; i < end; i += outer) {
        let outer_end = min(i + outer, end);
        var blocks = Term();
        for (var j = i; j < outer_end; j += block) {
            let block_end = min(j + block, outer_end);
            var sum = Term();
            for (var k = j; k < block_end; k += step) {
                sum = add_term(k, sum);
            }
            blocks += sum;
        }
        total += blocks;
    }
    return total;
}
// ---- shaders/lib/sum_lanes.wgsl
// Sums one value of each invocation of a workgroup. LANES, the number of invocations, is a power of two.

// Number of separate sums, a power of two: the value of an invocation belongs to sum `lane % SUMS`.
const SUMS: u32 = 1u;

var<workgroup> lane_sums: array<Sum, LANES>;

/// The sum of `value` over the invocations of the same sum, added pairwise in a fixed order, for every invocation. All invocations of the
/// workgroup must call it: it has barriers.
fn sum_lanes(lane: u32, value: Sum) -> Sum {
    workgroupBarrier();
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half >= SUMS; half = half / 2u) {
        if (lane < half) {
            lane_sums[lane] += lane_sums[lane + half];
        }
        workgroupBarrier();
    }
    return lane_sums[lane % SUMS];
}
// ---- shaders/sum_rows.wgsl
// Sum of rows over batch and positions (bias gradient): a workgroup sums one split of one channel. Each invocation sums every LANES-th
// term, and the sums of the invocations are added pairwise.
// use: workgroup, contraction, input, partials, split, scalar_terms, sum_lanes

struct Tiles {
    channels: u32,
}

/// Index of the first element of the channel.
var<private> row: u32;

fn add_term(i: u32, sum: Sum) -> Sum {
    let at = row + i / params.problem.positions * params.input.batch + i % params.problem.positions;
    return add_input(at, sum);
}

@compute @workgroup_size(LANES)
fn sum_rows(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let channel = index % params.tiles.channels;
    let split = index / params.tiles.channels;
    row = input_at(0u, 0u) + channel * params.input.length + params.problem.position_first;
    let total = sum_lanes(lane, sum_terms(split_first(split) + lane, split_end(split), LANES));
    if (lane == 0u) {
        store_partial(partials_at(split, 0u) + channel, total, true);
    }
}
