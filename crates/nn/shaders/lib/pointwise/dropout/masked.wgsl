// Dropout: elements are set to 0 at random (Srivastava et al.: Dropout, JMLR 2014).
// use: step, pointwise/params, random

/// Factor of an element: 0 if it is dropped in this step, otherwise the scale that keeps the mean. The mask is not
/// stored: layer, step and element determine it, so that every pass computes the same one.
fn mask(i: u32) -> Sum {
    let random = threefry(vec2<u32>(i, step_number()), vec2<u32>(params.key_low, params.key_high));
    return select(0.0, params.scale, random >= params.dropped);
}

fn with_dropout(z: Sum, i: u32) -> Sum {
    return z * mask(i);
}
