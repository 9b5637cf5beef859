// Hyperbolic tangent.
// use: exponential

/// Up to |z| = 1/2 an odd polynomial, z + z^3 * series(z^2), where `series` is a minimax fit of degree 3; beyond it 1 - 2 / (e^2|z| + 1),
/// which loses the digits of a small z. From 10 on the result is 1.
///
/// The result does not decrease as z grows: every step of the second formula is monotone, and the slope of the polynomial exceeds its
/// rounding errors. Both formulas stop at tanh(1/2) where they meet.
fn activate(z: Sum, slope: f32) -> Sum {
    let at_half = 0.46211717;
    let size = abs(z);
    let square = size * size;
    var series = fma(0.017256992, square, -0.05305295);
    series = fma(series, square, 0.13325988);
    series = fma(series, square, -0.3333315);
    let near = min(fma(size, series * square, size), at_half);
    let ratio = 1.0 - 2.0 / (exponential(2.0 * size) + 1.0);
    let far = select(select(ratio, at_half, ratio < at_half), 1.0, size > 10.0);
    let y = select(far, near, size < 0.5);
    return select(y, -y, z < 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let y = select(saved, activate(saved, slope), saved_input);
    return fma(-y, y, 1.0);
}
