// Weight gradient from textures: every invocation keeps a tile of output rows x (input row, tap) columns in registers and adds
// up products of texels over the positions of its share.
//
// A texel of the narrow side holds four output rows at one position; one of the wide side, which is extended by its padding,
// four input rows at one position or four taps of one. Each split sums over a contiguous share of steps of a few positions, item
// after item; partial sums of more than one split are added up by `sum_partials` in a fixed order.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// Texels of output rows and of columns of one invocation. Set by the plan.
const ROW_TEXELS: u32 = 2u;
const COLUMN_TEXELS: u32 = 4u;
// Positions of a step. Set by the plan.
const STEP: u32 = 2u;
// 1 where a texel of the wide side holds four taps of a row instead of four rows. Set by the plan.
const TEXEL_TAPS: u32 = 0u;
// 1 where the output already holds the sum over earlier positions. Set by the plan.
const ACCUMULATE: u32 = 0u;
// Texels of a row of a texture.
const WIDTH: u32 = 4096u;

/// One piece of a contraction. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    groups: u32,
    /// Output rows, input rows and taps of a group.
    rows: u32,
    depth: u32,
    taps: u32,
    /// Tiles along rows and columns, and all tiles of a split.
    row_tiles: u32,
    column_tiles: u32,
    tiles: u32,
    splits: u32,
    /// Positions of an item, and steps of them.
    positions: u32,
    steps: u32,
    /// Steps of all items, of a split, and those of each split's that this dispatch adds up.
    all_steps: u32,
    split_steps: u32,
    share_first: u32,
    share_end: u32,
    /// Texels of the narrow side: units of four rows, and texels of a unit.
    narrow_units: u32,
    narrow_texels: u32,
    /// Texels of the wide side: units, columns of a unit, texels of a unit, from one position and from one column to the next.
    wide_units: u32,
    unit_columns: u32,
    wide_texels: u32,
    position_texels: u32,
    column_texels: u32,
    out_base: u32,
    out_split: u32,
    out_group: u32,
    out_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<Element>;
// Bindings 2 and 3, and the functions that read them, are in texels_sampled.wgsl or texels_storage.wgsl: the wide side is the input,
// the narrow side its factor.

fn place(texel: u32) -> vec2<u32> {
    return vec2(texel % WIDTH, texel / WIDTH);
}

@compute @workgroup_size(LANES)
fn contract_texels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    let split = (index * LANES + lane.x) / params.tiles;
    if (index >= params.workgroups || split >= params.splits) {
        return;
    }
    var rest = (index * LANES + lane.x) % params.tiles;
    let column_first = (rest % params.column_tiles) * COLUMN_TEXELS;
    rest = rest / params.column_tiles;
    let row_first = (rest % params.row_tiles) * ROW_TEXELS;
    let group = rest / params.row_tiles;

    // Rows and columns beyond the end repeat the last one and are not stored.
    var narrow_rows: array<u32, ROW_TEXELS>;
    for (var a = 0u; a < ROW_TEXELS; a++) {
        let unit = min(row_first + a, params.narrow_units - 1u);
        narrow_rows[a] = (group * params.narrow_units + unit) * params.narrow_texels;
    }
    var wide_columns: array<u32, COLUMN_TEXELS>;
    for (var c = 0u; c < COLUMN_TEXELS; c++) {
        let column = min(column_first + c, params.wide_units * params.unit_columns - 1u);
        let unit = group * params.wide_units + column / params.unit_columns;
        wide_columns[c] = unit * params.wide_texels + (column % params.unit_columns) * params.column_texels;
    }
    var sums: array<array<vec4<Element>, COLUMN_TEXELS>, 4u * ROW_TEXELS>;
    for (var r = 0u; r < 4u * ROW_TEXELS; r++) {
        for (var c = 0u; c < COLUMN_TEXELS; c++) {
            sums[r][c] = vec4<Element>();
        }
    }

    let first = split * params.split_steps + params.share_first;
    let end = min(split * params.split_steps + params.share_end, params.all_steps);
    let narrow_step = params.groups * params.narrow_units * params.narrow_texels;
    let wide_step = params.groups * params.wide_units * params.wide_texels;
    var narrow_item = (first / params.steps) * narrow_step;
    var wide_item = (first / params.steps) * wide_step;
    var step = first % params.steps;
    for (var i = first; i < end; i++) {
        for (var u = 0u; u < STEP; u++) {
            // The last step may be a short one: what is not there counts nothing, whatever lies in its place.
            let inside = u == 0u || step * STEP + u < params.positions;
            let position = min(step * STEP + u, params.positions - 1u);
            var samples: array<vec4<Element>, COLUMN_TEXELS>;
            for (var c = 0u; c < COLUMN_TEXELS; c++) {
                let texel = wide_item + wide_columns[c] + position * params.position_texels;
                samples[c] = select(vec4<Element>(), input_texel(place(texel)), inside);
            }
            for (var a = 0u; a < ROW_TEXELS; a++) {
                let texel = narrow_item + narrow_rows[a] + position;
                let g = select(vec4<Element>(), factor_texel(place(texel)), inside);
                for (var c = 0u; c < COLUMN_TEXELS; c++) {
                    sums[4u * a][c] = fma(vec4(g.x), samples[c], sums[4u * a][c]);
                    sums[4u * a + 1u][c] = fma(vec4(g.y), samples[c], sums[4u * a + 1u][c]);
                    sums[4u * a + 2u][c] = fma(vec4(g.z), samples[c], sums[4u * a + 2u][c]);
                    sums[4u * a + 3u][c] = fma(vec4(g.w), samples[c], sums[4u * a + 3u][c]);
                }
            }
        }
        step++;
        if (step >= params.steps) {
            step = 0u;
            narrow_item += narrow_step;
            wide_item += wide_step;
        }
    }

    let out_first = params.out_base + split * params.out_split + group * params.out_group;
    for (var r = 0u; r < 4u * ROW_TEXELS; r++) {
        let row = row_first * 4u + r;
        for (var c = 0u; c < COLUMN_TEXELS; c++) {
            let column = column_first + c;
            for (var e = 0u; e < 4u; e++) {
                var q = column / params.unit_columns;
                var t = column % params.unit_columns;
                if (TEXEL_TAPS == 1u) {
                    t = t * 4u + e;
                } else {
                    q = q * 4u + e;
                }
                if (row < params.rows && q < params.depth && t < params.taps) {
                    let at = out_first + row * params.out_row + q * params.taps + t;
                    var sum = sums[r][c][e];
                    if (ACCUMULATE == 1u) {
                        sum += output[at];
                    }
                    output[at] = sum;
                }
            }
        }
    }
}
