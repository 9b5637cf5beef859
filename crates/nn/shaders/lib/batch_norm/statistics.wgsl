// Mean and 1 / standard deviation of each channel.
// use: stored

@group(0) @binding(2) var<storage, read> statistics: array<Stored>;

fn channel_mean(channel: u32) -> Sum {
    return loaded(statistics[2u * channel]);
}

fn inverse_deviation(channel: u32) -> Sum {
    return loaded(statistics[2u * channel + 1u]);
}
