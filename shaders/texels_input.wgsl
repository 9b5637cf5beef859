// Stages rows of a tensor in a texture, extended by their padding: a texel holds four rows at one position, or four taps of one row.
// use: workgroup, correlation, sample, texture_written

// Texels per invocation.
const TILE: u32 = 4u;

struct Tiles {
    /// Rows of texels (units) of a group and batch item: `full_units` with all taps, then those with the last taps.
    units: u32,
    full_units: u32,
    /// Texels of a unit, and workgroups along them.
    unit_texels: u32,
    unit_workgroups: u32,
    /// Input position of a unit's first texel, and positions from one texel to the next and from one tap to the next.
    texel_first: i32,
    texel_step: u32,
    tap_step: u32,
    /// The last taps: the first of them, and their number.
    last_tap: u32,
    last_taps: u32,
}

@compute @workgroup_size(LANES)
fn texels_input(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let tiles = params.tiles;
    let row = index / tiles.unit_workgroups;
    let lane_first = (index % tiles.unit_workgroups) * LANES * TILE + lane;
    let item = row / tiles.units;
    let unit = row % tiles.units;
    let in_first = input_at(item / params.problem.groups, item % params.problem.groups);
    for (var i = 0u; i < TILE; i++) {
        let texel = lane_first + i * LANES;
        if (texel < tiles.unit_texels) {
            let position = tiles.texel_first + i32(texel * tiles.texel_step);
            var value = vec4<Sum>();
            if (TEXEL_TAPS == 0u) {
                for (var e = 0u; e < 4u; e++) {
                    let q = unit * 4u + e;
                    if (q < params.problem.depth) {
                        value[e] = sample(in_first + q * params.input.length, position);
                    }
                }
            } else {
                let full = unit < tiles.full_units;
                let q = select(unit - tiles.full_units, unit, full);
                let tap = select(tiles.last_tap, 0u, full);
                for (var e = 0u; e < 4u; e++) {
                    if (full || e < tiles.last_taps) {
                        value[e] = sample(in_first + q * params.input.length, position + i32((tap + e) * tiles.tap_step));
                    }
                }
            }
            store_texel(row * tiles.unit_texels + texel, value);
        }
    }
}
