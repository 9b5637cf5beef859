// The output is the activation of a complete sum.
// use: activation/*

fn finish(z: Sum) -> Sum {
    return activate(z, params.output.slope);
}

/// The activation plus a residual.
fn finish_onto(residual: Sum, z: Sum) -> Sum {
    return activate_onto(residual, z, params.output.slope);
}
