// ReLU: z if z is positive, otherwise 0.

fn activate(z: Sum, slope: f32) -> Sum {
    return select(z, 0.0, z <= 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

/// The derivative. Output and input are positive together, so either can be saved.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    return select(1.0, 0.0, saved <= 0.0);
}
