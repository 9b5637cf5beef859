// Contraction over positions (weight gradient) as an implicit matrix product: narrow rows times (depth, tap) columns. A workgroup
// stages both sides of a few positions in workgroup memory, and every invocation keeps a tile of sums in registers.

alias Element = f32;

// Invocations along columns and along output rows. Set by the plan.
const LANES_COLUMNS: u32 = 16u;
const LANES_ROWS: u32 = 8u;
// Output rows and columns of one invocation, in whole vectors of four. Set by the plan.
const TILE_ROWS: u32 = 8u;
const TILE_COLUMNS: u32 = 8u;
// Positions staged at once, and of them those that the sums are unrolled over.
const STAGE: u32 = 16u;
const UNROLLED: u32 = 4u;
// 1 where the output already holds the sum over earlier positions. Set by the plan.
const ACCUMULATE: u32 = 0u;
// What is read beyond the ends of an input row: one of the modes below. Set by the plan.
const EXTENSION: u32 = 0u;
// 1 where the padding is longer than one repetition of the input. Set by the plan.
const REPEATED: u32 = 0u;
const ZEROS: u32 = 0u;
const CONSTANT: u32 = 1u;
const REFLECT: u32 = 2u;
const SYMMETRIC: u32 = 3u;
const CIRCULAR: u32 = 4u;
const REPLICATE: u32 = 5u;
// The activation whose derivative the narrow side or the input is multiplied by. Set by the plan.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the plan.
const SAVED_INPUT: u32 = 0u;
// 1 where it is the narrow side that is multiplied. Set by the plan.
const NARROW_ACTIVATED: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

const LANES: u32 = LANES_COLUMNS * LANES_ROWS;
const ROWS: u32 = LANES_ROWS * TILE_ROWS;
const COLUMNS: u32 = LANES_COLUMNS * TILE_COLUMNS;
// Invocations that stage the same position.
const UNITS: u32 = LANES / STAGE;
// Vectors of a staged position; one more than there are keeps neighbouring positions in different banks.
const ROW_VECTORS: u32 = ROWS / 4u + 1u;
const COLUMN_VECTORS: u32 = COLUMNS / 4u + 1u;

/// One piece of the positions. Offsets count elements and may wrap: only their sums are indices.
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
    /// Positions of every batch item that this piece sums over; those of all items are one sequence, cut into stages.
    position_first: u32,
    positions: u32,
    all_stages: u32,
    /// Stages that one split sums over, and the part of them that this dispatch does.
    split_stages: u32,
    share_first: u32,
    share_end: u32,
    narrow_base: u32,
    narrow_batch: u32,
    narrow_group: u32,
    narrow_length: u32,
    in_base: u32,
    in_batch: u32,
    in_group: u32,
    in_length: u32,
    /// Positions of an input row that the piece's sums need, and that are there to read.
    touched_first: i32,
    touched: u32,
    /// Input position that the first position and the first tap meet at.
    first: i32,
    stride: u32,
    dilation: u32,
    out_base: u32,
    out_split: u32,
    out_group: u32,
    out_row: u32,
    /// The value of constant padding.
    fill: f32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<Element>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
@group(0) @binding(3) var<storage, read_write> output: array<Element>;
@group(0) @binding(4) var<storage, read> saved: array<Element>;

var<workgroup> staged_rows: array<vec4<Element>, STAGE * ROW_VECTORS>;
var<workgroup> staged_columns: array<vec4<Element>, STAGE * COLUMN_VECTORS>;
// Of every column where its input row starts, and how far its tap reaches.
var<workgroup> column_rows: array<u32, COLUMNS>;
var<workgroup> column_positions: array<i32, COLUMNS>;

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

/// One element of the input.
fn load(at: u32) -> f32 {
    if (DERIVATIVE != IDENTITY && NARROW_ACTIVATED == 0u) {
        return input[at] * derivative(saved[params.saved_base + at - params.in_base]);
    }
    return input[at];
}

/// One element of the narrow side.
fn load_narrow(at: u32) -> f32 {
    if (DERIVATIVE != IDENTITY && NARROW_ACTIVATED == 1u) {
        return narrow[at] * derivative(saved[params.saved_base + at - params.narrow_base]);
    }
    return narrow[at];
}

/// The input position that a position beyond an end repeats.
fn extend(position: i32) -> i32 {
    let last = i32(params.in_length) - 1;
    if (REPEATED == 1u) {
        return repeat(position, last);
    }
    if (EXTENSION == REFLECT) {
        return select(last - (position - last), -position, position < 0);
    }
    if (EXTENSION == SYMMETRIC) {
        return select(last - (position - last - 1), -1 - position, position < 0);
    }
    if (EXTENSION == CIRCULAR) {
        return select(position - last - 1, position + last + 1, position < 0);
    }
    return clamp(position, 0, last); // replicate
}

