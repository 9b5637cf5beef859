// Contraction over positions (weight gradient) as an implicit matrix product: narrow rows times (depth, tap) columns. A workgroup
// stages both sides of a few positions in workgroup memory, and every invocation keeps a tile of sums in registers.
// use: workgroup, contraction, sample, narrow, partials, split

// Invocations along columns and along output rows.
const LANES_COLUMNS: u32 = 16u;
const LANES_ROWS: u32 = 8u;
// Output rows and columns of one invocation, in whole vectors of four.
const TILE_ROWS: u32 = 8u;
const TILE_COLUMNS: u32 = 8u;
// Positions that are staged at once, and positions of an unrolled step.
const STAGE: u32 = 16u;
const UNROLLED: u32 = 4u;

const INVOCATIONS: u32 = LANES_COLUMNS * LANES_ROWS;
const ROWS: u32 = LANES_ROWS * TILE_ROWS;
const COLUMNS: u32 = LANES_COLUMNS * TILE_COLUMNS;
// Invocations that stage the same position.
const UNITS: u32 = INVOCATIONS / STAGE;
// Vectors of a staged position, plus one that keeps neighbouring positions in different banks.
const ROW_VECTORS: u32 = ROWS / 4u + 1u;
const COLUMN_VECTORS: u32 = COLUMNS / 4u + 1u;

struct Tiles {
    row_tiles: u32,
    column_tiles: u32,
}

var<workgroup> staged_rows: array<vec4<Sum>, STAGE * ROW_VECTORS>;
var<workgroup> staged_columns: array<vec4<Sum>, STAGE * COLUMN_VECTORS>;
// For each column: index of its input row in batch item 0, and the input position of its tap at position 0.
var<workgroup> column_rows: array<u32, COLUMNS>;
var<workgroup> column_positions: array<i32, COLUMNS>;

@compute @workgroup_size(LANES_COLUMNS, LANES_ROWS)
fn contract_tiled(
    workgroup: Workgroup,
    @builtin(local_invocation_index) lane: u32,
    @builtin(local_invocation_id) place: vec3<u32>,
) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let column_first = (rest % params.tiles.column_tiles) * COLUMNS;
    rest = rest / params.tiles.column_tiles;
    let row_first = (rest % params.tiles.row_tiles) * ROWS;
    rest = rest / params.tiles.row_tiles;
    let group = rest % params.problem.groups;
    let split = rest / params.problem.groups;
    let column_end = params.problem.depth * params.problem.taps;

    // Rows and columns beyond the end repeat the last row or column and are not stored.
    for (var c = lane; c < COLUMNS; c += INVOCATIONS) {
        let column = min(column_first + c, column_end - 1u);
        column_rows[c] = input_at(0u, group) + column / params.problem.taps * params.input.length;
        column_positions[c] = params.problem.in_first + i32(column % params.problem.taps * params.problem.dilation);
    }
    let unit_position = lane % STAGE;
    let unit = lane / STAGE;
    // The positions of all batch items form one sequence. A split sums stages of it, in blocks.
    let out_first = partials_at(split, group);
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<Sum, TILE_COLUMNS>, TILE_ROWS>();
        for (var stage = block; stage < end; stage++) {
            let sequence = stage * STAGE + unit_position;
            let n = sequence / params.problem.positions;
            let position = params.problem.position_first + sequence % params.problem.positions;
            workgroupBarrier();
            for (var v = unit; v < ROWS / 4u; v += UNITS) {
                var values = vec4<Sum>();
                if (n < params.problem.batch) {
                    for (var e = 0u; e < 4u; e++) {
                        let row = min(row_first + 4u * v + e, params.problem.rows - 1u);
                        values[e] = load_narrow(narrow_at(n, group) + row * params.narrow.length + position);
                    }
                }
                staged_rows[unit_position * ROW_VECTORS + v] = values;
            }
            for (var v = unit; v < COLUMNS / 4u; v += UNITS) {
                var values = vec4<Sum>();
                if (n < params.problem.batch) {
                    for (var e = 0u; e < 4u; e++) {
                        let c = 4u * v + e;
                        let in_position = column_positions[c] + i32(position * params.problem.stride);
                        values[e] = sample(column_rows[c] + n * params.input.batch, in_position);
                    }
                }
                staged_columns[unit_position * COLUMN_VECTORS + v] = values;
            }
            workgroupBarrier();
            var column_at = place.x;
            var row_at = place.y;
            for (var j = 0u; j < STAGE; j += UNROLLED) {
                for (var u = 0u; u < UNROLLED; u++) {
                    var values: array<vec4<Sum>, TILE_COLUMNS / 4u>;
                    for (var a = 0u; a < TILE_COLUMNS / 4u; a++) {
                        values[a] = staged_columns[column_at + u * COLUMN_VECTORS + a * LANES_COLUMNS];
                    }
                    for (var a = 0u; a < TILE_ROWS / 4u; a++) {
                        let factors = staged_rows[row_at + u * ROW_VECTORS + a * LANES_ROWS];
                        for (var c = 0u; c < TILE_COLUMNS; c++) {
                            let value = values[c / 4u][c % 4u];
                            sums[4u * a][c] = fma(factors.x, value, sums[4u * a][c]);
                            sums[4u * a + 1u][c] = fma(factors.y, value, sums[4u * a + 1u][c]);
                            sums[4u * a + 2u][c] = fma(factors.z, value, sums[4u * a + 2u][c]);
                            sums[4u * a + 3u][c] = fma(factors.w, value, sums[4u * a + 3u][c]);
                        }
                    }
                }
                column_at += UNROLLED * COLUMN_VECTORS;
                row_at += UNROLLED * ROW_VECTORS;
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < TILE_ROWS; r++) {
            let row = row_first + ((r / 4u) * LANES_ROWS + place.y) * 4u + r % 4u;
            for (var c = 0u; c < TILE_COLUMNS; c++) {
                let column = column_first + ((c / 4u) * LANES_COLUMNS + place.x) * 4u + c % 4u;
                if (row < params.problem.rows && column < column_end) {
                    store_partial(out_first + row * params.partials.row + column, sums[r][c], first);
                }
            }
        }
    }
}
