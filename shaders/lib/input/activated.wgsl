// The input is a gradient. Each loaded element is multiplied by the derivative of an activation.
// use: saved

fn load_input(at: u32) -> Sum {
    return loaded(input[at]) * derivative_at(at - params.skips.input, params.input.slope);
}

/// Adds an element to a sum.
fn add_input(at: u32, sum: Sum) -> Sum {
    return fma(loaded(input[at]), derivative_at(at - params.skips.input, params.input.slope), sum);
}
