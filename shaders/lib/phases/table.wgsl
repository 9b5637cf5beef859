// A problem with several phases: the phases are in a table.

@group(0) @binding(8) var<storage, read> phases: array<Phase>;

fn phase_at(index: u32) -> Phase {
    return phases[index];
}
