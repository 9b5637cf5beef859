// Stores the sums of a weight or bias gradient, block by block.
// use: output_tensor

/// Index of the first sum of a split and a group.
fn partials_at(split: u32, group: u32) -> u32 {
    return params.skips.output + split * params.partials.split + group * params.partials.group;
}

/// Adds the sum of a block to the sums of the blocks before it, unless it is the first block of its split in this dispatch.
fn store_partial(at: u32, sum: Sum, first: bool) {
    var total = sum;
    if (ACCUMULATE == 1u || !first) {
        total += loaded(output[at]);
    }
    output[at] = stored(total);
}
