// Applies an activation to every element.
// use: activation/*, element, stored

struct Params {
    /// Number of elements.
    count: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn activate_each(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        output[i] = stored(activate(loaded(input[i]), params.slope));
    }
}
