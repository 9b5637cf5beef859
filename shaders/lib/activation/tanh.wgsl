// Hyperbolic tangent.
// use: exponential

/// Up to |z| = 1/2 an odd polynomial, z + z^3 * series(z^2), where `series` is a minimax fit of degree 3; beyond it 1 - 2 / (e^2|z| + 1),
/// which loses the digits of a small z.
///
/// The result does not decrease as z grows: every step of the second formula is monotone, and the slope of the polynomial exceeds its
/// rounding errors. The second formula starts at two units in the last place above tanh(1/2), where no rounding takes the first.
fn activate(z: Sum, slope: f32) -> Sum {
    let size = abs(z);
    let square = size * size;
    var series = fma(0.017256992, square, -0.05305295);
    series = fma(series, square, 0.13325988);
    series = fma(series, square, -0.3333315);
    let near = fma(size, series * square, size);
    // From 20 on the result is 1. A NaN is not at least 1/2, and stays NaN in the polynomial.
    let far = max(1.0 - 2.0 / (exponential_inside(2.0 * min(size, 20.0)) + 1.0), 0.46211723);
    let y = select(near, far, size >= 0.5);
    return bitcast<f32>(bitcast<u32>(y) | (bitcast<u32>(z) & 0x80000000u));
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let y = select(saved, activate(saved, slope), saved_input);
    return fma(-y, y, 1.0);
}
