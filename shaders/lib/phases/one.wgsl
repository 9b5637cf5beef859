// A problem of one phase has it in its parameters.

fn phase_at(index: u32) -> Phase {
    return params.phase;
}
