// Applies an activation to every element.
// use: activation/*, activation_params, element, stored

@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn activation(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        output[i] = stored(activate(loaded(input[i]), params.slope));
    }
}
