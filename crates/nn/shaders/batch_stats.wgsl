// Batch normalisation, first pass: mean and sum of squared deviations of a split of a channel's positions. One
// workgroup per split, in two sums: deviations from a known mean do not cancel.
// use: batch_norm/deviations, batch_norm/input, batch_norm/split, sum_lanes, sum_terms

var<private> channel: u32;

fn add_term(position: u32, sum: Term) -> Term {
    let deviation = loaded(input[element_at(channel, position)]) - centre;
    return vec2<Sum>(sum.x + deviation, fma(deviation, deviation, sum.y));
}

@compute @workgroup_size(LANES)
fn batch_stats(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= split_count()) {
        return;
    }
    let split = channel_split(index);
    channel = split.channel;
    let first = split.positions.first + lane;
    let end = split.positions.end;
    let count = Sum(end - split.positions.first);
    centre = sum_lanes(lane, sum_terms(first, end, LANES).x) / count;
    let of_lane = sum_terms(first, end, LANES);
    let deviations = sum_lanes(lane, of_lane.x);
    let sums = Term(deviations, sum_lanes(lane, of_lane.y));
    if (lane == 0u) {
        store_split(index, vec2<Sum>(corrected_mean(sums, count), corrected_squares(sums, count)));
    }
}
