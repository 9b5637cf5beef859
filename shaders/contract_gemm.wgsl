// Contraction over positions (weight gradient) as a matrix product of the narrow rows and the transposed tiles of columns.
//
// A workgroup of SIDE x SIDE invocations computes SIDE * TILE_ROWS output rows x SIDE * TILE_COLUMNS (depth, tap) pairs. It sums over
// the tiles of columns of a split.
// use: workgroup, contraction, narrow, partials, split, columns, columns_read

// Invocations along rows and along (depth, tap) pairs.
const SIDE: u32 = 8u;
// Output rows, and (depth, tap) pairs, of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_COLUMNS: u32 = 4u;
// Positions that are staged at once.
const DEPTH: u32 = 16u;
const ROWS: u32 = TILE_ROWS * SIDE;
const COLUMNS: u32 = TILE_COLUMNS * SIDE;

var<workgroup> staged_narrow: array<array<Sum, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Sum, COLUMNS>, DEPTH>;

@compute @workgroup_size(SIDE, SIDE)
fn contract_gemm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32, @builtin(local_invocation_id) place: vec3<u32>) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let column_first = (rest % params.tiles.pair_tiles) * COLUMNS;
    rest = rest / params.tiles.pair_tiles;
    let row_first = (rest % params.tiles.row_tiles) * ROWS;
    rest = rest / params.tiles.row_tiles;
    let slice_group = rest % params.problem.groups;
    let split = rest / params.problem.groups;
    let group = params.tiles.pair_first + slice_group;
    let column_end = params.problem.depth * params.problem.taps;

    // The terms of a split are tiles of columns, in blocks.
    let out_first = partials_at(split, group);
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<Sum, TILE_COLUMNS>, TILE_ROWS>();
        for (var tile = block; tile < end; tile++) {
            let tile_first = (slice_group * params.tiles.column_tiles + tile) * params.tiles.depth * POSITIONS;
            for (var first = 0u; first < POSITIONS; first += DEPTH) {
                for (var i = lane; i < DEPTH * ROWS; i += SIDE * SIDE) {
                    let row = row_first + i / DEPTH;
                    let column = column_at(tile, first + i % DEPTH);
                    var value = Sum(0);
                    if (row < params.problem.rows && column.n < params.problem.batch) {
                        value = load_narrow(narrow_at(column.n, group) + row * params.narrow.length + column.position);
                    }
                    staged_narrow[i % DEPTH][i / DEPTH] = value;
                }
                for (var i = lane; i < DEPTH * COLUMNS; i += SIDE * SIDE) {
                    let pair = column_first + i / DEPTH;
                    var value = Sum(0);
                    if (pair < column_end) {
                        value = loaded(columns[tile_first + pair * POSITIONS + first + i % DEPTH]);
                    }
                    staged_columns[i % DEPTH][i / DEPTH] = value;
                }
                workgroupBarrier();
                for (var d = 0u; d < DEPTH; d++) {
                    var values: array<Sum, TILE_COLUMNS>;
                    for (var c = 0u; c < TILE_COLUMNS; c++) {
                        values[c] = staged_columns[d][c * SIDE + place.x];
                    }
                    for (var r = 0u; r < TILE_ROWS; r++) {
                        let factor = staged_narrow[d][place.y * TILE_ROWS + r];
                        for (var c = 0u; c < TILE_COLUMNS; c++) {
                            sums[r][c] = fma(factor, values[c], sums[r][c]);
                        }
                    }
                }
                workgroupBarrier();
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < TILE_ROWS; r++) {
            let row = row_first + place.y * TILE_ROWS + r;
            for (var c = 0u; c < TILE_COLUMNS; c++) {
                let column = column_first + c * SIDE + place.x;
                if (row < params.problem.rows && column < column_end) {
                    store_partial(out_first + row * params.partials.row + column, sums[r][c], first);
                }
            }
        }
    }
}
