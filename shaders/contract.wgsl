// Direct contraction over positions (weight gradient): every invocation sums some output rows of one (depth, tap) over its
// share of the positions of all batch items.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// Output rows of one invocation. Set by the plan.
const TILE_ROWS: u32 = 4u;
// What is read beyond the ends of an input row: one of the modes below. Set by the plan.
const EXTENSION: u32 = 0u;
const ZEROS: u32 = 0u;
const CONSTANT: u32 = 1u;
const REFLECT: u32 = 2u;
const SYMMETRIC: u32 = 3u;
const CIRCULAR: u32 = 4u;
const REPLICATE: u32 = 5u;

/// One piece of a contraction. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    groups: u32,
    rows: u32,
    row_tiles: u32,
    depth: u32,
    taps: u32,
    /// Workgroups along (group, depth, tap).
    column_workgroups: u32,
    /// Positions of every batch item that this piece sums over, and how many of all of them one split does.
    position_first: u32,
    positions: u32,
    split_positions: u32,
    /// The part of each split's positions that this dispatch does.
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
    /// 1 where the output already holds the sum over earlier positions.
    accumulate: u32,
    /// The value of constant padding.
    fill: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<Element>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
@group(0) @binding(3) var<storage, read_write> output: array<Element>;

/// The input position that a position beyond an end repeats. The host has checked that the padding is short enough.
fn extend(position: i32) -> i32 {
    let last = i32(params.in_length) - 1;
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
    return input[row + u32(inside)];
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
    let t = column % params.taps;
    let q = column / params.taps % params.depth;
    let group = column / params.taps / params.depth;
    if (group >= params.groups) {
        return;
    }

    // Rows beyond the end repeat the last one and are not stored.
    var sums: array<Element, TILE_ROWS>;
    var narrow_rows: array<u32, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        let row = min(row_first + r, params.rows - 1u);
        narrow_rows[r] = params.narrow_base + group * params.narrow_group + row * params.narrow_length;
        sums[r] = Element(0);
    }
    let in_row = params.in_base + group * params.in_group + q * params.in_length;
    let in_first = params.first + i32(t * params.dilation);
    // The share of this split, batch item by batch item.
    var begin_at = split * params.split_positions + params.share_first;
    let end_at = min(split * params.split_positions + params.share_end, params.batch * params.positions);
    while (begin_at < end_at) {
        let n = begin_at / params.positions;
        let begin = begin_at % params.positions;
        let end = min(begin + (end_at - begin_at), params.positions);
        for (var i = begin; i < end; i++) {
            let position = params.position_first + i;
            let value = sample(in_row + n * params.in_batch, in_first + i32(position * params.stride));
            for (var r = 0u; r < TILE_ROWS; r++) {
                sums[r] = fma(narrow[narrow_rows[r] + n * params.narrow_batch + position], value, sums[r]);
            }
        }
        begin_at += end - begin;
    }

    let out_first = params.out_base + split * params.out_split + group * params.out_group + q * params.taps + t;
    for (var r = 0u; r < TILE_ROWS; r++) {
        if (row_first + r < params.rows) {
            let out = out_first + (row_first + r) * params.out_row;
            var sum = sums[r];
            if (params.accumulate == 1u) {
                sum += output[out];
            }
            output[out] = sum;
        }
    }
}
