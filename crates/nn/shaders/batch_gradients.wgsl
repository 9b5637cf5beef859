// Gradients of batch normalisation, second pass: adds up the splits of a channel. The sums are the gradients of beta
// and gamma.
// use: batch_norm/parameter_gradients/*, batch_norm/partials, element, sum_terms

@group(0) @binding(4) var<storage, read_write> sums: array<Stored>;

alias Term = vec2<Sum>;

var<private> channel: u32;

fn add_term(split: u32, sum: Term) -> Term {
    return sum + partial(split, channel);
}

@compute @workgroup_size(LANES)
fn batch_gradients(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    channel = element(workgroup, lane);
    if (channel >= params.channels) {
        return;
    }
    let sum = sum_terms(0u, params.splits, 1u);
    store_parameter_gradients(channel, sum.y, sum.x);
    sums[2u * channel] = stored(sum.x);
    sums[2u * channel + 1u] = stored(sum.y);
}
