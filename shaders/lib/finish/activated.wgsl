// An activation of a complete sum is the output.
// use: activation/*

fn finish(z: Sum) -> Sum {
    return activate(z, params.output.slope);
}

/// The same plus a residual.
fn finish_onto(residual: Sum, z: Sum) -> Sum {
    return activate_onto(residual, z, params.output.slope);
}
