// Taps in ascending order of the positions that they read.

/// The tap of the phase that is the `tap`-th in ascending order.
fn phase_tap(tap: u32, phase: Phase) -> u32 {
    return select(tap, phase.taps - 1u - tap, params.walk.reversed == 1u);
}

/// Input position of an output position at its lowest tap.
fn lowest_position(position: u32, phase: Phase) -> i32 {
    return phase.in_first + i32(phase.taps - 1u) * params.walk.tap_back + i32(position) * params.walk.in_step;
}
