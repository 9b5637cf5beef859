// Gradients of `pointwise`: of `a`, of `b`, or of both.
// use: element, pointwise/a_gradient/*, pointwise/activation_gradient/*, pointwise/b_gradient/*, pointwise/params, stored

@group(0) @binding(5) var<storage, read> output_gradient: array<Stored>;

@compute @workgroup_size(LANES)
fn pointwise_back(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let dz = before_activation(loaded(output_gradient[i]), i);
    store_a_gradient(i, dz);
    store_b_gradient(i, dz);
}
