// Sum of rows over batch and positions (bias gradient): a workgroup sums one share of one channel, its lanes striding over it,
// and adds the lanes up pairwise.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;
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

/// One piece of a sum. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    channels: u32,
    /// Positions of every batch item that this piece sums over, and how many of all of them one split does.
    position_first: u32,
    positions: u32,
    split_positions: u32,
    /// The part of each split's positions that this dispatch does.
    share_first: u32,
    share_end: u32,
    in_base: u32,
    in_batch: u32,
    in_length: u32,
    out_base: u32,
    out_split: u32,
    /// 1 where the output already holds the sum over earlier positions.
    accumulate: u32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read_write> output: array<Element>;
@group(0) @binding(3) var<storage, read> saved: array<Element>;

var<workgroup> lane_sums: array<Element, LANES>;

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

@compute @workgroup_size(LANES)
fn sum_rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let channel = index % params.channels;
    let split = index / params.channels;
    let row = params.in_base + channel * params.in_length + params.position_first;
    let first = split * params.split_positions + params.share_first;
    let end = min(split * params.split_positions + params.share_end, params.batch * params.positions);
    var sum = Element(0);
    for (var i = first + lane; i < end; i += LANES) {
        sum += load(row + i / params.positions * params.in_batch + i % params.positions);
    }
    lane_sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_sums[lane] += lane_sums[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let out = params.out_base + split * params.out_split + channel;
        var total = lane_sums[0];
        if (params.accumulate == 1u) {
            total += output[out];
        }
        output[out] = total;
    }
}
