// Contraction over positions (weight gradient) as a matrix product of the narrow rows and the transposed column panels.
//
// A workgroup of 8 x 8 invocations computes 8*TILE_ROWS output rows x 32 (depth, tap) pairs over its share of the panels.

alias Element = f32;

// Positions of a panel.
const PANEL: u32 = 64u;
// Invocations along rows and along columns.
const LANES: u32 = 8u;
// Output rows of one invocation. Set by the plan.
const TILE_ROWS: u32 = 4u;
// (depth, tap) pairs of one invocation.
const TILE_COLUMNS: u32 = 4u;
// Positions staged at once.
const DEPTH: u32 = 16u;
const ROWS: u32 = TILE_ROWS * LANES;
const COLUMNS: u32 = TILE_COLUMNS * LANES;
// The activation whose derivative the narrow side is multiplied by. Set by the plan.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the plan.
const SAVED_INPUT: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

/// One slice of columns. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    groups: u32,
    rows: u32,
    row_tiles: u32,
    depth: u32,
    taps: u32,
    column_tiles: u32,
    /// First group of the slice, first panel of each group, and panels of each group, in the slice.
    group_first: u32,
    panel_first: u32,
    panels: u32,
    /// Panels of each group that one split sums over.
    split_panels: u32,
    /// The part of each split's panels that this dispatch does.
    share_first: u32,
    share_end: u32,
    /// Rows of a panel.
    panel_rows: u32,
    /// Positions of every batch item that this piece sums over.
    position_first: u32,
    positions: u32,
    narrow_base: u32,
    narrow_batch: u32,
    narrow_group: u32,
    narrow_length: u32,
    columns_base: u32,
    out_base: u32,
    out_split: u32,
    out_group: u32,
    out_row: u32,
    /// 1 where the output already holds the sum over earlier positions.
    accumulate: u32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<Element>;
@group(0) @binding(2) var<storage, read> columns: array<Element>;
@group(0) @binding(3) var<storage, read_write> output: array<Element>;
@group(0) @binding(4) var<storage, read> saved: array<Element>;

var<workgroup> staged_narrow: array<array<Element, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Element, COLUMNS>, DEPTH>;

/// `1 / (1 + e^-z)`, whose exponential does not overflow.
fn sigmoid(z: f32) -> f32 {
    let e = exp(-abs(z));
    return select(e, 1.0, z >= 0.0) / (1.0 + e);
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn erf(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(z));
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(z) * (1.0 - series * exp(-z * z));
}

/// The derivative of the activation.
fn derivative(saved: f32) -> f32 {
    if (DERIVATIVE == RELU) {
        return select(1.0, 0.0, saved <= 0.0);
    }
    if (DERIVATIVE == LEAKY_RELU) {
        return select(1.0, params.slope, saved <= 0.0);
    }
    if (DERIVATIVE == SILU) {
        let s = sigmoid(saved);
        return s * (1.0 + saved * (1.0 - s));
    }
    if (DERIVATIVE == GELU) {
        let density = 0.39894228 * exp(-0.5 * saved * saved);
        return 0.5 * (1.0 + erf(saved * 0.70710678)) + saved * density;
    }
    if (DERIVATIVE == TANH) {
        let y = select(saved, 2.0 * sigmoid(2.0 * saved) - 1.0, SAVED_INPUT == 1u);
        return 1.0 - y * y;
    }
    if (DERIVATIVE == SIGMOID) {
        let y = select(saved, sigmoid(saved), SAVED_INPUT == 1u);
        return y * (1.0 - y);
    }
    return 1.0;
}

/// One element of the narrow side.
fn load_narrow(at: u32) -> f32 {
    if (DERIVATIVE != IDENTITY) {
        return narrow[at] * derivative(saved[params.saved_base + at - params.narrow_base]);
    }
    return narrow[at];
}

@compute @workgroup_size(LANES, LANES)
fn contract_gemm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) lane_index: u32,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    let column_first = (rest % params.column_tiles) * COLUMNS;
    rest = rest / params.column_tiles;
    let row_first = (rest % params.row_tiles) * ROWS;
    rest = rest / params.row_tiles;
    let slice_group = rest % params.groups;
    let split = rest / params.groups;
    let group = params.group_first + slice_group;
    let column_end = params.depth * params.taps;

    var sums: array<array<Element, TILE_COLUMNS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var c = 0u; c < TILE_COLUMNS; c++) {
            sums[r][c] = Element(0);
        }
    }
    let panel_first = split * params.split_panels + params.share_first;
    let panel_end = min(split * params.split_panels + params.share_end, params.panels);
    for (var panel = panel_first; panel < panel_end; panel++) {
        let panel_base = params.columns_base + (slice_group * params.panels + panel) * params.panel_rows * PANEL;
        for (var first = 0u; first < PANEL; first += DEPTH) {
            for (var i = lane_index; i < DEPTH * ROWS; i += LANES * LANES) {
                let row = row_first + i / DEPTH;
                let sequence = (params.panel_first + panel) * PANEL + first + i % DEPTH;
                let n = sequence / params.positions;
                var value = Element(0);
                if (row < params.rows && n < params.batch) {
                    let position = params.position_first + sequence % params.positions;
                    value = load_narrow(params.narrow_base + n * params.narrow_batch + group * params.narrow_group
                        + row * params.narrow_length + position);
                }
                staged_narrow[i % DEPTH][i / DEPTH] = value;
            }
            for (var i = lane_index; i < DEPTH * COLUMNS; i += LANES * LANES) {
                let column = column_first + i / DEPTH;
                var value = Element(0);
                if (column < column_end) {
                    value = columns[panel_base + column * PANEL + first + i % DEPTH];
                }
                staged_columns[i % DEPTH][i / DEPTH] = value;
            }
            workgroupBarrier();
            for (var d = 0u; d < DEPTH; d++) {
                var values: array<Element, TILE_COLUMNS>;
                for (var c = 0u; c < TILE_COLUMNS; c++) {
                    values[c] = staged_columns[d][c * LANES + lane.x];
                }
                for (var r = 0u; r < TILE_ROWS; r++) {
                    let narrow_value = staged_narrow[d][lane.y * TILE_ROWS + r];
                    for (var c = 0u; c < TILE_COLUMNS; c++) {
                        sums[r][c] = fma(narrow_value, values[c], sums[r][c]);
                    }
                }
            }
            workgroupBarrier();
        }
    }

    let out_first = params.out_base + split * params.out_split + group * params.out_group;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row_first + lane.y * TILE_ROWS + r;
        for (var c = 0u; c < TILE_COLUMNS; c++) {
            let column = column_first + c * LANES + lane.x;
            if (row < params.rows && column < column_end) {
                let out = out_first + row * params.out_row + column;
                var sum = sums[r][c];
                if (params.accumulate == 1u) {
                    sum += output[out];
                }
                output[out] = sum;
            }
        }
    }
}
