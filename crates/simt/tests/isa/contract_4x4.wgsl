// contract.wgsl
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
// ---- shaders/lib/sample.wgsl
// Samples of the input, with padding beyond the ends of its rows.
// use: input, extension/*

/// The sample at a position of the row that starts at index `row`; 0 outside the bound range. A sample that a stored output needs is
/// either in the bound range or zero padding.
fn sample_inside(row: u32, position: i32) -> Sum {
    if (u32(position - params.input.touched_first) >= params.input.touched) {
        return Sum(0);
    }
    return load_input(row + u32(position));
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
// ---- shaders/lib/extension/zeros.wgsl
// Zero padding.

fn sample(row: u32, position: i32) -> Sum {
    return sample_inside(row, position);
}
// ---- shaders/lib/narrow.wgsl
// The binding of the narrow operand.
// use: stored, narrow/*

@group(0) @binding(2) var<storage, read> narrow: array<Stored>;

/// Index of the first row of a batch item and a group.
fn narrow_at(n: u32, group: u32) -> u32 {
    return params.skips.narrow + params.narrow.base + n * params.narrow.batch + group * params.narrow.group;
}
// ---- shaders/lib/narrow/plain.wgsl
// The narrow operand as stored.

fn load_narrow(at: u32) -> Sum {
    return loaded(narrow[at]);
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
// ---- shaders/contract.wgsl
// Direct contraction over positions (weight gradient): every invocation computes a tile of output rows x taps of one input row. The sum
// is over the positions of all batch items or of a split, in blocks.
//
// If samples are shifted, an invocation visits positions `spacing` apart. At the next position, a tap reads the sample that the
// neighbouring tap reads at the current position, so each sample is loaded once. The positions of an item form `spacing` sequences. A
// sequence is cut into stretches, and a split sums whole stretches.
// use: workgroup, contraction, sample, narrow, partials, split

// Output rows and taps of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_TAPS: u32 = 4u;
// 1: samples are shifted through the tile. 0: every position loads all its samples.
const SHIFTED: u32 = 1u;
// 1: most positions read only padding, and each tile of taps visits only the positions that read a sample of the input.
const CLAMPED: u32 = 0u;

struct Tiles {
    row_tiles: u32,
    tap_tiles: u32,
    /// Workgroups along (group, depth, tile of taps).
    column_workgroups: u32,
    /// Distance between the positions of a stretch; also the number of sequences of an item.
    spacing: u32,
    /// Stretches of a sequence, and positions of a stretch.
    stretches: u32,
    stretch: u32,
}

@compute @workgroup_size(LANES)
fn contract(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let column = (rest % params.tiles.column_workgroups) * LANES + lane;
    rest = rest / params.tiles.column_workgroups;
    let row_first = (rest % params.tiles.row_tiles) * TILE_ROWS;
    let split = rest / params.tiles.row_tiles;
    let tap_first = (column % params.tiles.tap_tiles) * TILE_TAPS;
    let q = column / params.tiles.tap_tiles % params.problem.depth;
    let group = column / params.tiles.tap_tiles / params.problem.depth;
    if (group >= params.problem.groups) {
        return;
    }

    // Rows beyond the end repeat the last row. Taps beyond the end are computed like the others. Neither is stored.
    var narrow_rows: array<u32, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        narrow_rows[r] = narrow_at(0u, group) + min(row_first + r, params.problem.rows - 1u) * params.narrow.length;
    }
    let in_first = input_at(0u, group) + q * params.input.length;
    let dilation = params.problem.dilation;
    let stride = params.problem.stride;
    let spacing = params.tiles.spacing;
    let tap_position = params.problem.in_first + i32(tap_first * dilation);
    let out_first = partials_at(split, group) + q * params.problem.taps;
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<Sum, TILE_TAPS>, TILE_ROWS>();
        for (var i = block; i < end; i++) {
            let sequence = i / params.tiles.stretches;
            let n = sequence / spacing;
            // The positions of the stretch start at `first` and are `spacing` apart.
            var first = sequence % spacing + (i % params.tiles.stretches) * params.tiles.stretch * spacing;
            var last = min(first + params.tiles.stretch * spacing, params.problem.positions);
            if (CLAMPED == 1u) {
                let at_zero = tap_position + i32(params.problem.position_first * stride);
                let reach = min(TILE_TAPS - 1u, params.problem.taps - 1u - tap_first) * dilation;
                let before = max(-(at_zero + i32(reach)), 0);
                let after = max(i32(params.input.length) - at_zero, 0);
                let begin = (u32(before) + stride - 1u) / stride;
                last = min(last, (u32(after) + stride - 1u) / stride);
                if (begin > first) {
                    first += (begin - first + spacing - 1u) / spacing * spacing;
                }
            }
            let in_row = in_first + n * params.input.batch;
            let narrow_item = n * params.narrow.batch + params.problem.position_first;
            var samples: array<Sum, TILE_TAPS>;
            if (SHIFTED == 1u) {
                let in_position = tap_position + i32((params.problem.position_first + first) * stride);
                for (var t = 1u; t < TILE_TAPS; t++) {
                    samples[t] = sample(in_row, in_position + i32((t - 1u) * dilation));
                }
            }
            for (var position = first; position < last; position += spacing) {
                let in_position = tap_position + i32((params.problem.position_first + position) * stride);
                if (SHIFTED == 1u) {
                    for (var t = 1u; t < TILE_TAPS; t++) {
                        samples[t - 1u] = samples[t];
                    }
                    samples[TILE_TAPS - 1u] = sample(in_row, in_position + i32((TILE_TAPS - 1u) * dilation));
                } else {
                    for (var t = 0u; t < TILE_TAPS; t++) {
                        samples[t] = sample(in_row, in_position + i32(t * dilation));
                    }
                }
                for (var r = 0u; r < TILE_ROWS; r++) {
                    let g = load_narrow(narrow_rows[r] + narrow_item + position);
                    for (var t = 0u; t < TILE_TAPS; t++) {
                        sums[r][t] = fma(g, samples[t], sums[r][t]);
                    }
                }
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < TILE_ROWS; r++) {
            for (var t = 0u; t < TILE_TAPS; t++) {
                if (row_first + r < params.problem.rows && tap_first + t < params.problem.taps) {
                    store_partial(out_first + (row_first + r) * params.partials.row + tap_first + t, sums[r][t], first);
                }
            }
        }
    }
}
