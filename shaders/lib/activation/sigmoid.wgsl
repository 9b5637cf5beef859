// Sigmoid: 1 / (1 + e^-z).
// use: exponential

/// Every step is monotone, so the result does not decrease as z grows. Below -87.3366 the result, less than the smallest normal number, is
/// 0; above 87.3366 it is 1.
fn activate(z: Sum, slope: f32) -> Sum {
    let y = 1.0 / (1.0 + exponential_inside(-z));
    return select(y, saturate(z), abs(z) > 87.3366);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let y = select(saved, activate(saved, slope), saved_input);
    return y * (1.0 - y);
}
