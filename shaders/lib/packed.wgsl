// Packed weights: for each phase, group and tile of output rows [depth, taps, rows of the tile].

@group(0) @binding(2) var<storage, read> packed: array<vec4<Stored>>;

/// The first weight of a tile of a phase, in units of one tap of one input row of a tile.
fn packed_at(phase: Phase, group: u32, row_tile: u32, row_tiles: u32) -> u32 {
    return (params.problem.groups * phase.taps_before + group * phase.taps) * row_tiles * params.problem.depth
        + row_tile * params.problem.depth * phase.taps;
}
