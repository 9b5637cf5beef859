// Direct correlation: every invocation keeps a tile of output rows x positions in registers and walks over depth and taps.
//
// Serves forward, input gradient and transposed convolution of any geometry. Needs no workspace and no workgroup memory.
// Neighbouring positions of a tile may lie so far apart that the next tap's samples are this tap's of the neighbour: then
// each sample is loaded once and shifted through the tile.

alias Element = f32;

// Invocations along positions and along output rows. Set by the plan.
const LANES_POSITIONS: u32 = 64u;
const LANES_ROWS: u32 = 1u;
// Output rows and positions of one invocation. Set by the plan.
const TILE_ROWS: u32 = 4u;
const TILE_POSITIONS: u32 = 4u;
// 1 where samples are shifted through the tile, 0 where every tap loads its own. Set by the plan.
const SHIFTED: u32 = 1u;
// 1 where many taps meet no sample of the input: each tile then visits only the taps that meet one. Set by the plan.
const CLAMPED: u32 = 0u;
// 1 where the output already holds the sum over earlier input rows. Set by the plan.
const ACCUMULATE: u32 = 0u;
// What is read beyond the ends of an input row: one of the modes below. Set by the plan.
const EXTENSION: u32 = 0u;
// 1 where the padding is longer than one repetition of the input. Set by the plan.
const REPEATED: u32 = 0u;
const ZEROS: u32 = 0u;
const CONSTANT: u32 = 1u;
const REFLECT: u32 = 2u;
const SYMMETRIC: u32 = 3u;
const CIRCULAR: u32 = 4u;
const REPLICATE: u32 = 5u;
// What is applied to the sums, once they are complete: one of the activations below. Set by the plan.
const ACTIVATION: u32 = 0u;
// Where a residual is added: nowhere, before the activation or after it. Set by the plan.
const RESIDUAL: u32 = 0u;
const BEFORE: u32 = 1u;
const AFTER: u32 = 2u;
// 1 where what goes into the activation may be stored too. Set by the plan.
const PRE_ACTIVATION: u32 = 0u;
// The activation whose derivative the input is multiplied by. Set by the plan.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the plan.
const SAVED_INPUT: u32 = 0u;
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
    row_tiles: u32,
    /// Input rows that an output row sums over.
    depth: u32,
    phases: u32,
    /// Positions of every phase that this piece computes.
    position_first: u32,
    position_end: u32,
    /// Positions between neighbours of a tile.
    spacing: u32,
    /// Tiles along the positions of one batch item, and workgroups along those of all of them.
    position_tiles: u32,
    position_workgroups: u32,
    in_base: u32,
    in_batch: u32,
    in_group: u32,
    in_length: u32,
    /// Positions of an input row that the piece's outputs need, and that are there to read.
    touched_first: i32,
    touched: u32,
    in_step: i32,
    /// Input positions from one tap to the next, in the order in which they are walked over: that of the input.
    tap_step: i32,
    /// 1 where that is the reverse of the kernel's, and distance of its first sample from the kernel's, for each tap.
    reversed: u32,
    tap_back: i32,
    /// Taps from one sample to the next that a shift brings.
    period: u32,
    tap_stride: u32,
    w_base: u32,
    w_group: u32,
    w_row: u32,
    w_depth: u32,
    bias_base: u32,
    bias_group: u32,
    /// 1 where there is a bias to start from.
    has_bias: u32,
    out_base: u32,
    out_batch: u32,
    out_group: u32,
    out_row: u32,
    out_step: u32,
    /// The value of constant padding.
    fill: f32,
    residual_base: u32,
    pre_activation_base: u32,
    /// 1 where what goes into the activation is stored too.
    has_pre_activation: u32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;
@group(0) @binding(6) var<storage, read> residual: array<Element>;
@group(0) @binding(7) var<storage, read_write> pre_activation: array<Element>;
@group(0) @binding(8) var<storage, read> saved: array<Element>;

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

/// The derivative of the activation.
fn derivative(saved: f32) -> f32 {
    if (DERIVATIVE == RELU) {
        return select(1.0, 0.0, saved <= 0.0);
    }
    if (DERIVATIVE == LEAKY_RELU) {
        return select(1.0, params.slope, saved <= 0.0);
    }
    if (DERIVATIVE == SILU) {
        let s = sigmoid(saved);
        return s * (1.0 + saved * (1.0 - s));
    }
    if (DERIVATIVE == GELU) {
        let density = 0.39894228 * exp(-0.5 * saved * saved);
        return 0.5 * (1.0 + erf(saved * 0.70710678)) + saved * density;
    }
    if (DERIVATIVE == TANH) {
        let y = select(saved, 2.0 * sigmoid(2.0 * saved) - 1.0, SAVED_INPUT == 1u);
        return 1.0 - y * y;
    }
    if (DERIVATIVE == SIGMOID) {
        let y = select(saved, sigmoid(saved), SAVED_INPUT == 1u);
        return y * (1.0 - y);
    }
    return 1.0;
}

