// A complete sum is the output.

fn finish(z: Sum) -> Sum {
    return z;
}

/// The same plus a residual.
fn finish_onto(residual: Sum, z: Sum) -> Sum {
    return z + residual;
}
