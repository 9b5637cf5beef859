// Batch normalisation by running statistics, folded into the convolution before it: an element of its weight, or of its bias.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// What is folded: one of the three below. Set by the program.
const FOLDED: u32 = 0u;
const WEIGHT: u32 = 0u;
const BIAS: u32 = 1u;
const NO_BIAS: u32 = 2u;

struct Params {
    /// Elements.
    count: u32,
    /// The output channel of element i is i / row / rows_per_group * channels_per_group + i / kernel % channels_per_group.
    row: u32,
    rows_per_group: u32,
    kernel: u32,
    channels_per_group: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read> gamma: array<Element>;
@group(0) @binding(3) var<storage, read> beta: array<Element>;
@group(0) @binding(4) var<storage, read> mean: array<Element>;
@group(0) @binding(5) var<storage, read> variance: array<Element>;
@group(0) @binding(6) var<storage, read_write> output: array<Element>;

@compute @workgroup_size(LANES)
fn fold_batch_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i >= params.count) {
        return;
    }
    let group = i / params.row / params.rows_per_group;
    let channel = group * params.channels_per_group + i / params.kernel % params.channels_per_group;
    let scale = gamma[channel] / sqrt(variance[channel] + params.epsilon);
    if (FOLDED == WEIGHT) {
        output[i] = input[i] * scale;
        return;
    }
    var bias = -mean[channel];
    if (FOLDED == BIAS) {
        bias += input[i];
    }
    output[i] = bias * scale + beta[channel];
}
