// Kernels whose invocations do one element each.
// use: workgroup

/// Index of the invocation's element. The dispatch may have more invocations than there are elements.
fn element(workgroup: Workgroup, lane: u32) -> u32 {
    return index_of(workgroup) * LANES + lane;
}
