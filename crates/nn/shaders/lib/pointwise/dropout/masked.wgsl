// Dropout: elements are set to 0 at random (Srivastava et al.: Dropout, JMLR 2014).
// use: step, pointwise/params, random

/// What an element is multiplied by: 0 where it is dropped in this step, and otherwise what keeps the mean. Never stored: the
/// same element of the same step of the same layer gets the same number whoever asks.
fn mask(i: u32) -> Sum {
    let random = threefry(vec2<u32>(i, step_number()), vec2<u32>(params.key_low, params.key_high));
    return select(0.0, params.scale, random >= params.dropped);
}

fn with_dropout(z: Sum, i: u32) -> Sum {
    return z * mask(i);
}
