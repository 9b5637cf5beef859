// Correlation from textures: every invocation keeps a tile of output rows x positions in registers and multiplies texels of four input
// values with texels of four weights.
//
// A texel holds four input rows (channels) at one position, or four taps of one row. `texels_input` has staged the input in a texture,
// extended by its padding. If samples are shifted, a position's texel at the next tap is its neighbour's texel at the current tap, so
// each texel is loaded once.
// use: workgroup, correlation, output, texels/*, texture

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 64u;
const LANES_ROWS: u32 = 1u;
// Output rows and positions of one invocation.
const TILE_ROWS: u32 = 8u;
const TILE_POSITIONS: u32 = 16u;
// 1: texels are shifted through the tile. 0: every tap loads all its texels.
const SHIFTED: u32 = 1u;
// 1: a texel holds four taps of a row. 0: it holds four rows.
const TEXEL_TAPS: u32 = 0u;

struct Tiles {
    /// Tiles of output rows, and workgroups along them.
    row_tiles: u32,
    row_workgroups: u32,
    /// Tiles along the positions of one batch item, and workgroups along the positions of all batch items.
    position_tiles: u32,
    position_workgroups: u32,
    /// Rows of texels (units) that an output row sums over: `full_units` with all taps, then others with one texel of taps each.
    units: u32,
    full_units: u32,
    /// Texels of taps of a full unit, if a texel holds taps; otherwise unused.
    unit_taps: u32,
    /// Texels of a unit, the input position of the first, and input positions from one texel to the next.
    unit_texels: u32,
    texel_first: i32,
    texel_step: u32,
    /// Texels from one position to the next, from one position of a tile to the next, and from one tap to the next.
    position_texels: u32,
    neighbour_texels: u32,
    tap_texels: u32,
    /// Texels of weights of an output row, all phases together.
    steps: u32,
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn texels(workgroup: Workgroup, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_tile = (rest % params.tiles.row_workgroups) * LANES_ROWS + place.y;
    rest = rest / params.tiles.row_workgroups;
    let tile = (rest % params.tiles.position_workgroups) * LANES_POSITIONS + place.x;
    rest = rest / params.tiles.position_workgroups;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let row_first = row_tile * TILE_ROWS;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let n = tile / params.tiles.position_tiles;
    let in_item = tile % params.tiles.position_tiles;
    let block = in_item / params.walk.spacing;
    let in_block = (block * TILE_POSITIONS * params.walk.spacing) + in_item % params.walk.spacing;
    let position_first = params.problem.position_first + in_block;
    let position_end = min(phase.count, params.problem.position_end);
    if (n >= params.problem.batch || position_first >= position_end || row_first >= params.problem.rows) {
        return;
    }

    let out_first = output_at(n, group, phase);
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.problem.rows - 1u);
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = position_first + p * params.walk.spacing;
            // The sum that an output beyond the end would continue belongs to another invocation.
            if (ACCUMULATE == 0u || (row_first + r < params.problem.rows && position < position_end)) {
                sums[r][p] = start_of_sum(out_first + row * params.output.row + position * params.output.step, group, row);
            }
        }
    }

    let lowest = phase.in_first + (i32(phase.taps) - 1) * params.walk.tap_back;
    var in_unit = (n * params.problem.groups + group) * params.tiles.units * params.tiles.unit_texels
        + u32(lowest - params.tiles.texel_first) / params.tiles.texel_step
        + in_block * params.tiles.position_texels;
    var step = (group * params.tiles.row_tiles + row_tile) * params.tiles.steps + phase.taps_before * params.tiles.units;
    // One loop over units and residues (taps if not shifted) instead of two nested ones: llvmpipe copies the sums for each nested loop.
    var unit = select(0u, params.tiles.units, phase.taps == 0u);
    var first = 0u;
    while (unit < params.tiles.units) {
        var unit_taps = phase.taps;
        if (TEXEL_TAPS == 1u) {
            unit_taps = select(1u, params.tiles.unit_taps, unit < params.tiles.full_units);
        }
        var samples: array<vec4<Sum>, TILE_POSITIONS>;
        var first_end = unit_taps;
        var taps = 1u;
        if (SHIFTED == 1u) {
            first_end = min(params.walk.tap_stride, unit_taps);
            taps = (unit_taps - first + params.walk.tap_stride - 1u) / params.walk.tap_stride;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                let texel = in_unit + first * params.tiles.tap_texels + (p - 1u) * params.tiles.neighbour_texels;
                samples[p] = input_texel(texel_place(texel));
            }
        }
        for (var k = 0u; k < taps; k++) {
            let tap = first + k * params.walk.tap_stride;
            let in_tap = in_unit + tap * params.tiles.tap_texels;
            if (SHIFTED == 1u) {
                for (var p = 1u; p < TILE_POSITIONS; p++) {
                    samples[p - 1u] = samples[p];
                }
                let texel = in_tap + (TILE_POSITIONS - 1u) * params.tiles.neighbour_texels;
                samples[TILE_POSITIONS - 1u] = input_texel(texel_place(texel));
            } else {
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    samples[p] = input_texel(texel_place(in_tap + p * params.tiles.neighbour_texels));
                }
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = factor_texel(texel_place((step + tap) * TILE_ROWS + r));
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    let s = samples[p];
                    sums[r][p] = fma(w.w, s.w, fma(w.z, s.z, fma(w.y, s.y, fma(w.x, s.x, sums[r][p]))));
                }
            }
        }
        first++;
        if (first >= first_end) {
            first = 0u;
            unit++;
            step += unit_taps;
            in_unit += params.tiles.unit_texels;
        }
    }

    for (var p = 0u; p < TILE_POSITIONS; p++) {
        for (var r = 0u; r < TILE_ROWS; r++) {
            let row = row_first + r;
            let position = position_first + p * params.walk.spacing;
            if (row < params.problem.rows && position < position_end) {
                store_output(out_first + row * params.output.row + position * params.output.step, sums[r][p]);
            }
        }
    }
}