/// One element of the input.
fn load(at: u32) -> f32 {
    if (DERIVATIVE != IDENTITY) {
        return input[at] * derivative(saved[params.saved_base + at - params.in_base]);
    }
    return input[at];
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

/// The input position that a position beyond an end repeats.
fn extend(position: i32) -> i32 {
    let last = i32(params.in_length) - 1;
    if (REPEATED == 1u) {
        return repeat(position, last);
    }
    if (EXTENSION == REFLECT) {
        return select(last - (position - last), -position, position < 0);
    }
    if (EXTENSION == SYMMETRIC) {
        return select(last - (position - last - 1), -1 - position, position < 0);
    }
    if (EXTENSION == CIRCULAR) {
        return select(position - last - 1, position + last + 1, position < 0);
    }
    return clamp(position, 0, last); // replicate
}

/// As `extend`, for padding of any length.
fn repeat(position: i32, last: i32) -> i32 {
    var period = last + 1;
    if (EXTENSION == REFLECT) {
        period = max(2 * last, 1);
    }
    if (EXTENSION == SYMMETRIC) {
        period = 2 * (last + 1);
    }
    let remainder = position % period;
    let place = select(remainder, remainder + period, remainder < 0);
    if (EXTENSION == REFLECT) {
        return min(place, period - place);
    }
    if (EXTENSION == SYMMETRIC) {
        return min(place, period - 1 - place);
    }
    return place;
}

/// One sample of the input row that starts at `row`, or what extends it beyond its ends. Where nothing that is stored needs
/// it, its value does not matter, and it may not be there to read.
fn sample(row: u32, position: i32) -> f32 {
    var inside = position;
    // A negative position is a huge u32.
    if (EXTENSION != ZEROS && u32(position) >= params.in_length) {
        if (EXTENSION == CONSTANT) {
            return params.fill;
        }
        inside = extend(position);
    }
    if (u32(inside - params.touched_first) >= params.touched) {
        return 0.0;
    }
    return load(row + u32(inside));
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn direct(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    // Workgroups that follow each other read the same input.
    let row_first = ((rest % params.row_tiles) * LANES_ROWS + lane.y) * TILE_ROWS;
    rest = rest / params.row_tiles;
    // Positions are tiled within each batch item; the tiles of all items are one sequence, so that short rows fill the lanes.
    let tile = (rest % params.position_workgroups) * LANES_POSITIONS + lane.x;
    rest = rest / params.position_workgroups;
    let phase = phases[rest % params.phases];
    let group = rest / params.phases;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let n = tile / params.position_tiles;
    let in_item = tile % params.position_tiles;
    let block = in_item / params.spacing;
    let position_first =
        params.position_first + block * TILE_POSITIONS * params.spacing + in_item % params.spacing;
    let position_end = min(phase.count, params.position_end);
    if (n >= params.batch || position_first >= position_end || row_first >= params.rows) {
        return;
    }

    // Rows beyond the end repeat the last one, positions are samples like any other; neither is stored.
    var w_rows: array<u32, TILE_ROWS>;
    var sums: array<array<Element, TILE_POSITIONS>, TILE_ROWS>;
    let out_first = params.out_base + n * params.out_batch + group * params.out_group + phase.out_first;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.rows - 1u);
        w_rows[r] = params.w_base + group * params.w_group + row * params.w_row + phase.tap_first;
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

    let last_tap = phase.taps - 1u;
    let neighbour = i32(params.spacing) * params.in_step;
    let in_position = phase.in_first + i32(last_tap) * params.tap_back + i32(position_first) * params.in_step;
    // The taps that are visited.
    var tap_begin = 0u;
    var tap_end = phase.taps;
    if (CLAMPED == 1u) {
        let before = -(in_position + i32(TILE_POSITIONS - 1u) * neighbour);
        let after = i32(params.in_length) - in_position;
        let tap_step = u32(params.tap_step);
        tap_end = min((u32(max(after, 0)) + tap_step - 1u) / tap_step, phase.taps);
        tap_begin = min((u32(max(before, 0)) + tap_step - 1u) / tap_step, tap_end);
    }
    var in_row = params.in_base + n * params.in_batch + group * params.in_group;
    var w_row = 0u;
    // One loop over runs of taps that the tile is shifted through, or over single taps: loops within loops cost a software
    // driver its sums copied at each of them.
    var q = select(0u, params.depth, tap_begin == tap_end);
    var first = tap_begin;
    while (q < params.depth) {
        var samples: array<Element, TILE_POSITIONS>;
        var runs = tap_end;
        var run_taps = 1u;
        if (SHIFTED == 1u) {
            runs = min(tap_begin + params.period, tap_end);
            run_taps = (tap_end - 1u - first) / params.period + 1u;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                let position = in_position + i32(first) * params.tap_step + i32(p - 1u) * neighbour;
                samples[p] = sample(in_row, position);
            }
        }
        for (var k = 0u; k < run_taps; k++) {
            let tap = first + k * params.period;
            let tap_position = in_position + i32(tap) * params.tap_step;
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
            let w_tap = w_row + select(tap, last_tap - tap, params.reversed == 1u) * params.tap_stride;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = weight[w_rows[r] + w_tap];
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, samples[p], sums[r][p]);
                }
            }
        }
        first++;
        if (first >= runs) {
            first = tap_begin;
            q++;
            in_row += params.in_length;
            w_row += params.w_depth;
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
