// SiLU: z * sigmoid(z).
// use: logistic

fn activate(z: Sum, slope: f32) -> Sum {
    return z * logistic(z);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return fma(z, logistic(z), residual);
}

/// The derivative. `saved` is the input of the activation.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let s = logistic(saved);
    return s * fma(saved, 1.0 - s, 1.0);
}
