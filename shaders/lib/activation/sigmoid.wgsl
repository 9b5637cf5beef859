// Sigmoid: 1 / (1 + e^-z).
// use: logistic

fn activate(z: Sum, slope: f32) -> Sum {
    return logistic(z);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let y = select(saved, activate(saved, slope), saved_input);
    return y * (1.0 - y);
}
