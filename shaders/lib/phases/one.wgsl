// A problem with one phase: the phase is a parameter.

fn phase_at(index: u32) -> Phase {
    return params.phase;
}
