// The sum of a value of every invocation of a workgroup of LANES, a power of two.

var<workgroup> lane_sums: array<Sum, LANES>;

/// Adds up a value of every invocation, pairwise: the same order each time.
fn sum_lanes(lane: u32, value: Sum) -> Sum {
    workgroupBarrier();
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_sums[lane] += lane_sums[lane + half];
        }
        workgroupBarrier();
    }
    return lane_sums[0];
}
