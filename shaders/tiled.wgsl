// Tiled correlation: the implicit matrix product of a convolution. A workgroup stages the samples that its positions read, once for all
// staged taps, and the weights of its rows. Every invocation keeps a tile of rows x positions in registers.
// use: workgroup, correlation, sample, packed, output

// Invocations along positions and along output rows.
const LANES_POSITIONS: u32 = 16u;
const LANES_ROWS: u32 = 4u;
// Output rows, in whole vectors of four, and positions of one invocation.
const TILE_ROWS: u32 = 8u;
const TILE_POSITIONS: u32 = 8u;
// Input positions from one output position to the next, if small enough for a constant. 0: `tiles.in_step` is used.
const IN_STEP: u32 = 1u;
// Capacity of the staging memory: samples, and also weights, that are staged at once.
const STAGED: u32 = 2048u;

const INVOCATIONS: u32 = LANES_POSITIONS * LANES_ROWS;
const ROWS: u32 = LANES_ROWS * TILE_ROWS;
const POSITIONS: u32 = LANES_POSITIONS * TILE_POSITIONS;

struct Tiles {
    row_tiles: u32,
    position_tiles: u32,
    /// Input positions from one output position, and from one tap, to the next.
    in_step: u32,
    tap_step: i32,
    /// Input rows and taps that are staged at once, and samples of a staged row.
    depth: u32,
    taps: u32,
    samples: u32,
}

var<workgroup> staged_samples: array<Sum, STAGED>;
var<workgroup> staged_weights: array<vec4<Stored>, STAGED / 4u>;

@compute @workgroup_size(LANES_POSITIONS, LANES_ROWS)
fn tiled(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    // Consecutive workgroups read the same input.
    let row_tile = rest % params.tiles.row_tiles;
    rest = rest / params.tiles.row_tiles;
    let position_first = params.problem.position_first + (rest % params.tiles.position_tiles) * POSITIONS;
    rest = rest / params.tiles.position_tiles;
    let n = rest % params.problem.batch;
    rest = rest / params.problem.batch;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let position_end = min(phase.count, params.problem.position_end);

    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let in_step = select(IN_STEP, params.tiles.in_step, IN_STEP == 0u);
    let tap_step = u32(params.tiles.tap_step);
    let in_first = input_at(n, group);
    let in_position = phase.in_first + i32(position_first * in_step);
    let packed_tile = packed_at(phase, group, row_tile, params.tiles.row_tiles);
    for (var q_first = 0u; q_first < params.problem.depth; q_first += params.tiles.depth) {
        let depth = min(params.tiles.depth, params.problem.depth - q_first);
        for (var t_first = 0u; t_first < phase.taps; t_first += params.tiles.taps) {
            let taps = min(params.tiles.taps, phase.taps - t_first);
            let reach = i32(taps - 1u) * params.tiles.tap_step;
            let lowest = in_position + i32(t_first) * params.tiles.tap_step + min(reach, 0);
            let span = (POSITIONS - 1u) * in_step + u32(abs(reach)) + 1u;
            workgroupBarrier();
            for (var q = 0u; q < depth; q++) {
                let in_row = in_first + (q_first + q) * params.input.length;
                // The comparison is modulo 2^32, as in `sample`: a tile may end at a position that does not fit an i32.
                let reached = u32(lowest - params.input.touched_first);
                if (reached < params.input.touched && reached + span - 1u < params.input.touched) {
                    for (var i = lane; i < span; i += INVOCATIONS) {
                        staged_samples[q * params.tiles.samples + i] = load_input(in_row + u32(lowest) + i);
                    }
                } else {
                    for (var i = lane; i < span; i += INVOCATIONS) {
                        staged_samples[q * params.tiles.samples + i] = sample(in_row, lowest + i32(i));
                    }
                }
                let packed_row = (packed_tile + (q_first + q) * phase.taps + t_first) * (ROWS / 4u);
                for (var i = lane; i < taps * (ROWS / 4u); i += INVOCATIONS) {
                    staged_weights[q * taps * (ROWS / 4u) + i] = packed[packed_row + i];
                }
            }
            workgroupBarrier();
            var w_at = place.y;
            for (var q = 0u; q < depth; q++) {
                var sample_at = q * params.tiles.samples + u32(-min(reach, 0)) + place.x * in_step;
                for (var t = 0u; t < taps; t++) {
                    var samples: array<Sum, TILE_POSITIONS>;
                    for (var p = 0u; p < TILE_POSITIONS; p++) {
                        samples[p] = staged_samples[sample_at + p * (LANES_POSITIONS * in_step)];
                    }
                    for (var a = 0u; a < TILE_ROWS / 4u; a++) {
                        let w = vec4<Sum>(staged_weights[w_at + a * LANES_ROWS]);
                        for (var p = 0u; p < TILE_POSITIONS; p++) {
                            sums[4u * a][p] = fma(w.x, samples[p], sums[4u * a][p]);
                            sums[4u * a + 1u][p] = fma(w.y, samples[p], sums[4u * a + 1u][p]);
                            sums[4u * a + 2u][p] = fma(w.z, samples[p], sums[4u * a + 2u][p]);
                            sums[4u * a + 3u][p] = fma(w.w, samples[p], sums[4u * a + 3u][p]);
                        }
                    }
                    sample_at += tap_step;
                    w_at += ROWS / 4u;
                }
            }
        }
    }

    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row_tile * ROWS + ((r / 4u) * LANES_ROWS + place.y) * 4u + r % 4u;
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            let position = position_first + place.x + p * LANES_POSITIONS;
            if (row < params.problem.rows && position < position_end) {
                let out = out_first + row * params.output.row + position * params.output.step;
                store_output(out, start_of_sum(out, group, row) + sums[r][p]);
            }
        }
    }
}
