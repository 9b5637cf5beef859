// Packs the weight into a texture, in the order in which `texels` reads it. A texel holds four input rows of one tap, or four taps of one
// input row.
// use: workgroup, correlation, weight, walk, texture_written

// Output rows of a tile.
const TILE_ROWS: u32 = 8u;

struct Tiles {
    row_tiles: u32,
    /// Workgroups of each phase.
    phase_workgroups: u32,
    /// Rows of texels (units): `full_units` with `unit_taps` texels of taps, then those with the last taps.
    units: u32,
    full_units: u32,
    unit_taps: u32,
    /// Texels of weights of an output row, all phases together.
    steps: u32,
}

@compute @workgroup_size(LANES)
fn texels_weight(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let tiles = params.tiles;
    let phase = phase_at(index / tiles.phase_workgroups);
    var rest = (index % tiles.phase_workgroups) * LANES + lane;
    // Texels of weights of an output row in this phase.
    var steps = tiles.units * phase.taps;
    if (TEXEL_TAPS == 1u) {
        steps = tiles.steps;
    }
    let r = rest % TILE_ROWS;
    rest = rest / TILE_ROWS;
    if (rest >= steps * tiles.row_tiles * params.problem.groups) {
        return;
    }
    let step = rest % steps;
    let tile = rest / steps;
    let row = (tile % tiles.row_tiles) * TILE_ROWS + r;
    let group = tile / tiles.row_tiles;

    // Input row and tap of each of the four weights. Taps are counted from the lowest position.
    var q: vec4<u32>;
    var tap: vec4<u32>;
    if (TEXEL_TAPS == 0u) {
        q = (step / phase.taps) * 4u + vec4(0u, 1u, 2u, 3u);
        tap = vec4(step % phase.taps);
    } else if (step < tiles.full_units * tiles.unit_taps) {
        q = vec4(step / tiles.unit_taps);
        tap = (step % tiles.unit_taps) * 4u + vec4(0u, 1u, 2u, 3u);
    } else {
        q = vec4(step - tiles.full_units * tiles.unit_taps);
        tap = tiles.unit_taps * 4u + vec4(0u, 1u, 2u, 3u);
    }
    let w_row = weight_at(group, row, phase);
    var value = vec4<Sum>();
    for (var e = 0u; e < 4u; e++) {
        if (row < params.problem.rows && q[e] < params.problem.depth && tap[e] < phase.taps) {
            value[e] = loaded(weight[w_row + q[e] * params.weight.depth + phase_tap(tap[e], phase) * params.weight.tap]);
        }
    }
    store_texel((tile * tiles.steps + phase.taps_before * tiles.units + step) * TILE_ROWS + r, value);
}
