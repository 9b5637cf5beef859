// gemm.wgsl
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
// ---- shaders/lib/correlation.wgsl
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
// ---- shaders/lib/phases/one.wgsl
// A problem with one phase: the phase is a parameter.

fn phase_at(index: u32) -> Phase {
    return params.phase;
}
// ---- shaders/lib/output.wgsl
// The epilogue: operations on a sum before it is stored, and the store.
// use: output_tensor, bias/*, residual/*, pre_activation/*, finish/*

/// Index of the first output of a phase, in the first row of a batch item and a group.
fn output_at(n: u32, group: u32, phase: Phase) -> u32 {
    return params.skips.output + params.output.base + n * params.output.batch + group * params.output.group + phase.out_first;
}

/// The start value of a sum: the bias, or the sum over earlier terms.
fn start_of_sum(at: u32, group: u32, row: u32) -> Sum {
    if (ACCUMULATE == 1u) {
        return loaded(output[at]);
    }
    return bias_of(group, row);
}

/// Stores a sum at index `at`, after the residual and the activation if the sum is complete.
fn store_output(at: u32, sum: Sum) {
    let beside = at - params.skips.output;
    let z = residual_before(beside, sum);
    store_pre_activation(beside, z);
    output[at] = stored(finished(beside, z));
}
// ---- shaders/lib/output_tensor.wgsl
// The tensor that a dispatch writes.
// use: stored

// 1: the output holds sums over earlier terms, and this dispatch adds to them.
const ACCUMULATE: u32 = 0u;

@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
// ---- shaders/lib/stored.wgsl
// Tensors hold elements of the type Stored. Shaders compute with the type Sum.

fn loaded(value: Stored) -> Sum {
    return Sum(value);
}

fn stored(value: Sum) -> Stored {
    return Stored(value);
}
// ---- shaders/lib/bias/added.wgsl
// A bias for each output row.

@group(0) @binding(3) var<storage, read> bias: array<Stored>;

fn bias_of(group: u32, row: u32) -> Sum {
    return loaded(bias[params.skips.bias + params.output.bias_base + group * params.output.bias_group + row]);
}
// ---- shaders/lib/residual/none.wgsl
// No residual.

fn residual_before(at: u32, z: Sum) -> Sum {
    return z;
}

fn finished(at: u32, z: Sum) -> Sum {
    return finish(z);
}
// ---- shaders/lib/pre_activation/none.wgsl
// The pre-activation is not stored.

fn store_pre_activation(at: u32, z: Sum) {
}
// ---- shaders/lib/finish/none.wgsl
// The output is the complete sum, without an activation.

fn finish(z: Sum) -> Sum {
    return z;
}

/// The sum plus a residual.
fn finish_onto(residual: Sum, z: Sum) -> Sum {
    return z + residual;
}
// ---- shaders/lib/columns.wgsl
// Tiles of columns in the workspace: for each (group, phase) pair, tiles along the sequence of positions of all batch items.

// Positions of a tile.
const POSITIONS: u32 = 64u;

struct Tiles {
    /// First (group, phase) pair in the workspace.
    pair_first: u32,
    /// First tile of each pair in the workspace, tiles of each pair in the workspace, and rows of a tile.
    column_tile_first: u32,
    column_tiles: u32,
    depth: u32,
    /// First position and number of positions of every batch item.
    position_first: u32,
    positions: u32,
    /// Workgroups along the depth of a tile of columns, or along output rows.
    row_tiles: u32,
    /// Input positions from one output position to the next, and from one tap to the next.
    in_step: i32,
    tap_step: i32,
    /// Workgroups along the (depth, tap) pairs of a weight gradient.
    pair_tiles: u32,
}

struct Column {
    n: u32,
    position: u32,
}

/// Batch item and position of a column of a tile, where `tile` counts the tiles of a pair in the workspace.
fn column_at(tile: u32, column: u32) -> Column {
    let sequence = (params.tiles.column_tile_first + tile) * POSITIONS + column;
    return Column(sequence / params.tiles.positions, params.tiles.position_first + sequence % params.tiles.positions);
}
// ---- shaders/lib/columns_read.wgsl
// The columns that a matrix product reads.
// use: stored

@group(0) @binding(1) var<storage, read> columns: array<Stored>;
// ---- shaders/gemm.wgsl
// Matrix product of packed weights and tiles of columns, stored to the output positions of each phase.
//
// A workgroup of SIDE x SIDE invocations computes SIDE * TILE_ROWS output rows of one tile of columns. It stages DEPTH rows of the tile at
// a time in workgroup memory.
// use: workgroup, correlation, output, columns, columns_read

// Invocations along rows and along positions.
const SIDE: u32 = 8u;
// Output rows of one invocation.
const TILE_ROWS: u32 = 4u;
// Rows of a tile that are staged at once. The depth of a tile is a multiple of this number.
const DEPTH: u32 = 16u;
const TILE_POSITIONS: u32 = POSITIONS / SIDE;
const ROWS: u32 = TILE_ROWS * SIDE;

// Packed weights: [rows, depth, taps] for each phase and group.
@group(0) @binding(2) var<storage, read> packed: array<Stored>;

var<workgroup> staged_weights: array<array<Sum, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Sum, POSITIONS>, DEPTH>;

@compute @workgroup_size(SIDE, SIDE)
fn gemm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32, @builtin(local_invocation_id) place: vec3<u32>) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let tile = index / params.tiles.row_tiles;
    let row_first = (index % params.tiles.row_tiles) * ROWS;
    let pair = params.tiles.pair_first + tile / params.tiles.column_tiles;
    let phase = phase_at(pair % params.problem.phases);
    let group = pair / params.problem.phases;
    let depth = params.problem.depth * phase.taps;
    let w_first = (params.problem.groups * phase.taps_before + group * phase.taps) * params.problem.rows * params.problem.depth;
    let columns_first = tile * params.tiles.depth * POSITIONS;

    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    for (var first = 0u; first < depth; first += DEPTH) {
        for (var i = lane; i < DEPTH * ROWS; i += SIDE * SIDE) {
            let row = row_first + i / DEPTH;
            let d = first + i % DEPTH;
            var value = Sum(0);
            if (row < params.problem.rows && d < depth) {
                value = loaded(packed[w_first + row * depth + d]);
            }
            staged_weights[i % DEPTH][i / DEPTH] = value;
        }
        for (var d = 0u; d < DEPTH; d++) {
            staged_columns[d][lane] = loaded(columns[columns_first + (first + d) * POSITIONS + lane]);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            var values: array<Sum, TILE_POSITIONS>;
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                values[p] = staged_columns[d][p * SIDE + place.x];
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = staged_weights[d][place.y * TILE_ROWS + r];
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, values[p], sums[r][p]);
                }
            }
        }
        workgroupBarrier();
    }

    for (var p = 0u; p < TILE_POSITIONS; p++) {
        let column = column_at(tile % params.tiles.column_tiles, p * SIDE + place.x);
        if (column.n < params.problem.batch && column.position < phase.count) {
            let out_first = output_at(column.n, group, phase) + column.position * params.output.step;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let row = row_first + place.y * TILE_ROWS + r;
                if (row < params.problem.rows) {
                    let out = out_first + row * params.output.row;
                    store_output(out, sums[r][p] + start_of_sum(out, group, row));
                }
            }
        }
    }
}
