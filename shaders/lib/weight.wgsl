// The binding of the weight.
// use: stored

@group(0) @binding(2) var<storage, read> weight: array<Stored>;

/// Index of the first tap of a phase, in an output row.
fn weight_at(group: u32, row: u32, phase: Phase) -> u32 {
    return params.skips.weight + params.weight.base + group * params.weight.group + row * params.weight.row + phase.tap_first;
}
