// A problem of several phases has a table of them.

@group(0) @binding(8) var<storage, read> phases: array<Phase>;

fn phase_at(index: u32) -> Phase {
    return phases[index];
}
