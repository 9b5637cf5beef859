// The exponential function, by a range reduction and a polynomial. WGSL lets its own `exp` be off by 3 + 2|x| units in the last place.
//
// x = exponent * ln 2 + rest, with rest from 0 to ln 2, so e^x = 2^exponent * e^rest. ln 2 is the sum of two constants. The first has few
// digits, so its product with the exponent is exact (Cody, Waite: Software Manual for the Elementary Functions, 1980). The polynomial is a
// minimax fit of degree 6 to e^rest * (1 - 2^-23 * (rest / ln 2)^3).
//
// The result does not decrease as x grows. Within an exponent, all coefficients and the rest are positive, so every rounded step is
// monotone. From one exponent to the next, the factor in the fit keeps the polynomial below 2, by more than the rounding of its steps.
// The relative error is at most 4 * 2^-24 if every operation rounds to nearest.

/// e^x is mantissa * 2^exponent. The mantissa is from 1 to 2.
struct Exponential {
    mantissa: Sum,
    exponent: i32,
}

/// The exponent of e^x, as a float.
fn exponent_of(x: Sum) -> Sum {
    return floor(x * 1.44269504);
}

/// x - exponent * ln 2.
fn rest_of(x: Sum, exponent: Sum) -> Sum {
    return fma(exponent, 2.12194440e-4, fma(-exponent, 0.693359375, x));
}

/// 2^exponent * e^rest.
fn exponential_of(exponent: Sum, rest: Sum) -> Exponential {
    var sum = fma(0.0019123887, rest, 0.007868279);
    sum = fma(sum, rest, 0.041854613);
    sum = fma(sum, rest, 0.16663156);
    sum = fma(sum, rest, 0.50000226);
    sum = fma(sum, rest, 1.0);
    return Exponential(fma(sum, rest, 1.0), i32(exponent));
}

/// The parts of e^x, for |x| of at most 2^20.
fn exponential_parts(x: Sum) -> Exponential {
    let exponent = exponent_of(x);
    return exponential_of(exponent, rest_of(x, exponent));
}

/// e^x, for |x| of at most 87.4.
fn exponential_inside(x: Sum) -> Sum {
    let parts = exponential_parts(x);
    return parts.mantissa * power_of_two(parts.exponent);
}

/// e^x, for any x. Below -87.33 the result, less than the smallest normal number, is 0; above 88.72 it overflows.
fn exponential(x: Sum) -> Sum {
    let e = exponential_parts(clamp(x, -87.33, 88.72));
    let value = e.mantissa * power_of_two(e.exponent);
    return select(select(value, 0.0, x < -87.33), x * 1e38, !(x <= 88.72));
}

/// 2^exponent, for exponents from -126 to 127.
fn power_of_two(exponent: i32) -> Sum {
    return bitcast<f32>((exponent << 23u) + 0x3f800000);
}

/// value * 2^exponent, for exponents from -253 to 0 and values of less than 2^127. Results below the smallest normal number are 0. The
/// exponent is added to that of `value`: a product with 2^exponent would need two factors, since 2^exponent may be too small for a float,
/// and drivers reorder products.
fn times_power_of_two(value: Sum, exponent: i32) -> Sum {
    let bits = bitcast<i32>(value) + (exponent << 23u);
    let size = bitcast<i32>(abs(value)) + (exponent << 23u);
    return select(bitcast<f32>(bits), 0.0, size < 0x00800000);
}
