// Gradients of batch normalisation, second pass: adds up the splits of a channel. The sums are the gradients of beta
// and gamma.
// use: batch_norm/parameter_gradients/*, batch_norm/partials, element

@group(0) @binding(4) var<storage, read_write> sums: array<Stored>;

@compute @workgroup_size(LANES)
fn batch_gradients(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let channel = element(workgroup, lane);
    if (channel >= params.channels) {
        return;
    }
    var sum = vec2<Sum>();
    for (var s = 0u; s < params.splits; s++) {
        sum += partial(s, channel);
    }
    store_parameter_gradients(channel, sum.y, sum.x);
    sums[2u * channel] = stored(sum.x);
    sums[2u * channel + 1u] = stored(sum.y);
}
