// window.wgsl
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
// ---- shaders/window.wgsl
// Sliding-window correlation: samples are staged in workgroup memory and slide through registers past the taps.
//
// One invocation computes TILE_ROWS output rows x TILE_POSITIONS positions. Its positions share samples: the sample that position p
// reads at one tap is the sample that position p - 1 reads at the next tap. So a register window of TILE_POSITIONS samples moves along
// the staged samples, and each tap needs one new sample:
//
//     staged samples   s0  s1  s2  s3  s4  s5  s6  s7  s8 ...
//     tap 0            [p0  p1  p2  p3]                          TILE_POSITIONS = 4: sums[r][p] += w[r][tap] * window[p]
//     tap 1                [p0  p1  p2  p3]                      one load: s4
//     tap 2                    [p0  p1  p2  p3]                  one load: s5
//
// With UNROLLED = 3 the three windows are one array s0 .. s5 at fixed indices, and nothing moves within a step.
//
// Positions `spacing` apart share samples, at taps `tap_stride` apart (docs/kernels.md, "Samples that positions share"). The taps of
// one residue modulo `tap_stride` are visited together. The other residues follow, each with its own samples.
//
// A workgroup has LANES invocations and POSITIONS = LANES * TILE_POSITIONS positions, in `width` columns of adjacent positions. The
// places of a column are `spacing` apart. Invocation (along, across) computes TILE_POSITIONS places of column `across`, starting at place
// along * TILE_POSITIONS. Samples are staged place by place, with the columns of a place side by side:
//
//     place            0                    1                    2
//     column           0  1  ..  width-1    0  1  ..  width-1    0  1  ..  width-1    ...
//
// All invocations read a weight at the same address. The packed weights of a tile are [depth, taps, TILE_ROWS]. The functions
// `lowest_position` and `phase_tap` of lib/walk.wgsl put the taps in ascending order of input position.
// use: workgroup, correlation, sample, packed, output, walk

// Output rows (one, or a multiple of four) and positions of one invocation. An odd number of positions keeps neighbouring invocations in
// different banks of the workgroup memory.
const TILE_ROWS: u32 = 1u;
const TILE_POSITIONS: u32 = 15u;
// UNROLLED: taps of an unrolled step. WHOLE is 1 if every residue is exactly one step. REST is 1 if a remainder loop is needed.
const UNROLLED: u32 = 3u;
const WHOLE: u32 = 1u;
const REST: u32 = 0u;
// 1: positions that share samples are adjacent (`spacing` is 1), so that `width` is 1.
const ADJACENT: u32 = 1u;
// Samples that are staged at once: half of the workgroup memory that WebGPU guarantees, so that two workgroups fit in it.
const STAGED: u32 = 2048u;

const VECTORS: u32 = (TILE_ROWS + 3u) / 4u;
const POSITIONS: u32 = LANES * TILE_POSITIONS;
// Output rows whose sums pass through workgroup memory at once.
const STORED_ROWS: u32 = STAGED / POSITIONS;

struct Tiles {
    row_tiles: u32,
    /// Workgroups of a row of positions: along the spacing, and across it.
    along: u32,
    across: u32,
    /// Base-2 logarithm of `width`.
    width_shift: u32,
    /// Sequences of samples that are staged at once (one for each input row and residue), and the taps and samples of a staged sequence.
    sequences: u32,
    taps: u32,
    samples: u32,
}

var<workgroup> staged: array<Sum, STAGED>;

/// The packed weights of four output rows of a tile. If the tile has one row, all four components are its weight.
fn weights(at: u32) -> vec4<Sum> {
    if (TILE_ROWS == 1u) {
        return vec4(loaded(packed[at / 4u][at % 4u]));
    }
    return vec4<Sum>(packed[at]);
}

