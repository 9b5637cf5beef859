// Matrix product of packed weights and tiles of columns, stored to the output positions of each phase.
//
// A workgroup of SIDE x SIDE invocations computes SIDE * TILE_ROWS output rows of one tile of columns. It stages DEPTH rows of the tile at
// a time in workgroup memory.
// use: workgroup, correlation, output, columns, columns_read

// Invocations along rows and along positions.
const SIDE: u32 = 8u;
// Output rows of one invocation.
const TILE_ROWS: u32 = 4u;
// Rows of a tile that are staged at once. The depth of a tile is a multiple of this number.
const DEPTH: u32 = 16u;
const TILE_POSITIONS: u32 = POSITIONS / SIDE;
const ROWS: u32 = TILE_ROWS * SIDE;

// Packed weights: [rows, depth, taps] for each phase and group.
@group(0) @binding(2) var<storage, read> packed: array<Stored>;

var<workgroup> staged_weights: array<array<Sum, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Sum, POSITIONS>, DEPTH>;

@compute @workgroup_size(SIDE, SIDE)
fn gemm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32, @builtin(local_invocation_id) place: vec3<u32>) {
    let index = index_of(workgroup);
    if (index >= params.problem.workgroups) {
        return;
    }
    let tile = index / params.tiles.row_tiles;
    let row_first = (index % params.tiles.row_tiles) * ROWS;
    let pair = params.tiles.pair_first + tile / params.tiles.column_tiles;
    let phase = phase_at(pair % params.problem.phases);
    let group = pair / params.problem.phases;
    let depth = params.problem.depth * phase.taps;
    let w_first = (params.problem.groups * phase.taps_before + group * phase.taps) * params.problem.rows * params.problem.depth;
    let columns_first = tile * params.tiles.depth * POSITIONS;

    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    for (var first = 0u; first < depth; first += DEPTH) {
        for (var i = lane; i < DEPTH * ROWS; i += SIDE * SIDE) {
            let row = row_first + i / DEPTH;
            let d = first + i % DEPTH;
            var value = Sum(0);
            if (row < params.problem.rows && d < depth) {
                value = loaded(packed[w_first + row * depth + d]);
            }
            staged_weights[i % DEPTH][i / DEPTH] = value;
        }
        for (var d = 0u; d < DEPTH; d++) {
            staged_columns[d][lane] = loaded(columns[columns_first + (first + d) * POSITIONS + lane]);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            var values: array<Sum, TILE_POSITIONS>;
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                values[p] = staged_columns[d][p * SIDE + place.x];
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = staged_weights[d][place.y * TILE_ROWS + r];
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, values[p], sums[r][p]);
                }
            }
        }
        workgroupBarrier();
    }

    for (var p = 0u; p < TILE_POSITIONS; p++) {
        let column = column_at(tile % params.tiles.column_tiles, p * SIDE + place.x);
        if (column.n < params.problem.batch && column.position < phase.count) {
            let out_first = output_at(column.n, group, phase) + column.position * params.output.step;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let row = row_first + place.y * TILE_ROWS + r;
                if (row < params.problem.rows) {
                    let out = out_first + row * params.output.row;
                    store_output(out, sums[r][p] + start_of_sum(out, group, row));
                }
            }
        }
    }
}
