// The gradient before the activation, with a derivative that follows from the activation's input, which is computed again.
// use: activation/*, pointwise/params, pointwise/pre_activation

fn before_activation(dy: Sum, i: u32) -> Sum {
    return dy * derivative(pre_activation(i), true, params.slope);
}
