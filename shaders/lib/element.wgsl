// For kernels with one invocation per element.
// use: workgroup

/// Index of the invocation's element. It may exceed the number of elements, because the last workgroups may be partly idle.
fn element(workgroup: Workgroup, lane: u32) -> u32 {
    return index_of(workgroup) * LANES + lane;
}
