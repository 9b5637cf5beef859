// Batch normalisation by running statistics, folded into the convolution before it. Each invocation computes an element
// of its weight or bias.
// use: element, fold_batch_norm/folded/*, stored

struct Params {
    /// Elements.
    count: u32,
    /// The output channel of element i is i / row / rows_per_group * channels_per_group + i / kernel % channels_per_group.
    row: u32,
    rows_per_group: u32,
    kernel: u32,
    channels_per_group: u32,
    /// Added to a variance before the square root.
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gamma: array<Stored>;
@group(0) @binding(5) var<storage, read> variance: array<Stored>;
@group(0) @binding(6) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn fold_batch_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let group = i / params.row / params.rows_per_group;
    let channel = group * params.channels_per_group + i / params.kernel % params.channels_per_group;
    let scale = loaded(gamma[channel]) / sqrt(loaded(variance[channel]) + params.epsilon);
    output[i] = stored(folded(i, channel, scale));
}
