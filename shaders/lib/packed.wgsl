// Packed weights: [depth, taps, rows of a tile] for each phase, group and tile of output rows.

@group(0) @binding(2) var<storage, read> packed: array<vec4<Stored>>;

/// Index of the first weight of a tile. The unit is the weights of a tile for one (input row, tap) pair.
fn packed_at(phase: Phase, group: u32, row_tile: u32, row_tiles: u32) -> u32 {
    return (params.problem.groups * phase.taps_before + group * phase.taps) * row_tiles * params.problem.depth
        + row_tile * params.problem.depth * phase.taps;
}
