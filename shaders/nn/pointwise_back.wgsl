// Gradients of `pointwise`. Where the activation has its derivative from what went into it, that is computed again.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// 1 where elements of `a` are dropped. Set by the program.
const DROPOUT: u32 = 0u;
// 1 where `b` is added. Set by the program.
const ADD: u32 = 0u;
// The activation whose derivative the output gradient is multiplied by. Set by the program.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the program.
const SAVED_INPUT: u32 = 0u;
// What becomes of the gradient with respect to `a`, and to `b`: one of the three below. Set by the program.
const GRADIENT_A: u32 = 1u;
const GRADIENT_B: u32 = 0u;
const UNWANTED: u32 = 0u;
const WRITTEN: u32 = 1u;
const ADDED: u32 = 2u;
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
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
    /// Of 2^32 random numbers, those that drop an element, and what the others are multiplied by.
    dropped: u32,
    scale: f32,
    /// Key of the layer's random numbers.
    key_low: u32,
    key_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> output_gradient: array<Element>;
@group(0) @binding(2) var<storage, read> output: array<Element>;
@group(0) @binding(3) var<storage, read> a: array<Element>;
@group(0) @binding(4) var<storage, read> b: array<Element>;
@group(0) @binding(5) var<storage, read> control: array<u32>;
@group(0) @binding(6) var<storage, read_write> a_gradient: array<Element>;
@group(0) @binding(7) var<storage, read_write> b_gradient: array<Element>;

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

/// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011): the first of
/// the two words that it makes of a counter and a key.
fn threefry(counter: vec2<u32>, key: vec2<u32>) -> u32 {
    var rotations = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
    var keys = array<u32, 3>(key.x, key.y, 0x1BD11BDAu ^ key.x ^ key.y);
    var x = counter + key;
    for (var block = 0u; block < 5u; block++) {
        for (var round = 0u; round < 4u; round++) {
            x.x += x.y;
            let by = rotations[(block % 2u) * 4u + round];
            x.y = ((x.y << by) | (x.y >> (32u - by))) ^ x.x;
        }
        x.x += keys[(block + 1u) % 3u];
        x.y += keys[(block + 2u) % 3u] + block + 1u;
    }
    return x.x;
}

/// What an element is multiplied by: 0 where it is dropped in this step, and otherwise what keeps the mean. Never stored: the
/// same element of the same step of the same layer gets the same number whoever asks.
fn mask(i: u32) -> f32 {
    let random = threefry(vec2<u32>(i, control[0]), vec2<u32>(params.key_low, params.key_high));
    return select(0.0, params.scale, random >= params.dropped);
}

/// What goes into the activation.
fn pre_activation(i: u32) -> f32 {
    var z = a[i];
    if (DROPOUT == 1u) {
        z *= mask(i);
    }
    if (ADD == 1u) {
        z += b[i];
    }
    return z;
}

@compute @workgroup_size(LANES)
fn pointwise_back(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i >= params.count) {
        return;
    }
    var dz = output_gradient[i];
    if (DERIVATIVE != IDENTITY) {
        if (SAVED_INPUT == 1u) {
            dz *= derivative(pre_activation(i));
        } else {
            dz *= derivative(output[i]);
        }
    }
    if (GRADIENT_A != UNWANTED) {
        var da = dz;
        if (DROPOUT == 1u) {
            da *= mask(i);
        }
        if (GRADIENT_A == ADDED) {
            da += a_gradient[i];
        }
        a_gradient[i] = da;
    }
    if (GRADIENT_B == WRITTEN) {
        b_gradient[i] = dz;
    }
    if (GRADIENT_B == ADDED) {
        b_gradient[i] += dz;
    }
}
