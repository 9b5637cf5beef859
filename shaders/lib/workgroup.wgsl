// The index of the workgroup in a dispatch.
//
// WGSL allows a barrier only in uniform control flow, and treats a struct as uniform only if all its members are (WGSL, section
// "Uniformity analysis"). A kernel may return early depending on its workgroup and then have a barrier. So the place within the workgroup
// is a separate argument, not a member of this struct.

struct Workgroup {
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(num_workgroups) all: vec3<u32>,
}

/// Index of the workgroup. A dispatch with more workgroups than one dimension holds has rows of workgroups.
fn index_of(workgroup: Workgroup) -> u32 {
    return workgroup.place.x + workgroup.place.y * workgroup.all.x;
}
