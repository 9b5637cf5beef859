// No activation.

fn activate(z: Sum, slope: f32) -> Sum {
    return z;
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return z + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    return Sum(1);
}