@compute @workgroup_size(LANES)
fn window(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    // 1. The tile of this workgroup. Consecutive workgroups read the same input.
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let row_tile = rest % params.tiles.row_tiles;
    let row_first = row_tile * TILE_ROWS;
    rest = rest / params.tiles.row_tiles;
    let block_across = rest % params.tiles.across;
    rest = rest / params.tiles.across;
    let block_along = rest % params.tiles.along;
    rest = rest / params.tiles.along;
    let n = rest % params.problem.batch;
    rest = rest / params.problem.batch;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let position_end = min(phase.count, params.problem.position_end);

    // 2. The place of this invocation: its column `across` among the `width` columns, and its index `along` the spacing.
    let shift = select(params.tiles.width_shift, 0u, ADJACENT == 1u);
    let width = 1u << shift;
    let across = lane & (width - 1u);
    let along = lane >> shift;
    let across_first = block_across << shift;
    let along_first = block_along * (LANES >> shift) * TILE_POSITIONS;
    let position_first = params.problem.position_first + along_first * params.walk.spacing + across_first;

    // 3. The main loop over the sequences of samples: one for each input row (depth) and each residue of taps.
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let tap_stride = params.walk.tap_stride;
    let neighbour = i32(params.walk.spacing) * params.walk.in_step;
    let in_first = input_at(n, group);
    let in_position = lowest_position(position_first, phase);
    let packed_tile = packed_at(phase, group, row_tile, params.tiles.row_tiles);
    let residues = min(tap_stride, phase.taps);
    let sequences = select(params.problem.depth * residues, 0u, phase.taps == 0u);
    for (var sequence_first = 0u; sequence_first < sequences; sequence_first += params.tiles.sequences) {
        let sequence_end = min(sequence_first + params.tiles.sequences, sequences);
        for (var t_first = 0u; t_first * tap_stride < phase.taps; t_first += params.tiles.taps) {
            // 3a. Stage the samples of all invocations for these taps, several sequences at once.
            workgroupBarrier();
            for (var s = sequence_first; s < sequence_end; s++) {
                let in_row = in_first + s / residues * params.input.length;
                let first = in_position + i32(s % residues + t_first * tap_stride) * params.walk.tap_step;
                let last = first + i32((params.tiles.samples - 1u) >> shift) * neighbour
                    + i32(width - 1u) * params.walk.in_step;
                let staged_first = (s - sequence_first) * params.tiles.samples;
                // The comparisons are modulo 2^32, as in `sample`: a block may end at a position that does not fit an i32.
                let inside = u32(first - params.input.touched_first) < params.input.touched
                    && u32(last - params.input.touched_first) < params.input.touched;
                if (inside) {
                    for (var i = lane; i < params.tiles.samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.walk.in_step;
                        staged[staged_first + i] = load_input(in_row + u32(first + offset));
                    }
                } else {
                    for (var i = lane; i < params.tiles.samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.walk.in_step;
                        staged[staged_first + i] = sample(in_row, first + offset);
                    }
                }
            }
            workgroupBarrier();
            for (var s = sequence_first; s < sequence_end; s++) {
                // 3b. The taps of this sequence, the address of its first weight, and the distance to the next weight.
                let residue = s % residues;
                let sequence_taps = (phase.taps - 1u - residue) / tap_stride + 1u;
                let taps = min(params.tiles.taps, sequence_taps - min(t_first, sequence_taps));
                let tap = phase_tap(residue + t_first * tap_stride, phase);
                var w_at = (packed_tile + s / residues * phase.taps + tap) * VECTORS;
                let w_step = select(tap_stride, 0u - tap_stride, params.walk.reversed == 1u) * VECTORS;
                // 3c. Fill the register window, except its last sample.
                var sample_at = (s - sequence_first) * params.tiles.samples + ((along * TILE_POSITIONS) << shift) + across;
                var samples: array<Sum, TILE_POSITIONS + UNROLLED - 1u>;
                for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                    samples[p] = staged[sample_at + p * width];
                }
                sample_at += (TILE_POSITIONS - 1u) * width;
                var k = 0u;
                for (; k + UNROLLED <= taps; k += UNROLLED) {
                    // 3d. Load UNROLLED new samples and add UNROLLED taps: tap u multiplies the window that starts at sample u.
                    for (var u = 0u; u < UNROLLED; u++) {
                        samples[TILE_POSITIONS - 1u + u] = staged[sample_at + u * width];
                    }
                    sample_at += UNROLLED * width;
                    for (var u = 0u; u < UNROLLED; u++) {
                        for (var a = 0u; a < VECTORS; a++) {
                            let w = weights(w_at + a);
                            for (var b = 0u; b < min(TILE_ROWS, 4u); b++) {
                                for (var p = 0u; p < TILE_POSITIONS; p++) {
                                    sums[4u * a + b][p] = fma(w[b], samples[p + u], sums[4u * a + b][p]);
                                }
                            }
                        }
                        w_at += w_step;
                    }
                    // The next step begins with the last samples of this one.
                    if (WHOLE == 0u) {
                        for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                            samples[p] = samples[p + UNROLLED];
                        }
                    }
                }
                if (REST == 1u) {
                    // 3e. The remaining taps, one at a time.
                    for (; k < taps; k++) {
                        samples[TILE_POSITIONS - 1u] = staged[sample_at];
                        sample_at += width;
                        for (var a = 0u; a < VECTORS; a++) {
                            let w = weights(w_at + a);
                            for (var b = 0u; b < min(TILE_ROWS, 4u); b++) {
                                for (var p = 0u; p < TILE_POSITIONS; p++) {
                                    sums[4u * a + b][p] = fma(w[b], samples[p], sums[4u * a + b][p]);
                                }
                            }
                        }
                        w_at += w_step;
                        for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                            samples[p] = samples[p + 1u];
                        }
                    }
                }
            }
        }
    }

    // 4. The epilogue. The sums pass through workgroup memory, so that neighbouring invocations store adjacent positions.
    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r += STORED_ROWS) {
        workgroupBarrier();
        for (var s = 0u; s < min(STORED_ROWS, TILE_ROWS - r); s++) {
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                staged[s * POSITIONS + ((along * TILE_POSITIONS + p) << shift) + across] = sums[r + s][p];
            }
        }
        workgroupBarrier();
        for (var i = lane; i < STORED_ROWS * POSITIONS; i += LANES) {
            let row = row_first + r + i / POSITIONS;
            let in_block = i % POSITIONS;
            let offset = in_block & (width - 1u);
            let position = position_first + (in_block >> shift) * params.walk.spacing + offset;
            let there = across_first + offset < params.walk.spacing && position < position_end;
            if (there && r + i / POSITIONS < TILE_ROWS && row < params.problem.rows) {
                let out = out_first + row * params.output.row + position * params.output.step;
                store_output(out, start_of_sum(out, group, row) + staged[i]);
            }
        }
    }
}
