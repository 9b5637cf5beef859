// Normalised elements: (x - mean) / standard deviation.
// use: batch_norm/input, batch_norm/statistics

/// Difference of an element from its channel's mean, in standard deviations.
fn normalised(i: u32, channel: u32) -> Sum {
    return (loaded(input[i]) - channel_mean(channel)) * inverse_deviation(channel);
}
