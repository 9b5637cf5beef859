// Leaky ReLU: z if z is positive, otherwise slope * z.

fn activate(z: Sum, slope: f32) -> Sum {
    return select(z, slope * z, z <= 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

/// The derivative, from the sign of `saved`: the input, or the output if the slope is not negative.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    return select(1.0, slope, saved <= 0.0);
}
