// direct.wgsl
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
// ---- shaders/lib/weight.wgsl
// The binding of the weight.
// use: stored

@group(0) @binding(2) var<storage, read> weight: array<Stored>;

/// Index of the first tap of a phase, in an output row.
fn weight_at(group: u32, row: u32, phase: Phase) -> u32 {
    return params.skips.weight + params.weight.base + group * params.weight.group + row * params.weight.row + phase.tap_first;
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
// ---- shaders/lib/walk.wgsl
// Visits taps in ascending order of input position.

/// Index within the phase of the `tap`-th tap in ascending order.
fn phase_tap(tap: u32, phase: Phase) -> u32 {
    return select(tap, phase.taps - 1u - tap, params.walk.reversed == 1u);
}

/// Lowest input position that an output position reads.
fn lowest_position(position: u32, phase: Phase) -> i32 {
    return phase.in_first + i32(phase.taps - 1u) * params.walk.tap_back + i32(position) * params.walk.in_step;
}
// ---- shaders/direct.wgsl
// Direct correlation: every invocation keeps a tile of output rows x positions in registers and walks over depth and taps.
//
// Computes forward, input gradient and transposed convolution of any geometry, without workspace or workgroup memory. If samples are
// shifted, a position's sample at the next tap is its neighbour's sample at the current tap, so each sample is loaded once.
// use: workgroup, correlation, sample, weight, output, walk

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 8u;
const LANES_ROWS: u32 = 8u;
// Output rows and positions of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_POSITIONS: u32 = 1u;
// 1: samples are shifted through the tile. 0: every tap loads all its samples.
const SHIFTED: u32 = 0u;
// 1: many taps read only padding, and each tile visits only the taps that read a sample of the input.
const CLAMPED: u32 = 0u;

struct Tiles {
    row_tiles: u32,
    /// Tiles along the positions of one batch item, and workgroups along the positions of all batch items.
    position_tiles: u32,
    position_workgroups: u32,
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn direct(workgroup: Workgroup, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_first = ((rest % params.tiles.row_tiles) * LANES_ROWS + place.y) * TILE_ROWS;
    rest = rest / params.tiles.row_tiles;
    // The tiles of all batch items form one sequence, so that short rows fill the lanes.
    let tile = (rest % params.tiles.position_workgroups) * LANES_POSITIONS + place.x;
    rest = rest / params.tiles.position_workgroups;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let spacing = params.walk.spacing;
    let n = tile / params.tiles.position_tiles;
    let in_item = tile % params.tiles.position_tiles;
    let block = in_item / spacing;
    let position_first = params.problem.position_first + block * TILE_POSITIONS * spacing + in_item % spacing;
    let position_end = min(phase.count, params.problem.position_end);
    if (n >= params.problem.batch || position_first >= position_end || row_first >= params.problem.rows) {
        return;
    }

    // Rows beyond the end repeat the last row. Positions beyond the end are computed like the others. Neither is stored.
    var w_rows: array<u32, TILE_ROWS>;
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.problem.rows - 1u);
        w_rows[r] = weight_at(group, row, phase);
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = min(position_first + p * spacing, position_end - 1u);
            sums[r][p] = start_of_sum(out_first + row * params.output.row + position * params.output.step, group, row);
        }
    }

    let neighbour = i32(spacing) * params.walk.in_step;
    let in_position = lowest_position(position_first, phase);
    // The range of taps that are visited.
    var tap_begin = 0u;
    var tap_end = phase.taps;
    if (CLAMPED == 1u) {
        let before = -(in_position + i32(TILE_POSITIONS - 1u) * neighbour);
        let after = i32(params.input.length) - in_position;
        let tap_step = u32(params.walk.tap_step);
        tap_end = min((u32(max(after, 0)) + tap_step - 1u) / tap_step, phase.taps);
        tap_begin = min((u32(max(before, 0)) + tap_step - 1u) / tap_step, tap_end);
    }
    var in_row = input_at(n, group);
    var w_row = 0u;
    // One loop over depth and residues (taps if not shifted) instead of two nested ones: llvmpipe copies the sums for each nested loop.
    var q = select(0u, params.problem.depth, tap_begin == tap_end);
    var first = tap_begin;
    while (q < params.problem.depth) {
        var samples: array<Sum, TILE_POSITIONS>;
        var first_end = tap_end;
        var taps = 1u;
        if (SHIFTED == 1u) {
            first_end = min(tap_begin + params.walk.tap_stride, tap_end);
            taps = (tap_end - 1u - first) / params.walk.tap_stride + 1u;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                samples[p] = sample(in_row, in_position + i32(first) * params.walk.tap_step + i32(p - 1u) * neighbour);
            }
        }
        for (var k = 0u; k < taps; k++) {
            let tap = first + k * params.walk.tap_stride;
            let tap_position = in_position + i32(tap) * params.walk.tap_step;
            if (SHIFTED == 1u) {
                for (var p = 1u; p < TILE_POSITIONS; p++) {
                    samples[p - 1u] = samples[p];
                }
                samples[TILE_POSITIONS - 1u] = sample(in_row, tap_position + i32(TILE_POSITIONS - 1u) * neighbour);
            } else {
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    samples[p] = sample(in_row, tap_position + i32(p) * neighbour);
                }
            }
            let w_tap = w_row + phase_tap(tap, phase) * params.weight.tap;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = loaded(weight[w_rows[r] + w_tap]);
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, samples[p], sums[r][p]);
                }
            }
        }
        first++;
        if (first >= first_end) {
            first = tap_begin;
            q++;
            in_row += params.input.length;
            w_row += params.weight.depth;
        }
    }

    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let row = row_first + r;
            let position = position_first + p * spacing;
            if (row < params.problem.rows && position < position_end) {
                store_output(out_first + row * params.output.row + position * params.output.step, sums[r][p]);
            }
        }
    }
}
