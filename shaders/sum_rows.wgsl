// Sum of rows over batch and positions (bias gradient): a workgroup sums one split of one channel. Each invocation sums every LANES-th
// term, and the sums of the invocations are added pairwise.
// use: workgroup, contraction, input, partials, split, scalar_terms, sum_lanes

struct Tiles {
    channels: u32,
}

/// Index of the first element of the channel.
var<private> row: u32;

fn add_term(i: u32, sum: Sum) -> Sum {
    let at = row + i / params.problem.positions * params.input.batch + i % params.problem.positions;
    return add_input(at, sum);
}

@compute @workgroup_size(LANES)
fn sum_rows(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let channel = index % params.tiles.channels;
    let split = index / params.tiles.channels;
    row = input_at(0u, 0u) + channel * params.input.length + params.problem.position_first;
    let total = sum_lanes(lane, sum_terms(split_first(split) + lane, split_end(split), LANES));
    if (lane == 0u) {
        store_partial(partials_at(split, 0u) + channel, total, true);
    }
}
