// The range of units of a split that a dispatch adds.

fn split_first(split: u32) -> u32 {
    return split * params.split.each + params.split.first;
}

fn split_end(split: u32) -> u32 {
    return min(split * params.split.each + params.split.end, params.split.all);
}
