// Batch normalisation, last pass: (x - mean) / standard deviation * gamma + beta, and an activation.
// use: activation/*, batch_norm/params, batch_norm/scaled, element, stored

@group(0) @binding(5) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn batch_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    output[i] = stored(activate(scaled(i, channel_of(i)), params.slope));
}
