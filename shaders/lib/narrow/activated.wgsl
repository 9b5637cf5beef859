// The narrow operand is a gradient. Each loaded element is multiplied by the derivative of an activation.
// use: saved

fn load_narrow(at: u32) -> Sum {
    return loaded(narrow[at]) * derivative_at(at - params.skips.narrow, params.narrow.slope);
}
