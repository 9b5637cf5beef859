// GELU: z * Phi(z), where Phi is the distribution function of the standard normal distribution.
//
// Phi(-a) = e^(-a^2/2) * mills(a) for a >= 0, and Phi(a) = 1 - Phi(-a). So small values of Phi keep their digits. The result is
// multiplied by 2^exponent last: Phi(-a) may be too small for a float where the result is not. From a = 14.5 on the result is 0 or z.
// use: exponential

/// Phi(-a) * e^(a^2/2), which is Mills' ratio divided by sqrt(2 pi), for `a` from 0 to 14.5: a minimax fit of degree 9 without a constant,
/// in 1 / (1 + 0.35 a), as for the error function in Numerical Recipes (Press and others, 3rd ed., section 6.2.2). Its relative error is
/// at most 0.8 * 2^-24.
fn mills(a: Sum) -> Sum {
    let t = 1.0 / fma(0.35, a, 1.0);
    var sum = fma(-0.02915803, t, 0.14403161);
    sum = fma(sum, t, -0.25584042);
    sum = fma(sum, t, 0.1593213);
    sum = fma(sum, t, -0.02321341);
    sum = fma(sum, t, 0.105552934);
    sum = fma(sum, t, 0.11982118);
    sum = fma(sum, t, 0.13986352);
    sum = fma(sum, t, 0.1396213);
    return sum * t;
}

/// The parts of e^(-a^2/2). The square of the upper half of the digits of `a` is exact. The rest of a^2/2 is subtracted after the range
/// reduction.
fn bell(a: Sum) -> Exponential {
    let upper = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    let x = -0.5 * upper * upper;
    let exponent = exponent_of(x);
    return exponential_of(exponent, fma(-0.5 * (a - upper), a + upper, rest_of(x, exponent)));
}

fn activate(z: Sum, slope: f32) -> Sum {
    let a = min(abs(z), 14.5);
    let e = bell(a);
    let tail = times_power_of_two(a * (e.mantissa * mills(a)), e.exponent);
    // A NaN is not below 0, and stays NaN.
    return select(z - tail, -tail, z < 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

/// The derivative, Phi(z) + z * phi(z) with the density phi. `saved` is the input of the activation.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let a = min(abs(saved), 14.5);
    let e = bell(a);
    let tail = times_power_of_two(e.mantissa * fma(-0.3989423, a, mills(a)), e.exponent);
    let finite = select(1.0 - tail, tail, saved < 0.0);
    return select(finite, saved, saved != saved);
}
