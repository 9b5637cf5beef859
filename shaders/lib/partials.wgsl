// Stores the sums of a weight or bias gradient.
// use: output_tensor

/// Index of the first sum of a split and a group.
fn partials_at(split: u32, group: u32) -> u32 {
    return params.skips.output + split * params.partials.split + group * params.partials.group;
}

fn store_partial(at: u32, sum: Sum) {
    var total = sum;
    if (ACCUMULATE == 1u) {
        total += loaded(output[at]);
    }
    output[at] = stored(total);
}
