// Packs the weight as [depth, taps, TILE_ROWS] for each phase, group and tile of output rows.
// use: workgroup, correlation, weight, output_tensor

// Output rows of a tile. The last tile is padded with zeros.
const TILE_ROWS: u32 = 1u;

struct Tiles {
    row_tiles: u32,
    /// Workgroups of each phase.
    phase_workgroups: u32,
}

@compute @workgroup_size(LANES)
fn pack(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let phase = phase_at(index / params.tiles.phase_workgroups);
    let element = (index % params.tiles.phase_workgroups) * LANES + lane;
    let all_rows = params.problem.groups * params.tiles.row_tiles * TILE_ROWS;
    if (element >= all_rows * params.problem.depth * phase.taps) {
        return;
    }
    var rest = element / TILE_ROWS;
    let t = rest % phase.taps;
    rest = rest / phase.taps;
    let q = rest % params.problem.depth;
    rest = rest / params.problem.depth;
    let row = (rest % params.tiles.row_tiles) * TILE_ROWS + element % TILE_ROWS;
    let group = rest / params.tiles.row_tiles;
    var value = Stored(0);
    if (row < params.problem.rows) {
        value = weight[weight_at(group, row, phase) + q * params.weight.depth + t * params.weight.tap];
    }
    output[params.skips.output + all_rows * params.problem.depth * phase.taps_before + element] = value;
}
