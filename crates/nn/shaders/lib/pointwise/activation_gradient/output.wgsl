// Gradient with respect to the activation's input; the derivative is computed from its output.
// use: activation/*, pointwise/params, stored

@group(0) @binding(4) var<storage, read> output: array<Stored>;

fn before_activation(dy: Sum, i: u32) -> Sum {
    return dy * derivative(loaded(output[i]), false, params.slope);
}
