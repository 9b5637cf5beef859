// Gradient with respect to the activation's input, which is recomputed for the derivative.
// use: activation/*, pointwise/params, pointwise/pre_activation

fn before_activation(dy: Sum, i: u32) -> Sum {
    return dy * derivative(pre_activation(i), true, params.slope);
}
