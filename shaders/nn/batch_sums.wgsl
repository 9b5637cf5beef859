// Gradients of batch normalisation, first pass: sums over a split of the positions of a channel of the output gradient, and of it
// times the normalised input. A workgroup does a split.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;
// The activation whose derivative the output gradient is multiplied by. Set by the program.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the program.
const SAVED_INPUT: u32 = 1u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    channels: u32,
    /// Positions of a row, of a channel in all items, and of a split.
    length: u32,
    positions: u32,
    split: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> output_gradient: array<Element>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
@group(0) @binding(3) var<storage, read> statistics: array<Element>;
@group(0) @binding(4) var<storage, read> gamma: array<Element>;
@group(0) @binding(5) var<storage, read> beta: array<Element>;
@group(0) @binding(6) var<storage, read_write> partials: array<Element>;

var<workgroup> lanes: array<Element, LANES>;

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

/// How far an element is from its channel's mean, in standard deviations.
fn normalised(i: u32, channel: u32) -> f32 {
    return (input[i] - statistics[2u * channel]) * statistics[2u * channel + 1u];
}

/// The gradient with respect to what went into the activation, which is computed again where that needs it.
fn gradient(i: u32, channel: u32) -> f32 {
    if (DERIVATIVE == IDENTITY) {
        return output_gradient[i];
    }
    return output_gradient[i] * derivative(normalised(i, channel) * gamma[channel] + beta[channel]);
}

/// Adds up a value of every lane, pairwise.
fn sum_lanes(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    lanes[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lanes[lane] += lanes[lane + half];
        }
        workgroupBarrier();
    }
    return lanes[0];
}

/// Where a position of a channel lies, counted over all items.
fn at(channel: u32, position: u32) -> u32 {
    return (position / params.length * params.channels + channel) * params.length + position % params.length;
}

@compute @workgroup_size(LANES)
fn batch_sums(
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
    let first = split * params.split;
    let end = min(first + params.split, params.positions);
    var sum = Element(0);
    var products = Element(0);
    for (var position = first + lane; position < end; position += LANES) {
        let i = at(channel, position);
        let dz = gradient(i, channel);
        sum += dz;
        products += dz * normalised(i, channel);
    }
    sum = sum_lanes(lane, sum);
    products = sum_lanes(lane, products);
    if (lane == 0u) {
        partials[2u * index] = sum;
        partials[2u * index + 1u] = products;
    }
}
