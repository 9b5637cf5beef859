// Hyperbolic tangent, as 2 * sigmoid(2z) - 1.
// use: logistic

fn activate(z: Sum, slope: f32) -> Sum {
    return fma(2.0, logistic(2.0 * z), -1.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let y = select(saved, activate(saved, slope), saved_input);
    return fma(-y, y, 1.0);
}
