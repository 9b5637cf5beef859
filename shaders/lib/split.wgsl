// The units of a split that a dispatch adds, and the blocks of them.

fn split_first(split: u32) -> u32 {
    return split * params.split.each + params.split.first;
}

fn split_end(split: u32) -> u32 {
    return min(split * params.split.each + params.split.end, params.split.all);
}

/// Whether a split has a block that starts here. An empty split has one empty block, whose sums of zero are stored.
fn has_block(block: u32, split: u32) -> bool {
    return block < split_end(split) || block == split_first(split);
}

fn block_end(block: u32, split: u32) -> u32 {
    return min(block + params.split.block, split_end(split));
}
