// Gradients of batch normalisation, first pass: for a split of a channel's positions, the sum of the output gradient
// and the sum of its products with the normalised input. One workgroup per split.
// use: batch_norm/activation_gradient/*, batch_norm/normalised, batch_norm/split, sum_lanes

@group(0) @binding(5) var<storage, read> output_gradient: array<Stored>;

@compute @workgroup_size(LANES)
fn batch_sums(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= split_count()) {
        return;
    }
    let split = channel_split(index);
    var gradients = Sum(0);
    var products = Sum(0);
    for (var position = split.positions.first + lane; position < split.positions.end; position += LANES) {
        let i = element_at(split.channel, position);
        let dz = before_activation(loaded(output_gradient[i]), i, split.channel);
        gradients += dz;
        products += dz * normalised(i, split.channel);
    }
    gradients = sum_lanes(lane, gradients);
    products = sum_lanes(lane, products);
    if (lane == 0u) {
        store_split(index, vec2<Sum>(gradients, products));
    }
}
