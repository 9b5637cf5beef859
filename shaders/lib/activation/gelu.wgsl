// GELU: z/2 * (1 + erf(z / sqrt(2))).

/// The error function, with an absolute error of at most 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn erf(z: Sum) -> Sum {
    let t = 1.0 / fma(0.3275911, abs(z), 1.0);
    let a = fma(t, fma(t, fma(t, 1.061405429, -1.453152027), 1.421413741), -0.284496736);
    return sign(z) * fma(-t * fma(t, a, 0.254829592), exp(-z * z), 1.0);
}

fn activate(z: Sum, slope: f32) -> Sum {
    return 0.5 * z * (1.0 + erf(z * 0.70710678));
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return fma(0.5 * z, 1.0 + erf(z * 0.70710678), residual);
}

/// The derivative. `saved` is the input of the activation.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let density = 0.39894228 * exp(-0.5 * saved * saved);
    return fma(saved, density, 0.5 * (1.0 + erf(saved * 0.70710678)));
}
