// The logistic function.

/// `1 / (1 + e^-z)`, computed so that the exponential does not overflow.
fn logistic(z: Sum) -> Sum {
    let e = exp(-abs(z));
    return select(e, 1.0, z >= 0.0) / (1.0 + e);
}
