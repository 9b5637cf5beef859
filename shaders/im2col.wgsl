// Writes the columns of a correlation: for every output position, the samples of its sum, in tiles of POSITIONS positions.
//
// A tile of columns belongs to one (group, phase) pair. It is a matrix [depth * taps, POSITIONS], padded with zero rows to a multiple of
// the rows that the matrix product stages at once. The positions of all batch items form one sequence.
// use: workgroup, correlation, sample, output_tensor, columns

// Rows of a tile that one workgroup writes.
const TILE_DEPTH: u32 = 8u;

@compute @workgroup_size(POSITIONS)
fn im2col(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let tile = index / params.tiles.row_tiles;
    let row_first = (index % params.tiles.row_tiles) * TILE_DEPTH;
    let pair = params.tiles.pair_first + tile / params.tiles.column_tiles;
    let phase = phase_at(pair % params.problem.phases);
    let group = pair / params.problem.phases;
    let column = column_at(tile % params.tiles.column_tiles, lane);
    let inside = column.n < params.problem.batch && column.position < phase.count;
    let in_first = input_at(column.n, group);
    let in_position = phase.in_first + i32(column.position) * params.tiles.in_step;
    let out_first = tile * params.tiles.depth * POSITIONS + lane;
    for (var i = 0u; i < TILE_DEPTH; i++) {
        let row = row_first + i;
        if (row < params.tiles.depth) {
            var value = Sum(0);
            if (inside && row < params.problem.depth * phase.taps) {
                let q = row / phase.taps;
                let t = row % phase.taps;
                value = sample(in_first + q * params.input.length, in_position + i32(t) * params.tiles.tap_step);
            }
            output[out_first + row * POSITIONS] = stored(value);
        }
    }
}
