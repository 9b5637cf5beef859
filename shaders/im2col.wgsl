// Columns of a correlation: for every output position the input samples that it sums over, in panels of 64 positions.
//
// A panel belongs to one group and phase; it is a matrix [depth * taps, 64], zero-padded to a multiple of what the matrix
// product stages at once. Positions of all batch items are one sequence.

alias Element = f32;

// Positions of a panel, also the invocations of a workgroup.
const PANEL: u32 = 64u;
// Panel rows that one workgroup writes.
const TILE_DEPTH: u32 = 8u;
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

/// One slice of columns. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    depth: u32,
    phases: u32,
    /// First (group, phase) pair of the slice, counted group by group.
    pair_first: u32,
    /// First panel of each pair, and panels of each pair, in the slice.
    panel_first: u32,
    panels: u32,
    /// Rows of a panel, and workgroups that write them.
    panel_rows: u32,
    panel_tiles: u32,
    /// Positions of every phase that this piece computes.
    position_first: u32,
    positions: u32,
    in_base: u32,
    in_batch: u32,
    in_group: u32,
    in_length: u32,
    /// Positions of an input row that the piece's outputs need, and that are there to read.
    touched_first: i32,
    touched: u32,
    in_step: i32,
    tap_step: i32,
    columns_base: u32,
    /// The value of constant padding.
    fill: f32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
@group(0) @binding(3) var<storage, read_write> columns: array<Element>;
@group(0) @binding(4) var<storage, read> saved: array<Element>;

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

@compute @workgroup_size(PANEL)
fn im2col(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let unit = index / params.panel_tiles;
    let row_first = (index % params.panel_tiles) * TILE_DEPTH;
    let pair = params.pair_first + unit / params.panels;
    let phase = phases[pair % params.phases];
    let group = pair / params.phases;
    let sequence = (params.panel_first + unit % params.panels) * PANEL + lane.x;
    let n = sequence / params.positions;
    let position = params.position_first + sequence % params.positions;
    let inside = n < params.batch && position < phase.count;
    let in_first = params.in_base + n * params.in_batch + group * params.in_group;
    let in_position = phase.in_first + i32(position) * params.in_step;
    let out_first = params.columns_base + unit * params.panel_rows * PANEL + lane.x;
    for (var i = 0u; i < TILE_DEPTH; i++) {
        let row = row_first + i;
        if (row < params.panel_rows) {
            var value = Element(0);
            if (inside && row < params.depth * phase.taps) {
                let q = row / phase.taps;
                let t = row % phase.taps;
                value = sample(in_first + q * params.in_length, in_position + i32(t) * params.tap_step);
            }
            columns[out_first + row * PANEL] = value;
        }
    }
}
