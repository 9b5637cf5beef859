// The input is a gradient. Each element is multiplied by the derivative of an activation as it is loaded.
// use: saved

fn load_input(at: u32) -> Sum {
    return loaded(input[at]) * derivative_at(at - params.skips.input, params.input.slope);
}

/// A sum and an element.
fn add_input(at: u32, sum: Sum) -> Sum {
    return fma(loaded(input[at]), derivative_at(at - params.skips.input, params.input.slope), sum);
}
