// Which workgroup this is.
//
// WGSL allows a barrier only where control flow is uniform, and takes a struct for uniform only where all of its members are (WGSL,
// section "Uniformity analysis"). A kernel may return early by its workgroup and then have a barrier, so that the place within the
// workgroup is an argument of its own, and no member of this struct.

struct Workgroup {
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) all: vec3<u32>,
}

/// Index of the workgroup: dispatches with more workgroups than one dimension holds have rows of them.
fn index_of(workgroup: Workgroup) -> u32 {
    return workgroup.place.x + workgroup.place.y * workgroup.all.x;
}
