// Measures the copy bandwidth of a device: each invocation copies sixteen bytes, adjacent to those of its neighbours.

// Invocations of a workgroup.
const INVOCATIONS: u32 = 256u;

struct Params {
    /// Number of vectors of four to copy.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(INVOCATIONS)
fn copy(@builtin(global_invocation_id) place: vec3<u32>) {
    if (place.x < params.count) {
        copied[place.x] = source[place.x];
    }
}
