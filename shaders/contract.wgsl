// Direct contraction over positions (weight gradient): every invocation sums a tile of output rows x taps of one input row over
// its share of the positions of all batch items.
//
// Positions are walked over in runs of those that lie so far apart that the next one's samples are this one's of the
// neighbouring tap: then each sample is loaded once and shifted through the tile. Runs are cut into segments.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// Output rows of one invocation. Set by the plan.
const TILE_ROWS: u32 = 4u;
// Taps of one invocation. Set by the plan.
const TILE_TAPS: u32 = 4u;
// 1 where samples are shifted through the tile, 0 where every position loads its own. Set by the plan.
const SHIFTED: u32 = 1u;
// 1 where most positions meet no sample of the wide side: each tile of taps then visits only the positions that meet one. Set by
// the plan.
const CLAMPED: u32 = 0u;
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

/// One piece of a contraction. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    groups: u32,
    rows: u32,
    row_tiles: u32,
    depth: u32,
    taps: u32,
    tap_tiles: u32,
    /// Workgroups along (group, depth, tile of taps).
    column_workgroups: u32,
    /// Positions of every batch item that this piece sums over.
    position_first: u32,
    positions: u32,
    /// Positions between neighbours of a run, which is also the runs of an item; segments of a run, and their positions.
    spacing: u32,
    segments: u32,
    segment: u32,
    /// Segments of all items, those of one split, and of them those that this dispatch does.
    all_segments: u32,
    split_segments: u32,
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
    /// Positions of an input row that the piece's outputs need, and that are there to read.
    touched_first: i32,
    touched: u32,
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

@compute @workgroup_size(LANES)
fn contract(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    let column = (rest % params.column_workgroups) * LANES + lane.x;
    rest = rest / params.column_workgroups;
    let row_first = (rest % params.row_tiles) * TILE_ROWS;
    let split = rest / params.row_tiles;
    let tap_first = (column % params.tap_tiles) * TILE_TAPS;
    let q = column / params.tap_tiles % params.depth;
    let group = column / params.tap_tiles / params.depth;
    if (group >= params.groups) {
        return;
    }

    // Rows beyond the end repeat the last one, taps are taps like any other; neither is stored.
    var sums: array<array<Element, TILE_TAPS>, TILE_ROWS>;
    var narrow_rows: array<u32, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.rows - 1u);
        narrow_rows[r] = params.narrow_base + group * params.narrow_group + row * params.narrow_length;
        for (var t = 0u; t < TILE_TAPS; t++) {
            sums[r][t] = Element(0);
        }
    }
    let in_first = params.in_base + group * params.in_group + q * params.in_length;
    let tap_position = params.first + i32(tap_first * params.dilation);
    let begin = split * params.split_segments + params.share_first;
    let end = min(split * params.split_segments + params.share_end, params.all_segments);
    for (var i = begin; i < end; i++) {
        let run = i / params.segments;
        let n = run / params.spacing;
        // The positions of the segment: `spacing` apart, from `first` on.
        var first = run % params.spacing + (i % params.segments) * params.segment * params.spacing;
        var last = min(first + params.segment * params.spacing, params.positions);
        if (CLAMPED == 1u) {
            let at_zero = tap_position + i32(params.position_first * params.stride);
            let reach = min(TILE_TAPS - 1u, params.taps - 1u - tap_first) * params.dilation;
            let before = max(-(at_zero + i32(reach)), 0);
            let after = max(i32(params.in_length) - at_zero, 0);
            let begin = (u32(before) + params.stride - 1u) / params.stride;
            last = min(last, (u32(after) + params.stride - 1u) / params.stride);
            if (begin > first) {
                first += (begin - first + params.spacing - 1u) / params.spacing * params.spacing;
            }
        }
        let in_row = in_first + n * params.in_batch;
        let narrow_item = n * params.narrow_batch + params.position_first;
        var samples: array<Element, TILE_TAPS>;
        if (SHIFTED == 1u) {
            let in_position = tap_position + i32((params.position_first + first) * params.stride);
            for (var t = 1u; t < TILE_TAPS; t++) {
                samples[t] = sample(in_row, in_position + i32((t - 1u) * params.dilation));
            }
        }
        for (var position = first; position < last; position += params.spacing) {
            let in_position = tap_position + i32((params.position_first + position) * params.stride);
            if (SHIFTED == 1u) {
                for (var t = 1u; t < TILE_TAPS; t++) {
                    samples[t - 1u] = samples[t];
                }
                samples[TILE_TAPS - 1u] = sample(in_row, in_position + i32((TILE_TAPS - 1u) * params.dilation));
            } else {
                for (var t = 0u; t < TILE_TAPS; t++) {
                    samples[t] = sample(in_row, in_position + i32(t * params.dilation));
                }
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let g = load_narrow(narrow_rows[r] + narrow_item + position);
                for (var t = 0u; t < TILE_TAPS; t++) {
                    sums[r][t] = fma(g, samples[t], sums[r][t]);
                }
            }
        }
    }

    let out_first = params.out_base + split * params.out_split + group * params.out_group + q * params.taps;
    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var t = 0u; t < TILE_TAPS; t++) {
            if (row_first + r < params.rows && tap_first + t < params.taps) {
                let out = out_first + (row_first + r) * params.out_row + tap_first + t;
                var sum = sums[r][t];
                if (ACCUMULATE == 1u) {
                    sum += output[out];
                }
                output[out] = sum;
            }
        }
    }
}
