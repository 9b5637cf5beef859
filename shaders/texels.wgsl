// Correlation from textures: every invocation keeps a tile of output rows x positions in registers and multiplies texels of
// four input values with texels of four weights.
//
// A texel holds four input rows (channels) at one position, or four taps of one row. The input is laid aside extended by its
// padding, so that nothing is looked at twice. Neighbouring positions of a tile lie so far apart that the next tap's samples
// are this tap's of the neighbour: each texel is loaded once and shifted through the tile.

alias Element = f32;

// Invocations along positions and along output rows. Set by the plan.
const LANES_POSITIONS: u32 = 64u;
const LANES_ROWS: u32 = 1u;
// Output rows and positions of one invocation. Set by the plan.
const TILE_ROWS: u32 = 8u;
const TILE_POSITIONS: u32 = 16u;
// 1 where samples are shifted through the tile, 0 where every tap loads its own. Set by the plan.
const SHIFTED: u32 = 1u;
// 1 where a texel holds four taps of a row instead of four rows. Set by the plan.
const TEXEL_TAPS: u32 = 0u;
// 1 where the output already holds the sum over earlier input rows. Set by the plan.
const ACCUMULATE: u32 = 0u;
// Texels of a row of a texture.
const WIDTH: u32 = 4096u;
// What is applied to the sums, once they are complete: one of the activations below. Set by the plan.
const ACTIVATION: u32 = 0u;
// Where a residual is added: nowhere, before the activation or after it. Set by the plan.
const RESIDUAL: u32 = 0u;
const BEFORE: u32 = 1u;
const AFTER: u32 = 2u;
// 1 where what goes into the activation may be stored too. Set by the plan.
const PRE_ACTIVATION: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

/// Outputs that are reached by the same taps: every `out_step`-th of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position that the first output and the first tap meet at.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one: where its packed weights start.
    taps_before: u32,
}

/// One piece of a correlation. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Output rows of a group.
    rows: u32,
    /// Tiles of them, and workgroups along them.
    row_tiles: u32,
    row_workgroups: u32,
    phases: u32,
    /// Positions of every phase that this piece computes.
    position_first: u32,
    position_end: u32,
    /// Positions between neighbours of a tile.
    spacing: u32,
    /// Tiles along the positions of one batch item, and workgroups along those of all of them.
    position_tiles: u32,
    position_workgroups: u32,
    /// Rows of texels that an output row sums over: `full_units` with all taps, then others with one texel of taps each.
    units: u32,
    full_units: u32,
    /// Taps of a full unit where a texel holds four; otherwise the phase's.
    unit_taps: u32,
    /// Taps from one sample to the next that a shift brings.
    period: u32,
    /// Texels of a unit, and input position of the first and of the step to the next.
    unit_texels: u32,
    texel_first: i32,
    texel_step: u32,
    /// Texels from one position to the next, from one of a tile to the next, and from one tap to the next.
    position_texels: u32,
    neighbour_texels: u32,
    tap_texels: u32,
    /// Distance of the lowest tap's sample from the first tap's, for each tap after the first: 0, or what it goes back.
    tap_back: i32,
    /// Steps of the sum of a row tile, all phases together.
    steps: u32,
    bias_base: u32,
    bias_group: u32,
    /// 1 where there is a bias to start from.
    has_bias: u32,
    out_base: u32,
    out_batch: u32,
    out_group: u32,
    out_row: u32,
    out_step: u32,
    residual_base: u32,
    pre_activation_base: u32,
    /// 1 where what goes into the activation is stored too.
    has_pre_activation: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
// Bindings 2 and 3, and the functions that read them, are in texels_sampled.wgsl or texels_storage.wgsl.
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;
@group(0) @binding(6) var<storage, read> residual: array<Element>;
@group(0) @binding(7) var<storage, read_write> pre_activation: array<Element>;

fn place(texel: u32) -> vec2<u32> {
    return vec2(texel % WIDTH, texel / WIDTH);
}

/// `1 / (1 + e^-z)`, whose exponential does not overflow.
fn sigmoid(z: f32) -> f32 {
    let e = exp(-abs(z));
    return select(e, 1.0, z >= 0.0) / (1.0 + e);
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn erf(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(z));
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(z) * (1.0 - series * exp(-z * z));
}

/// The activation.
fn activate(z: f32) -> f32 {
    if (ACTIVATION == RELU) {
        return select(z, 0.0, z <= 0.0);
    }
    if (ACTIVATION == LEAKY_RELU) {
        return select(z, params.slope * z, z <= 0.0);
    }
    if (ACTIVATION == SILU) {
        return z * sigmoid(z);
    }
    if (ACTIVATION == GELU) {
        return 0.5 * z * (1.0 + erf(z * 0.70710678));
    }
    if (ACTIVATION == TANH) {
        return 2.0 * sigmoid(2.0 * z) - 1.0;
    }
    if (ACTIVATION == SIGMOID) {
        return sigmoid(z);
    }
    return z;
}

