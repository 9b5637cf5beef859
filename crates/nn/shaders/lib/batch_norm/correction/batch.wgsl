// Correction of the gradient, because the batch's mean and variance depend on the input too.
// use: batch_norm/normalised, batch_norm/params

/// For each channel, the sum of the gradient and the sum of its products with the normalised input.
@group(0) @binding(6) var<storage, read> sums: array<Stored>;

fn corrected(dz: Sum, i: u32, channel: u32) -> Sum {
    let positions = Sum(params.positions);
    let sum = loaded(sums[2u * channel]);
    let products = loaded(sums[2u * channel + 1u]);
    return dz - (sum / positions + normalised(i, channel) * (products / positions));
}
