// Sum of rows over batch and positions (bias gradient): a workgroup sums one split of one channel. Each invocation sums every LANES-th
// term, and the sums of the invocations are added pairwise.
// use: workgroup, contraction, input, partials, split, sum_lanes

struct Tiles {
    channels: u32,
}

@compute @workgroup_size(LANES)
fn sum_rows(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let channel = index % params.tiles.channels;
    let split = index / params.tiles.channels;
    let row = input_at(0u, 0u) + channel * params.input.length + params.problem.position_first;
    let end = split_end(split);
    var sum = Sum(0);
    for (var i = split_first(split) + lane; i < end; i += LANES) {
        let at = row + i / params.problem.positions * params.input.batch + i % params.problem.positions;
        sum = add_input(at, sum);
    }
    let total = sum_lanes(lane, sum);
    if (lane == 0u) {
        store_partial(partials_at(split, 0u) + channel, total);
    }
}
