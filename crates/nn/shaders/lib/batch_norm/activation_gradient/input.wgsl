// Gradient with respect to the activation's input, which is recomputed for the derivative.
// use: activation/*, batch_norm/params, batch_norm/scaled

fn before_activation(dy: Sum, i: u32, channel: u32) -> Sum {
    return dy * derivative(scaled(i, channel), true, params.slope);
}
