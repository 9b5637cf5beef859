// The gradient before the activation, with a derivative that follows from the activation's input, which is computed again.
// use: activation/*, batch_norm/params, batch_norm/scaled

fn before_activation(dy: Sum, i: u32, channel: u32) -> Sum {
    return dy * derivative(scaled(i, channel), true, params.slope);
}
