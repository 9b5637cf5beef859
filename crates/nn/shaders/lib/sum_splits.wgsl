// The sum of the partial sums of all splits, computed by one workgroup.
// use: stored, sum_lanes, workgroup

@group(0) @binding(2) var<storage, read> partials: array<Stored>;

fn sum_splits(lane: u32, splits: u32) -> Sum {
    var sum = Sum(0);
    for (var i = lane; i < splits; i += LANES) {
        sum += loaded(partials[i]);
    }
    return sum_lanes(lane, sum);
}