/// As `extend`, for padding of any length.
fn repeat(position: i32, last: i32) -> i32 {
    var period = last + 1;
    if (EXTENSION == REFLECT) {
        period = max(2 * last, 1);
    }
    if (EXTENSION == SYMMETRIC) {
        period = 2 * (last + 1);
    }
    let remainder = position % period;
    let place = select(remainder, remainder + period, remainder < 0);
    if (EXTENSION == REFLECT) {
        return min(place, period - place);
    }
    if (EXTENSION == SYMMETRIC) {
        return min(place, period - 1 - place);
    }
    return place;
}

/// One sample of the input row that starts at `row`, or what extends it beyond its ends. Where nothing that is stored needs
/// it, its value does not matter, and it may not be there to read.
fn sample(row: u32, position: i32) -> f32 {
    var inside = position;
    // A negative position is a huge u32.
    if (EXTENSION != ZEROS && u32(position) >= params.in_length) {
        if (EXTENSION == CONSTANT) {
            return params.fill;
        }
        inside = extend(position);
    }
    if (u32(inside - params.touched_first) >= params.touched) {
        return 0.0;
    }
    return load(row + u32(inside));
}

@compute @workgroup_size(LANES_COLUMNS, LANES_ROWS)
fn contract_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    let column_first = (rest % params.column_tiles) * COLUMNS;
    rest = rest / params.column_tiles;
    let row_first = (rest % params.row_tiles) * ROWS;
    rest = rest / params.row_tiles;
    let group = rest % params.groups;
    let split = rest / params.groups;
    let column_end = params.depth * params.taps;

    // Rows and columns beyond the end repeat the last one; neither is stored.
    for (var c = index; c < COLUMNS; c += LANES) {
        let column = min(column_first + c, column_end - 1u);
        column_rows[c] = params.in_base + group * params.in_group + column / params.taps * params.in_length;
        column_positions[c] = params.first + i32(column % params.taps * params.dilation);
    }
    var sums: array<array<Element, TILE_COLUMNS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var c = 0u; c < TILE_COLUMNS; c++) {
            sums[r][c] = Element(0);
        }
    }
    let unit_position = index % STAGE;
    let unit = index / STAGE;
    let narrow_first = params.narrow_base + group * params.narrow_group;
    let begin = split * params.split_stages + params.share_first;
    let end = min(split * params.split_stages + params.share_end, params.all_stages);
    for (var stage = begin; stage < end; stage++) {
        let sequence = stage * STAGE + unit_position;
        let n = sequence / params.positions;
        let position = params.position_first + sequence % params.positions;
        workgroupBarrier();
        for (var v = unit; v < ROWS / 4u; v += UNITS) {
            var values = vec4<Element>();
            if (n < params.batch) {
                for (var e = 0u; e < 4u; e++) {
                    let row = min(row_first + 4u * v + e, params.rows - 1u);
                    values[e] = load_narrow(narrow_first + n * params.narrow_batch + row * params.narrow_length + position);
                }
            }
            staged_rows[unit_position * ROW_VECTORS + v] = values;
        }
        for (var v = unit; v < COLUMNS / 4u; v += UNITS) {
            var values = vec4<Element>();
            if (n < params.batch) {
                for (var e = 0u; e < 4u; e++) {
                    let c = 4u * v + e;
                    let in_position = column_positions[c] + i32(position * params.stride);
                    values[e] = sample(column_rows[c] + n * params.in_batch, in_position);
                }
            }
            staged_columns[unit_position * COLUMN_VECTORS + v] = values;
        }
        workgroupBarrier();
        var column_at = lane.x;
        var row_at = lane.y;
        for (var j = 0u; j < STAGE; j += UNROLLED) {
            for (var u = 0u; u < UNROLLED; u++) {
                var values: array<vec4<Element>, TILE_COLUMNS / 4u>;
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

    let out_first = params.out_base + split * params.out_split + group * params.out_group;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = row_first + ((r / 4u) * LANES_ROWS + lane.y) * 4u + r % 4u;
        for (var c = 0u; c < TILE_COLUMNS; c++) {
            let column = column_first + ((c / 4u) * LANES_COLUMNS + lane.x) * 4u + c % 4u;
            if (row < params.rows && column < column_end) {
                let out = out_first + row * params.out_row + column;
                var sum = sums[r][c];
                if (ACCUMULATE == 1u) {
                    sum += output[out];
                }
                output[out] = sum;
            }
        }
    }
}
