// Propagates a gradient back through an activation: multiplies each element by the derivative.
// use: activation/*, activation_params, element, stored

// 1: the derivative is computed from the activation's input. 0: from its output. Set by the host.
const SAVED_INPUT: u32 = 0u;

/// The activation's input or output.
@group(0) @binding(1) var<storage, read> saved: array<Stored>;
@group(0) @binding(2) var<storage, read> output_gradient: array<Stored>;
@group(0) @binding(3) var<storage, read_write> input_gradient: array<Stored>;

@compute @workgroup_size(LANES)
fn activation_back(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        let slope_here = derivative(loaded(saved[i]), SAVED_INPUT == 1u, params.slope);
        input_gradient[i] = stored(loaded(output_gradient[i]) * slope_here);
    }
}