/// Stores a sum, and where it is complete what follows it.
fn store(at: u32, sum: f32) {
    let beside = at - params.out_base;
    var z = sum;
    if (RESIDUAL == BEFORE) {
        z += residual[params.residual_base + beside];
    }
    if (PRE_ACTIVATION == 1u && params.has_pre_activation == 1u) {
        pre_activation[params.pre_activation_base + beside] = z;
    }
    var y = activate(z);
    if (RESIDUAL == AFTER) {
        y += residual[params.residual_base + beside];
    }
    output[at] = y;
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn texels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    // Workgroups that follow each other read the same input.
    let row_tile = (rest % params.row_workgroups) * LANES_ROWS + lane.y;
    rest = rest / params.row_workgroups;
    let tile = (rest % params.position_workgroups) * LANES_POSITIONS + lane.x;
    rest = rest / params.position_workgroups;
    let phase = phases[rest % params.phases];
    let group = rest / params.phases;
    let row_first = row_tile * TILE_ROWS;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let n = tile / params.position_tiles;
    let in_item = tile % params.position_tiles;
    let block = in_item / params.spacing;
    let in_block = (block * TILE_POSITIONS * params.spacing) + in_item % params.spacing;
    let position_first = params.position_first + in_block;
    let position_end = min(phase.count, params.position_end);
    if (n >= params.batch || position_first >= position_end || row_first >= params.rows) {
        return;
    }

    let out_first = params.out_base + n * params.out_batch + group * params.out_group + phase.out_first;
    var sums: array<array<Element, TILE_POSITIONS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.rows - 1u);
        var start = Element(0);
        if (params.has_bias == 1u) {
            start = bias[params.bias_base + group * params.bias_group + row];
        }
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            if (ACCUMULATE == 1u) {
                let position = min(position_first + p * params.spacing, position_end - 1u);
                start = output[out_first + row * params.out_row + position * params.out_step];
            }
            sums[r][p] = start;
        }
    }

    let lowest = phase.in_first + (i32(phase.taps) - 1) * params.tap_back;
    var in_unit = (n * params.groups + group) * params.units * params.unit_texels
        + u32(lowest - params.texel_first) / params.texel_step
        + in_block * params.position_texels;
    var step = (group * params.row_tiles + row_tile) * params.steps + phase.taps_before * params.units;
    // One loop over runs of taps that the tile is shifted through, or over single taps: loops within loops cost a software
    // driver its sums copied at each of them.
    var unit = select(0u, params.units, phase.taps == 0u);
    var first = 0u;
    while (unit < params.units) {
        var taps = phase.taps;
        if (TEXEL_TAPS == 1u) {
            taps = select(1u, params.unit_taps, unit < params.full_units);
        }
        var samples: array<vec4<Element>, TILE_POSITIONS>;
        var runs = taps;
        var run_taps = 1u;
        if (SHIFTED == 1u) {
            runs = min(params.period, taps);
            run_taps = (taps - first + params.period - 1u) / params.period;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                let texel = in_unit + first * params.tap_texels + (p - 1u) * params.neighbour_texels;
                samples[p] = input_texel(place(texel));
            }
        }
        for (var k = 0u; k < run_taps; k++) {
            let tap = first + k * params.period;
            let in_tap = in_unit + tap * params.tap_texels;
            if (SHIFTED == 1u) {
                for (var p = 1u; p < TILE_POSITIONS; p++) {
                    samples[p - 1u] = samples[p];
                }
                let texel = in_tap + (TILE_POSITIONS - 1u) * params.neighbour_texels;
                samples[TILE_POSITIONS - 1u] = input_texel(place(texel));
            } else {
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    samples[p] = input_texel(place(in_tap + p * params.neighbour_texels));
                }
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = factor_texel(place((step + tap) * TILE_ROWS + r));
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    let s = samples[p];
                    sums[r][p] = fma(w.w, s.w, fma(w.z, s.z, fma(w.y, s.y, fma(w.x, s.x, sums[r][p]))));
                }
            }
        }
        first++;
        if (first >= runs) {
            first = 0u;
            unit++;
            step += taps;
            in_unit += params.unit_texels;
        }
    }

    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = position_first + p * params.spacing;
            if (row_first + r < params.rows && position < position_end) {
                store(out_first + (row_first + r) * params.out_row + position * params.out_step, sums[r][p]);
            }
        }
    }
}
