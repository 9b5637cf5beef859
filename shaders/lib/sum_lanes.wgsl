// Sums one value of each invocation of a workgroup. LANES, the number of invocations, is a power of two.

// Number of separate sums, a power of two: the value of an invocation belongs to sum `lane % SUMS`.
const SUMS: u32 = 1u;

var<workgroup> lane_sums: array<Sum, LANES>;

/// The sum of `value` over the invocations of the same sum, added pairwise in a fixed order, for every invocation. All invocations of the
/// workgroup must call it: it has barriers.
fn sum_lanes(lane: u32, value: Sum) -> Sum {
    workgroupBarrier();
    lane_sums[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half >= SUMS; half = half / 2u) {
        if (lane < half) {
            lane_sums[lane] += lane_sums[lane + half];
        }
        workgroupBarrier();
    }
    return lane_sums[lane % SUMS];
}
