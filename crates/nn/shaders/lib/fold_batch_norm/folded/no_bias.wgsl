// An element of the bias, of a convolution without a bias.
// use: fold_batch_norm/shifted, stored

fn folded(i: u32, channel: u32, scale: Sum) -> Sum {
    return shifted(-loaded(mean[channel]), channel, scale);
}
