// Batch normalisation, second pass: mean and 1 / standard deviation of each channel.
// use: batch_norm/moments/*, batch_norm/params, element, stored

@group(0) @binding(5) var<storage, read_write> statistics: array<Stored>;

struct Moments {
    mean: Sum,
    variance: Sum,
}

@compute @workgroup_size(LANES)
fn batch_finish(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let channel = element(workgroup, lane);
    if (channel >= params.channels) {
        return;
    }
    let of_channel = moments(channel);
    statistics[2u * channel] = stored(of_channel.mean);
    statistics[2u * channel + 1u] = stored(1.0 / sqrt(of_channel.variance + params.epsilon));
}
