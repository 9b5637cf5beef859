// Batch normalisation, last pass: (x - mean) / standard deviation * gamma + beta, and an activation.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// The activation. Set by the program.
const ACTIVATION: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

struct Params {
    /// Elements.
    count: u32,
    channels: u32,
    length: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read> statistics: array<Element>;
@group(0) @binding(3) var<storage, read> gamma: array<Element>;
@group(0) @binding(4) var<storage, read> beta: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;

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

/// How far an element is from its channel's mean, in standard deviations.
fn normalised(i: u32, channel: u32) -> f32 {
    return (input[i] - statistics[2u * channel]) * statistics[2u * channel + 1u];
}

@compute @workgroup_size(LANES)
fn batch_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i >= params.count) {
        return;
    }
    let channel = i / params.length % params.channels;
    output[i] = activate(normalised(i, channel) * gamma[channel] + beta[channel]);
}
