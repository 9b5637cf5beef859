// Mean and variance of a channel of the batch, from those of its splits. The squared deviations of a channel are the sum
// of those within its splits and those of the splits' means. Also updates the running statistics.
// use: batch_norm/deviations, batch_norm/partials, sum_terms

@group(0) @binding(2) var<storage, read_write> running_mean: array<Stored>;
@group(0) @binding(3) var<storage, read_write> running_variance: array<Stored>;
@group(0) @binding(4) var<storage, read_write> batches: array<u32>;

var<private> channel_of_splits: u32;

fn add_term(split: u32, sum: Term) -> Term {
    let count = Sum(min(params.split, params.positions - split * params.split));
    let of_split = partial(split, channel_of_splits);
    let deviation = of_split.x - centre;
    return vec2<Sum>(fma(count, deviation, sum.x), sum.y + fma(count * deviation, deviation, of_split.y));
}

fn moments(channel: u32) -> Moments {
    channel_of_splits = channel;
    let count = Sum(params.positions);
    centre = sum_terms(0u, params.splits, 1u).x / count;
    let sums = sum_terms(0u, params.splits, 1u);
    let mean = corrected_mean(sums, count);
    let squares = corrected_squares(sums, count);
    let unbiased = squares / Sum(params.positions - 1u);
    running_mean[channel] = stored(followed(loaded(running_mean[channel]), mean));
    running_variance[channel] = stored(followed(loaded(running_variance[channel]), unbiased));
    if (channel == 0u) {
        // The count saturates instead of wrapping to 0.
        batches[0] = max(batches[0], batches[0] + 1u);
    }
    return Moments(mean, squares / count);
}

/// A running statistic after a batch.
fn followed(running: Sum, of_batch: Sum) -> Sum {
    return running + params.momentum * (of_batch - running);
}
