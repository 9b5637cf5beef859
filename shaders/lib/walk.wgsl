// Visits taps in ascending order of input position.

/// Index within the phase of the `tap`-th tap in ascending order.
fn phase_tap(tap: u32, phase: Phase) -> u32 {
    return select(tap, phase.taps - 1u - tap, params.walk.reversed == 1u);
}

/// Lowest input position that an output position reads.
fn lowest_position(position: u32, phase: Phase) -> i32 {
    return phase.in_first + i32(phase.taps - 1u) * params.walk.tap_back + i32(position) * params.walk.in_step;
}
