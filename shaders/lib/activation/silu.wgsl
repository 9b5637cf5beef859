// SiLU: z * sigmoid(z), from e^-|z|, which does not overflow.
//
// For negative z the result is multiplied by 2^exponent last: e^-|z| may be too small for a float where the result is not. Below -120 the
// result is 0.
// use: exponential

/// e^-|z|, at least 2^-126: a summand of 1.
fn beside_one(e: Exponential) -> Sum {
    return e.mantissa * power_of_two(max(e.exponent, -126));
}

fn activate(z: Sum, slope: f32) -> Sum {
    // A NaN in place of z stays in the quotient.
    let size = min(abs(z), 120.0);
    let e = exponential_parts(-size);
    let quotient = select(z, -size * e.mantissa, z < 0.0) / (1.0 + beside_one(e));
    return select(quotient, times_power_of_two(quotient, e.exponent), z < 0.0);
}

/// The activation plus a residual.
fn activate_onto(residual: Sum, z: Sum, slope: f32) -> Sum {
    return activate(z, slope) + residual;
}

/// The derivative, s * (1 + z * (1 - s)) with s = sigmoid(z). 1 - s is sigmoid(-z), without cancellation. `saved` is the input of the
/// activation.
fn derivative(saved: Sum, saved_input: bool, slope: f32) -> Sum {
    let size = select(abs(saved), 120.0, abs(saved) > 120.0);
    let e = exponential_parts(-size);
    let small = beside_one(e);
    let large_sigmoid = 1.0 / (1.0 + small);
    let right = large_sigmoid * fma(size * small, large_sigmoid, 1.0);
    let left = e.mantissa * large_sigmoid * fma(-size, large_sigmoid, 1.0);
    return select(right, times_power_of_two(left, e.exponent), saved < 0.0);
}
