// Rows in reverse.

// Invocations of a workgroup.
const LANES: u32 = 64u;

struct Params {
    /// Elements, and those of a row.
    count: u32,
    length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(LANES)
fn reverse(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i < params.count) {
        let place = i % params.length;
        output[i - place + params.length - 1u - place] = input[i];
    }
}
