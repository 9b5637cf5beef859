// Batch normalisation, first pass: mean and sum of squared deviations of a split of a channel's positions. One
// workgroup per split, in two loops: deviations from a known mean do not cancel.
// use: batch_norm/input, batch_norm/split, sum_lanes

@compute @workgroup_size(LANES)
fn batch_stats(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= split_count()) {
        return;
    }
    let split = channel_split(index);
    let range = split.positions;
    var sum = Sum(0);
    for (var position = range.first + lane; position < range.end; position += LANES) {
        sum += loaded(input[element_at(split.channel, position)]);
    }
    let mean = sum_lanes(lane, sum) / Sum(range.end - range.first);
    var squares = Sum(0);
    for (var position = range.first + lane; position < range.end; position += LANES) {
        let deviation = loaded(input[element_at(split.channel, position)]) - mean;
        squares += deviation * deviation;
    }
    squares = sum_lanes(lane, squares);
    if (lane == 0u) {
        store_split(index, vec2<Sum>(mean, squares));
    }
}
