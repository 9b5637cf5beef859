// contract_tiled.wgsl
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
// ---- shaders/contract_tiled.wgsl
// Contraction over positions (weight gradient) as an implicit matrix product: narrow rows times (depth, tap) columns. A workgroup
// stages both sides of a few positions in workgroup memory, and every invocation keeps a tile of sums in registers.
// use: workgroup, contraction, sample, narrow, partials, split

// Invocations along columns and along output rows.
const LANES_COLUMNS: u32 = 16u;
const LANES_ROWS: u32 = 4u;
// Output rows and columns of one invocation, in whole vectors of four.
const TILE_ROWS: u32 = 4u;
const TILE_COLUMNS: u32 = 4u;
// Positions that are staged at once, and positions of an unrolled step.
const STAGE: u32 = 16u;
const UNROLLED: u32 = 4u;

const INVOCATIONS: u32 = LANES_COLUMNS * LANES_ROWS;
const ROWS: u32 = LANES_ROWS * TILE_ROWS;
const COLUMNS: u32 = LANES_COLUMNS * TILE_COLUMNS;
// Invocations that stage the same position.
const UNITS: u32 = INVOCATIONS / STAGE;
// Vectors of a staged position, plus one that keeps neighbouring positions in different banks.
const ROW_VECTORS: u32 = ROWS / 4u + 1u;
const COLUMN_VECTORS: u32 = COLUMNS / 4u + 1u;

struct Tiles {
    row_tiles: u32,
    column_tiles: u32,
}

var<workgroup> staged_rows: array<vec4<Sum>, STAGE * ROW_VECTORS>;
var<workgroup> staged_columns: array<vec4<Sum>, STAGE * COLUMN_VECTORS>;
// For each column: index of its input row in batch item 0, and the input position of its tap at position 0.
var<workgroup> column_rows: array<u32, COLUMNS>;
var<workgroup> column_positions: array<i32, COLUMNS>;

@compute @workgroup_size(LANES_COLUMNS, LANES_ROWS)
fn contract_tiled(
    workgroup: Workgroup,
    @builtin(local_invocation_index) lane: u32,
    @builtin(local_invocation_id) place: vec3<u32>,
) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let column_first = (rest % params.tiles.column_tiles) * COLUMNS;
    rest = rest / params.tiles.column_tiles;
    let row_first = (rest % params.tiles.row_tiles) * ROWS;
    rest = rest / params.tiles.row_tiles;
    let group = rest % params.problem.groups;
    let split = rest / params.problem.groups;
    let column_end = params.problem.depth * params.problem.taps;

    // Rows and columns beyond the end repeat the last row or column and are not stored.
    for (var c = lane; c < COLUMNS; c += INVOCATIONS) {
        let column = min(column_first + c, column_end - 1u);
        column_rows[c] = input_at(0u, group) + column / params.problem.taps * params.input.length;
        column_positions[c] = params.problem.in_first + i32(column % params.problem.taps * params.problem.dilation);
    }
    let unit_position = lane % STAGE;
    let unit = lane / STAGE;
    // The positions of all batch items form one sequence. A split sums stages of it, in blocks.
    let out_first = partials_at(split, group);
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<Sum, TILE_COLUMNS>, TILE_ROWS>();
        for (var stage = block; stage < end; stage++) {
            let sequence = stage * STAGE + unit_position;
            let n = sequence / params.problem.positions;
            let position = params.problem.position_first + sequence % params.problem.positions;
            workgroupBarrier();
            for (var v = unit; v < ROWS / 4u; v += UNITS) {
                var values = vec4<Sum>();
                if (n < params.problem.batch) {
                    for (var e = 0u; e < 4u; e++) {
                        let row = min(row_first + 4u * v + e, params.problem.rows - 1u);
                        values[e] = load_narrow(narrow_at(n, group) + row * params.narrow.length + position);
                    }
                }
                staged_rows[unit_position * ROW_VECTORS + v] = values;
            }
            for (var v = unit; v < COLUMNS / 4u; v += UNITS) {
                var values = vec4<Sum>();
                if (n < params.problem.batch) {
                    for (var e = 0u; e < 4u; e++) {
                        let c = 4u * v + e;
                        let in_position = column_positions[c] + i32(position * params.problem.stride);
                        values[e] = sample(column_rows[c] + n * params.input.batch, in_position);
                    }
                }
                staged_columns[unit_position * COLUMN_VECTORS + v] = values;
            }
            workgroupBarrier();
            var column_at = place.x;
            var row_at = place.y;
            for (var j = 0u; j < STAGE; j += UNROLLED) {
                for (var u = 0u; u < UNROLLED; u++) {
                    var values: array<vec4<Sum>, TILE_COLUMNS / 4u>;
                    for (var a = 0u; a < TILE_COLUMNS / 4u; a++) {
                        values[a] = staged_columns[column_at + u * COLUMN_VECTORS + a * LANES_COLUMNS];
                    }
                    for (var a = 0u; a < TILE_ROWS / 4u; a++) {
                        let factors = staged_rows[row_at + u * ROW_VECTORS + a * LANES_ROWS];
                        for (var c = 0u; c < TILE_COLUMNS; c++) {
                            let value = values[c / 4u][c % 4u];
                            sums[4u * a][c] = fma(factors.x, value, sums[4u * a][c]);
                            sums[4u * a + 1u][c] = fma(factors.y, value, sums[4u * a + 1u][c]);
                            sums[4u * a + 2u][c] = fma(factors.z, value, sums[4u * a + 2u][c]);
                            sums[4u * a + 3u][c] = fma(factors.w, value, sums[4u * a + 3u][c]);
                        }
                    }
                }
                column_at += UNROLLED * COLUMN_VECTORS;
                row_at += UNROLLED * ROW_VECTORS;
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < TILE_ROWS; r++) {
            let row = row_first + ((r / 4u) * LANES_ROWS + place.y) * 4u + r % 4u;
            for (var c = 0u; c < TILE_COLUMNS; c++) {
                let column = column_first + ((c / 4u) * LANES_COLUMNS + place.x) * 4u + c % 4u;
                if (row < params.problem.rows && column < column_end) {
                    store_partial(out_first + row * params.partials.row + column, sums[r][c], first);
                }
            }
        }
    }
}
