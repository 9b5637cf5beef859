// Mean and variance of a channel from the running statistics.
// use: batch_norm/params, stored

@group(0) @binding(2) var<storage, read> running_mean: array<Stored>;
@group(0) @binding(3) var<storage, read> running_variance: array<Stored>;

fn moments(channel: u32) -> Moments {
    return Moments(loaded(running_mean[channel]), loaded(running_variance[channel]));
}
