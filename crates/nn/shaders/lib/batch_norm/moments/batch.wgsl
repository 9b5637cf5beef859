// Mean and variance of a channel of the batch, combined from those of its splits (Chan, Golub, LeVeque: Updating
// Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979). Also updates the running statistics.
// use: batch_norm/partials

@group(0) @binding(2) var<storage, read_write> running_mean: array<Stored>;
@group(0) @binding(3) var<storage, read_write> running_variance: array<Stored>;
@group(0) @binding(4) var<storage, read_write> batches: array<u32>;

fn moments(channel: u32) -> Moments {
    var mean = Sum(0);
    var seen = Sum(0);
    var squares = Sum(0);
    for (var s = 0u; s < params.splits; s++) {
        let count = Sum(min(params.split, params.positions - s * params.split));
        let all = seen + count;
        let of_split = partial(s, channel);
        let difference = of_split.x - mean;
        mean += difference * (count / all);
        squares += of_split.y + difference * difference * (seen * (count / all));
        seen = all;
    }
    let unbiased = squares / Sum(params.positions - 1u);
    running_mean[channel] = stored(followed(loaded(running_mean[channel]), mean));
    running_variance[channel] = stored(followed(loaded(running_variance[channel]), unbiased));
    if (channel == 0u) {
        // The count saturates instead of wrapping to 0.
        batches[0] = max(batches[0], batches[0] + 1u);
    }
    return Moments(mean, squares / Sum(params.positions));
}

/// A running statistic after a batch.
fn followed(running: Sum, of_batch: Sum) -> Sum {
    return running + params.momentum * (of_batch - running);
}
