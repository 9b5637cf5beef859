// An element of the bias, of a convolution with a bias.
// use: fold_batch_norm/shifted, stored

@group(0) @binding(1) var<storage, read> input: array<Stored>;

fn folded(i: u32, channel: u32, scale: Sum) -> Sum {
    return shifted(-loaded(mean[channel]) + loaded(input[i]), channel, scale);
}
