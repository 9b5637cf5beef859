// tiled.wgsl
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
// ---- shaders/lib/packed.wgsl
// Packed weights: [depth, taps, rows of a tile] for each phase, group and tile of output rows.

@group(0) @binding(2) var<storage, read> packed: array<vec4<Stored>>;

/// Index of the first weight of a tile. The unit is the weights of a tile for one (input row, tap) pair.
fn packed_at(phase: Phase, group: u32, row_tile: u32, row_tiles: u32) -> u32 {
    return (params.problem.groups * phase.taps_before + group * phase.taps) * row_tiles * params.problem.depth
        + row_tile * params.problem.depth * phase.taps;
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
// ---- shaders/tiled.wgsl
// Tiled correlation: the implicit matrix product of a convolution. A workgroup stages the samples that its positions read, once for all
// staged taps, and the weights of its rows. Every invocation keeps a tile of rows x positions in registers.
// use: workgroup, correlation, sample, packed, output

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 16u;
const LANES_ROWS: u32 = 8u;
// Output rows, in whole vectors of four, and positions of one invocation.
const TILE_ROWS: u32 = 8u;
const TILE_POSITIONS: u32 = 8u;
// Input positions from one output position to the next, if small enough for a constant. 0: `tiles.in_step` is used.
const IN_STEP: u32 = 1u;
// Capacity of the staging memory: samples, and also weights, that are staged at once.
const STAGED: u32 = 2048u;

const INVOCATIONS: u32 = LANES_POSITIONS * LANES_ROWS;
const ROWS: u32 = LANES_ROWS * TILE_ROWS;
const POSITIONS: u32 = LANES_POSITIONS * TILE_POSITIONS;

struct Tiles {
    row_tiles: u32,
    position_tiles: u32,
    /// Input positions from one output position, and from one tap, to the next.
    in_step: u32,
    tap_step: i32,
    /// Input rows and taps that are staged at once, and samples of a staged row.
    depth: u32,
    taps: u32,
    samples: u32,
}

var<workgroup> staged_samples: array<Sum, STAGED>;
var<workgroup> staged_weights: array<vec4<Stored>, STAGED / 4u>;

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn tiled(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_tile = rest % params.tiles.row_tiles;
    rest = rest / params.tiles.row_tiles;
    let position_first = params.problem.position_first + (rest % params.tiles.position_tiles) * POSITIONS;
    rest = rest / params.tiles.position_tiles;
    let n = rest % params.problem.batch;
    rest = rest / params.problem.batch;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let position_end = min(phase.count, params.problem.position_end);

    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let in_step = select(IN_STEP, params.tiles.in_step, IN_STEP == 0u);
    let tap_step = u32(params.tiles.tap_step);
    let in_first = input_at(n, group);
    let in_position = phase.in_first + i32(position_first * in_step);
    let packed_tile = packed_at(phase, group, row_tile, params.tiles.row_tiles);
    for (var q_first = 0u; q_first < params.problem.depth; q_first += params.tiles.depth) {
        let depth = min(params.tiles.depth, params.problem.depth - q_first);
        for (var t_first = 0u; t_first < phase.taps; t_first += params.tiles.taps) {
            let taps = min(params.tiles.taps, phase.taps - t_first);
            let reach = i32(taps - 1u) * params.tiles.tap_step;
            let lowest = in_position + i32(t_first) * params.tiles.tap_step + min(reach, 0);
            let span = (POSITIONS - 1u) * in_step + u32(abs(reach)) + 1u;
            workgroupBarrier();
            for (var q = 0u; q < depth; q++) {
                let in_row = in_first + (q_first + q) * params.input.length;
                // The comparison is modulo 2^32, as in `sample`: a tile may end at a position that does not fit an i32.
                let reached = u32(lowest - params.input.touched_first);
                if (reached < params.input.touched && reached + span - 1u < params.input.touched) {
                    for (var i = lane; i < span; i += INVOCATIONS) {
                        staged_samples[q * params.tiles.samples + i] = load_input(in_row + u32(lowest) + i);
                    }
                } else {
                    for (var i = lane; i < span; i += INVOCATIONS) {
                        staged_samples[q * params.tiles.samples + i] = sample(in_row, lowest + i32(i));
                    }
                }
                let packed_row = (packed_tile + (q_first + q) * phase.taps + t_first) * (ROWS / 4u);
                for (var i = lane; i < taps * (ROWS / 4u); i += INVOCATIONS) {
                    staged_weights[q * taps * (ROWS / 4u) + i] = packed[packed_row + i];
                }
            }
            workgroupBarrier();
            var w_at = place.y;
            for (var q = 0u; q < depth; q++) {
                var sample_at = q * params.tiles.samples + u32(-min(reach, 0)) + place.x * in_step;
                for (var t = 0u; t < taps; t++) {
                    var samples: array<Sum, TILE_POSITIONS>;
                    for (var p = 0u; p < TILE_POSITIONS; p++) {
                        samples[p] = staged_samples[sample_at + p * (LANES_POSITIONS * in_step)];
                    }
                    for (var a = 0u; a < TILE_ROWS / 4u; a++) {
                        let w = vec4<Sum>(staged_weights[w_at + a * LANES_ROWS]);
                        for (var p = 0u; p < TILE_POSITIONS; p++) {
                            sums[4u * a][p] = fma(w.x, samples[p], sums[4u * a][p]);
                            sums[4u * a + 1u][p] = fma(w.y, samples[p], sums[4u * a + 1u][p]);
                            sums[4u * a + 2u][p] = fma(w.z, samples[p], sums[4u * a + 2u][p]);
                            sums[4u * a + 3u][p] = fma(w.w, samples[p], sums[4u * a + 3u][p]);
                        }
                    }
                    sample_at += tap_step;
                    w_at += ROWS / 4u;
                }
            }
        }
    }

    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row_tile * ROWS + ((r / 4u) * LANES_ROWS + place.y) * 4u + r % 4u;
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = position_first + place.x + p * LANES_POSITIONS;
            if (row < params.problem.rows && position < position_end) {
                let out = out_first + row * params.output.row + position * params.output.step;
                store_output(out, start_of_sum(out, group, row) + sums[r][p]);
            }
        }
    }
}
