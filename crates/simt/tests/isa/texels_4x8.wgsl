// texels.wgsl
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
// ---- shaders/lib/texels/sampled.wgsl
// The two textures of the workspace, read as sampled textures, which every WebGPU device supports.

@group(0) @binding(9) var input_texels: texture_2d<f32>;
@group(0) @binding(10) var factor_texels: texture_2d<f32>;

fn input_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(input_texels, place, 0);
}

fn factor_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(factor_texels, place, 0);
}
// ---- shaders/lib/texture.wgsl
// A texture of the workspace holds one sequence of texels, row after row.

fn texel_place(texel: u32) -> vec2<u32> {
    return vec2(texel % TEXTURE_WIDTH, texel / TEXTURE_WIDTH);
}
// ---- shaders/texels.wgsl
// Correlation from textures: every invocation keeps a tile of output rows x positions in registers and multiplies texels of four input
// values with texels of four weights.
//
// A texel holds four input rows (channels) at one position, or four taps of one row. `texels_input` has staged the input in a texture,
// extended by its padding. If samples are shifted, a position's texel at the next tap is its neighbour's texel at the current tap, so
// each texel is loaded once.
// use: workgroup, correlation, output, texels/*, texture

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 64u;
const LANES_ROWS: u32 = 1u;
// Output rows and positions of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_POSITIONS: u32 = 8u;
// 1: texels are shifted through the tile. 0: every tap loads all its texels.
const SHIFTED: u32 = 1u;
// 1: a texel holds four taps of a row. 0: it holds four rows.
const TEXEL_TAPS: u32 = 0u;

struct Tiles {
    /// Tiles of output rows, and workgroups along them.
    row_tiles: u32,
    row_workgroups: u32,
    /// Tiles along the positions of one batch item, and workgroups along the positions of all batch items.
    position_tiles: u32,
    position_workgroups: u32,
    /// Rows of texels (units) that an output row sums over: `full_units` with all taps, then others with one texel of taps each.
    units: u32,
    full_units: u32,
    /// Texels of taps of a full unit, if a texel holds taps; otherwise unused.
    unit_taps: u32,
    /// Texels of a unit, the input position of the first, and input positions from one texel to the next.
    unit_texels: u32,
    texel_first: i32,
    texel_step: u32,
    /// Texels from one position to the next, from one position of a tile to the next, and from one tap to the next.
    position_texels: u32,
    neighbour_texels: u32,
    tap_texels: u32,
    /// Texels of weights of an output row, all phases together.
    steps: u32,
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn texels(workgroup: Workgroup, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_tile = (rest % params.tiles.row_workgroups) * LANES_ROWS + place.y;
    rest = rest / params.tiles.row_workgroups;
    let tile = (rest % params.tiles.position_workgroups) * LANES_POSITIONS + place.x;
    rest = rest / params.tiles.position_workgroups;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let row_first = row_tile * TILE_ROWS;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let n = tile / params.tiles.position_tiles;
    let in_item = tile % params.tiles.position_tiles;
    let block = in_item / params.walk.spacing;
    let in_block = (block * TILE_POSITIONS * params.walk.spacing) + in_item % params.walk.spacing;
    let position_first = params.problem.position_first + in_block;
    let position_end = min(phase.count, params.problem.position_end);
    if (n >= params.problem.batch || position_first >= position_end || row_first >= params.problem.rows) {
        return;
    }

    let out_first = output_at(n, group, phase);
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.problem.rows - 1u);
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = min(position_first + p * params.walk.spacing, position_end - 1u);
            sums[r][p] = start_of_sum(out_first + row * params.output.row + position * params.output.step, group, row);
        }
    }

    let lowest = phase.in_first + (i32(phase.taps) - 1) * params.walk.tap_back;
    var in_unit = (n * params.problem.groups + group) * params.tiles.units * params.tiles.unit_texels
        + u32(lowest - params.tiles.texel_first) / params.tiles.texel_step
        + in_block * params.tiles.position_texels;
    var step = (group * params.tiles.row_tiles + row_tile) * params.tiles.steps + phase.taps_before * params.tiles.units;
    // One loop over units and residues (taps if not shifted) instead of two nested ones: llvmpipe copies the sums for each nested loop.
    var unit = select(0u, params.tiles.units, phase.taps == 0u);
    var first = 0u;
    while (unit < params.tiles.units) {
        var unit_taps = phase.taps;
        if (TEXEL_TAPS == 1u) {
            unit_taps = select(1u, params.tiles.unit_taps, unit < params.tiles.full_units);
        }
        var samples: array<vec4<Sum>, TILE_POSITIONS>;
        var first_end = unit_taps;
        var taps = 1u;
        if (SHIFTED == 1u) {
            first_end = min(params.walk.tap_stride, unit_taps);
            taps = (unit_taps - first + params.walk.tap_stride - 1u) / params.walk.tap_stride;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                let texel = in_unit + first * params.tiles.tap_texels + (p - 1u) * params.tiles.neighbour_texels;
                samples[p] = input_texel(texel_place(texel));
            }
        }
        for (var k = 0u; k < taps; k++) {
            let tap = first + k * params.walk.tap_stride;
            let in_tap = in_unit + tap * params.tiles.tap_texels;
            if (SHIFTED == 1u) {
                for (var p = 1u; p < TILE_POSITIONS; p++) {
                    samples[p - 1u] = samples[p];
                }
                let texel = in_tap + (TILE_POSITIONS - 1u) * params.tiles.neighbour_texels;
                samples[TILE_POSITIONS - 1u] = input_texel(texel_place(texel));
            } else {
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    samples[p] = input_texel(texel_place(in_tap + p * params.tiles.neighbour_texels));
                }
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = factor_texel(texel_place((step + tap) * TILE_ROWS + r));
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    let s = samples[p];
                    sums[r][p] = fma(w.w, s.w, fma(w.z, s.z, fma(w.y, s.y, fma(w.x, s.x, sums[r][p]))));
                }
            }
        }
        first++;
        if (first >= first_end) {
            first = 0u;
            unit++;
            step += unit_taps;
            in_unit += params.tiles.unit_texels;
        }
    }

    for (var p = 0u; p < TILE_POSITIONS; p++) {
        for (var r = 0u; r < TILE_ROWS; r++) {
            let row = row_first + r;
            let position = position_first + p * params.walk.spacing;
            if (row < params.problem.rows && position < position_end) {
                store_output(out_first + row * params.output.row + position * params.output.step, sums[r][p]);
            }
        }
    }
}
