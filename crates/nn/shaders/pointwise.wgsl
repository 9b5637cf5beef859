// Element by element: activation(dropout(a) + b), where dropout, `b` and activation are optional.
// use: activation/*, element, pointwise/params, pointwise/pre_activation, stored

@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn pointwise(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    output[i] = stored(activate(pre_activation(i), params.slope));
}
