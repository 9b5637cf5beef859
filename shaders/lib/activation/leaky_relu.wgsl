// Leaky ReLU: z where it is positive, otherwise slope * z.

fn activate(z: Sum, slope: f32) -> Sum {
    return select(z, slope * z, z <= 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

/// The derivative, by the sign that output and input share.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    return select(1.0, slope, saved <= 0.0);
}
