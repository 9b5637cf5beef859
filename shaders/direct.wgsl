// Direct correlation: every invocation keeps a tile of output rows x positions in registers and walks over depth and taps.
//
// Computes forward, input gradient and transposed convolution of any geometry, without workspace or workgroup memory. If samples are
// shifted, a position's sample at the next tap is its neighbour's sample at the current tap, so each sample is loaded once.
// use: workgroup, correlation, sample, weight, output, walk

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 64u;
const LANES_ROWS: u32 = 1u;
// Output rows and positions of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_POSITIONS: u32 = 4u;
// 1: samples are shifted through the tile. 0: every tap loads all its samples.
const SHIFTED: u32 = 1u;
// 1: many taps read only padding, and each tile visits only the taps that read a sample of the input.
const CLAMPED: u32 = 0u;

struct Tiles {
    row_tiles: u32,
    /// Tiles along the positions of one batch item, and workgroups along the positions of all batch items.
    position_tiles: u32,
    position_workgroups: u32,
}

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn direct(workgroup: Workgroup, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_first = ((rest % params.tiles.row_tiles) * LANES_ROWS + place.y) * TILE_ROWS;
    rest = rest / params.tiles.row_tiles;
    // The tiles of all batch items form one sequence, so that short rows fill the lanes.
    let tile = (rest % params.tiles.position_workgroups) * LANES_POSITIONS + place.x;
    rest = rest / params.tiles.position_workgroups;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    // Tiles of neighbouring lanes interleave: `spacing` of them cover a block without gaps.
    let spacing = params.walk.spacing;
    let n = tile / params.tiles.position_tiles;
    let in_item = tile % params.tiles.position_tiles;
    let block = in_item / spacing;
    let position_first = params.problem.position_first + block * TILE_POSITIONS * spacing + in_item % spacing;
    let position_end = min(phase.count, params.problem.position_end);
    if (n >= params.problem.batch || position_first >= position_end || row_first >= params.problem.rows) {
        return;
    }

    // Rows beyond the end repeat the last row. Positions beyond the end are computed like the others. Neither is stored.
    var w_rows: array<u32, TILE_ROWS>;
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.problem.rows - 1u);
        w_rows[r] = weight_at(group, row, phase);
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = position_first + p * spacing;
            // The sum that an output beyond the end would continue belongs to another invocation.
            if (ACCUMULATE == 0u || (row_first + r < params.problem.rows && position < position_end)) {
                sums[r][p] = start_of_sum(out_first + row * params.output.row + position * params.output.step, group, row);
            }
        }
    }

    let neighbour = i32(spacing) * params.walk.in_step;
    let in_position = lowest_position(position_first, phase);
    // The range of taps that are visited.
    var tap_begin = 0u;
    var tap_end = phase.taps;
    if (CLAMPED == 1u) {
        let before = -(in_position + i32(TILE_POSITIONS - 1u) * neighbour);
        let after = i32(params.input.length) - in_position;
        let tap_step = u32(params.walk.tap_step);
        tap_end = min((u32(max(after, 0)) + tap_step - 1u) / tap_step, phase.taps);
        tap_begin = min((u32(max(before, 0)) + tap_step - 1u) / tap_step, tap_end);
    }
    var in_row = input_at(n, group);
    var w_row = 0u;
    // One loop over depth and residues (taps if not shifted) instead of two nested ones: llvmpipe copies the sums for each nested loop.
    var q = select(0u, params.problem.depth, tap_begin == tap_end);
    var first = tap_begin;
    while (q < params.problem.depth) {
        var samples: array<Sum, TILE_POSITIONS>;
        var first_end = tap_end;
        var taps = 1u;
        if (SHIFTED == 1u) {
            first_end = min(tap_begin + params.walk.tap_stride, tap_end);
            taps = (tap_end - 1u - first) / params.walk.tap_stride + 1u;
            for (var p = 1u; p < TILE_POSITIONS; p++) {
                samples[p] = sample(in_row, in_position + i32(first) * params.walk.tap_step + i32(p - 1u) * neighbour);
            }
        }
        for (var k = 0u; k < taps; k++) {
            let tap = first + k * params.walk.tap_stride;
            let tap_position = in_position + i32(tap) * params.walk.tap_step;
            if (SHIFTED == 1u) {
                for (var p = 1u; p < TILE_POSITIONS; p++) {
                    samples[p - 1u] = samples[p];
                }
                samples[TILE_POSITIONS - 1u] = sample(in_row, tap_position + i32(TILE_POSITIONS - 1u) * neighbour);
            } else {
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    samples[p] = sample(in_row, tap_position + i32(p) * neighbour);
                }
            }
            let w_tap = w_row + phase_tap(tap, phase) * params.weight.tap;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = loaded(weight[w_rows[r] + w_tap]);
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, samples[p], sums[r][p]);
                }
            }
        }
        first++;
        if (first >= first_end) {
            first = tap_begin;
            q++;
            in_row += params.input.length;
            w_row += params.weight.depth;
        }
    }

    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let row = row_first + r;
            let position = position_first + p * spacing;
            if (row < params.problem.rows && position < position_end) {
                store_output(out_first + row * params.output.row + position * params.output.step, sums[r][p]);
            }
        }
    }
}
