// Gradients of batch normalisation, second pass: the sums of the splits of a channel added up, which are those of gamma and beta.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;

struct Params {
    /// Channels.
    count: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<Element>;
@group(0) @binding(2) var<storage, read_write> gamma_gradient: array<Element>;
@group(0) @binding(3) var<storage, read_write> beta_gradient: array<Element>;
@group(0) @binding(4) var<storage, read_write> sums: array<Element>;

@compute @workgroup_size(LANES)
fn batch_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (channel >= params.count) {
        return;
    }
    var sum = Element(0);
    var products = Element(0);
    for (var s = 0u; s < params.splits; s++) {
        let partial = 2u * (s * params.count + channel);
        sum += partials[partial];
        products += partials[partial + 1u];
    }
    beta_gradient[channel] = sum;
    gamma_gradient[channel] = products;
    sums[2u * channel] = sum;
    sums[2u * channel + 1u] = products;
}
