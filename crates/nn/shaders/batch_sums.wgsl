// Gradients of batch normalisation, first pass: for a split of a channel's positions, the sum of the output gradient
// and the sum of its products with the normalised input. One workgroup per split.
// use: batch_norm/activation_gradient/*, batch_norm/normalised, batch_norm/split, sum_lanes, sum_terms

@group(0) @binding(5) var<storage, read> output_gradient: array<Stored>;

/// Sum of the gradient, and of its products with the normalised input.
alias Term = vec2<Sum>;

var<private> channel: u32;

fn add_term(position: u32, sum: Term) -> Term {
    let i = element_at(channel, position);
    let dz = before_activation(loaded(output_gradient[i]), i, channel);
    return vec2<Sum>(sum.x + dz, fma(dz, normalised(i, channel), sum.y));
}

@compute @workgroup_size(LANES)
fn batch_sums(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= split_count()) {
        return;
    }
    let split = channel_split(index);
    channel = split.channel;
    let sums = sum_terms(split.positions.first + lane, split.positions.end, LANES);
    let gradients = sum_lanes(lane, sums.x);
    let products = sum_lanes(lane, sums.y);
    if (lane == 0u) {
        store_split(index, vec2<Sum>(gradients, products));
    }
}
