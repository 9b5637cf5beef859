// Weight gradient from textures: every invocation keeps a tile of output rows x (input row, tap) columns in registers and sums products
// of texels over the positions of a split.
//
// A texel of the narrow side holds four output rows at one position. A texel of the wide side, which is extended by its padding, holds
// four input rows at one position or four taps of one input row. A split sums steps of a few positions, item after item.
// use: workgroup, contraction, partials, split, texels/*, texture

// Texels of output rows and of columns of one invocation.
const ROW_TEXELS: u32 = 2u;
const COLUMN_TEXELS: u32 = 4u;
// Positions of a step.
const STEP: u32 = 2u;
// 1: a texel of the wide side holds four taps of a row. 0: it holds four rows.
const TEXEL_TAPS: u32 = 0u;

struct Tiles {
    /// Tiles along rows, tiles along columns, and all tiles of a split.
    row_tiles: u32,
    column_tiles: u32,
    tiles: u32,
    splits: u32,
    /// Steps of an item.
    steps: u32,
    /// The narrow side: units of four rows, and texels of a unit.
    narrow_units: u32,
    narrow_texels: u32,
    /// The wide side: units, columns of a unit, texels of a unit, texels from one position to the next and from one column to the next.
    wide_units: u32,
    unit_columns: u32,
    wide_texels: u32,
    position_texels: u32,
    column_texels: u32,
}

@compute @workgroup_size(LANES)
fn contract_texels(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let index = index_of(workgroup);
    let tiles = params.tiles;
    let split = (index * LANES + lane) / tiles.tiles;
    if (index >= params.problem.workgroups || split >= tiles.splits) {
        return;
    }
    var rest = (index * LANES + lane) % tiles.tiles;
    let column_first = (rest % tiles.column_tiles) * COLUMN_TEXELS;
    rest = rest / tiles.column_tiles;
    let row_first = (rest % tiles.row_tiles) * ROW_TEXELS;
    let group = rest / tiles.row_tiles;

    // Rows and columns beyond the end repeat the last texel and are not stored.
    var narrow_rows: array<u32, ROW_TEXELS>;
    for (var a = 0u; a < ROW_TEXELS; a++) {
        let unit = min(row_first + a, tiles.narrow_units - 1u);
        narrow_rows[a] = (group * tiles.narrow_units + unit) * tiles.narrow_texels;
    }
    var wide_columns: array<u32, COLUMN_TEXELS>;
    for (var c = 0u; c < COLUMN_TEXELS; c++) {
        let column = min(column_first + c, tiles.wide_units * tiles.unit_columns - 1u);
        let unit = group * tiles.wide_units + column / tiles.unit_columns;
        wide_columns[c] = unit * tiles.wide_texels + (column % tiles.unit_columns) * tiles.column_texels;
    }

    let narrow_step = params.problem.groups * tiles.narrow_units * tiles.narrow_texels;
    let wide_step = params.problem.groups * tiles.wide_units * tiles.wide_texels;
    var narrow_item = (split_first(split) / tiles.steps) * narrow_step;
    var wide_item = (split_first(split) / tiles.steps) * wide_step;
    var step = split_first(split) % tiles.steps;
    let out_first = partials_at(split, group);
    // A split sums its steps in blocks.
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<vec4<Sum>, COLUMN_TEXELS>, 4u * ROW_TEXELS>();
        for (var i = block; i < end; i++) {
            for (var u = 0u; u < STEP; u++) {
                // The last step may be short. Positions beyond the end contribute zero, even if the texel read in their place is not
                // finite.
                let inside = u == 0u || step * STEP + u < params.problem.positions;
                let position = min(step * STEP + u, params.problem.positions - 1u);
                var samples: array<vec4<Sum>, COLUMN_TEXELS>;
                for (var c = 0u; c < COLUMN_TEXELS; c++) {
                    let texel = wide_item + wide_columns[c] + position * tiles.position_texels;
                    samples[c] = select(vec4<Sum>(), input_texel(texel_place(texel)), inside);
                }
                for (var a = 0u; a < ROW_TEXELS; a++) {
                    let texel = narrow_item + narrow_rows[a] + position;
                    let g = select(vec4<Sum>(), factor_texel(texel_place(texel)), inside);
                    for (var c = 0u; c < COLUMN_TEXELS; c++) {
                        sums[4u * a][c] = fma(vec4(g.x), samples[c], sums[4u * a][c]);
                        sums[4u * a + 1u][c] = fma(vec4(g.y), samples[c], sums[4u * a + 1u][c]);
                        sums[4u * a + 2u][c] = fma(vec4(g.z), samples[c], sums[4u * a + 2u][c]);
                        sums[4u * a + 3u][c] = fma(vec4(g.w), samples[c], sums[4u * a + 3u][c]);
                    }
                }
            }
            step++;
            if (step >= tiles.steps) {
                step = 0u;
                narrow_item += narrow_step;
                wide_item += wide_step;
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < 4u * ROW_TEXELS; r++) {
            let row = row_first * 4u + r;
            for (var c = 0u; c < COLUMN_TEXELS; c++) {
                let column = column_first + c;
                for (var e = 0u; e < 4u; e++) {
                    var q = column / tiles.unit_columns;
                    var t = column % tiles.unit_columns;
                    if (TEXEL_TAPS == 1u) {
                        t = t * 4u + e;
                    } else {
                        q = q * 4u + e;
                    }
                    if (row < params.problem.rows && q < params.problem.depth && t < params.problem.taps) {
                        let at = out_first + row * params.partials.row + q * params.problem.taps + t;
                        store_partial(at, sums[r][c][e], first);
                    }
                }
            }
        }
    }
}
