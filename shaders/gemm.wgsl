// Matrix product of packed weights and column panels, written to where the outputs of each phase belong.
//
// A workgroup of 8 x 8 invocations computes 8*TILE_ROWS output rows of one panel; DEPTH panel rows at a time are staged in
// workgroup memory.

alias Element = f32;

// Positions of a panel.
const PANEL: u32 = 64u;
// Invocations along rows and along positions.
const LANES: u32 = 8u;
// Output rows of one invocation. Set by the plan.
const TILE_ROWS: u32 = 4u;
// Panel rows staged at once; the panels have a multiple of these.
const DEPTH: u32 = 16u;
const TILE_POSITIONS: u32 = PANEL / LANES;
const ROWS: u32 = TILE_ROWS * LANES;
// What is applied to the sums, once they are complete: one of the activations below. Set by the plan.
const ACTIVATION: u32 = 0u;
// Where a residual is added: nowhere, before the activation or after it. Set by the plan.
const RESIDUAL: u32 = 0u;
const BEFORE: u32 = 1u;
const AFTER: u32 = 2u;
// 1 where what goes into the activation may be stored too. Set by the plan.
const PRE_ACTIVATION: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

/// Outputs that are reached by the same taps: every `out_step`-th of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position that the first output and the first tap meet at.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one: where its packed weights start.
    taps_before: u32,
}

/// One slice of columns. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    /// Groups and output rows of a group that the packed weights hold.
    groups: u32,
    rows: u32,
    row_tiles: u32,
    depth: u32,
    phases: u32,
    /// First (group, phase) pair of the slice, counted group by group.
    pair_first: u32,
    /// First panel of each pair, and panels of each pair, in the slice.
    panel_first: u32,
    panels: u32,
    /// Rows of a panel.
    panel_rows: u32,
    /// Positions of every phase that this piece computes.
    position_first: u32,
    positions: u32,
    packed_base: u32,
    columns_base: u32,
    bias_base: u32,
    bias_group: u32,
    /// 1 where there is a bias to start from.
    has_bias: u32,
    out_base: u32,
    out_batch: u32,
    out_group: u32,
    out_row: u32,
    out_step: u32,
    /// 1 where the output already holds the sum over earlier input rows.
    accumulate: u32,
    residual_base: u32,
    pre_activation_base: u32,
    /// 1 where what goes into the activation is stored too.
    has_pre_activation: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> packed: array<Element>;
@group(0) @binding(3) var<storage, read> columns: array<Element>;
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;
@group(0) @binding(6) var<storage, read> residual: array<Element>;
@group(0) @binding(7) var<storage, read_write> pre_activation: array<Element>;

var<workgroup> staged_weights: array<array<Element, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Element, PANEL>, DEPTH>;

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

/// The activation.
fn activate(z: f32) -> f32 {
    if (ACTIVATION == RELU) {
        return select(z, 0.0, z <= 0.0);
    }
    if (ACTIVATION == LEAKY_RELU) {
        return select(z, params.slope * z, z <= 0.0);
    }
    if (ACTIVATION == SILU) {
        return z * sigmoid(z);
    }
    if (ACTIVATION == GELU) {
        return 0.5 * z * (1.0 + erf(z * 0.70710678));
    }
    if (ACTIVATION == TANH) {
        return 2.0 * sigmoid(2.0 * z) - 1.0;
    }
    if (ACTIVATION == SIGMOID) {
        return sigmoid(z);
    }
    return z;
}

/// Stores a sum, and where it is complete what follows it.
fn store(at: u32, sum: f32) {
    let beside = at - params.out_base;
    var z = sum;
    if (RESIDUAL == BEFORE) {
        z += residual[params.residual_base + beside];
    }
    if (PRE_ACTIVATION == 1u && params.has_pre_activation == 1u) {
        pre_activation[params.pre_activation_base + beside] = z;
    }
    var y = activate(z);
    if (RESIDUAL == AFTER) {
        y += residual[params.residual_base + beside];
    }
    output[at] = y;
}

@compute @workgroup_size(LANES, LANES)
fn gemm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) lane_index: u32,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let unit = index / params.row_tiles;
    let row_first = (index % params.row_tiles) * ROWS;
    let pair = params.pair_first + unit / params.panels;
    let phase = phases[pair % params.phases];
    let group = pair / params.phases;
    let depth = params.depth * phase.taps;
    let w_first = params.packed_base + (params.groups * phase.taps_before + group * phase.taps) * params.rows * params.depth;
    let columns_first = params.columns_base + unit * params.panel_rows * PANEL;

    var sums: array<array<Element, TILE_POSITIONS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            sums[r][p] = Element(0);
        }
    }
    for (var first = 0u; first < depth; first += DEPTH) {
        for (var i = lane_index; i < DEPTH * ROWS; i += LANES * LANES) {
            let row = row_first + i / DEPTH;
            let d = first + i % DEPTH;
            var value = Element(0);
            if (row < params.rows && d < depth) {
                value = packed[w_first + row * depth + d];
            }
            staged_weights[i % DEPTH][i / DEPTH] = value;
        }
        for (var d = 0u; d < DEPTH; d++) {
            staged_columns[d][lane_index] = columns[columns_first + (first + d) * PANEL + lane_index];
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            var values: array<Element, TILE_POSITIONS>;
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                values[p] = staged_columns[d][p * LANES + lane.x];
            }
            for (var r = 0u; r < TILE_ROWS; r++) {
                let w = staged_weights[d][lane.y * TILE_ROWS + r];
                for (var p = 0u; p < TILE_POSITIONS; p++) {
                    sums[r][p] = fma(w, values[p], sums[r][p]);
                }
            }
        }
        workgroupBarrier();
    }

    for (var p = 0u; p < TILE_POSITIONS; p++) {
        let sequence = (params.panel_first + unit % params.panels) * PANEL + p * LANES + lane.x;
        let n = sequence / params.positions;
        let position = params.position_first + sequence % params.positions;
        if (n < params.batch && position < phase.count) {
            let out_first = params.out_base + n * params.out_batch + group * params.out_group + phase.out_first
                + position * params.out_step;
            for (var r = 0u; r < TILE_ROWS; r++) {
                let row = row_first + lane.y * TILE_ROWS + r;
                if (row < params.rows) {
                    var sum = sums[r][p];
                    if (params.has_bias == 1u) {
                        sum += bias[params.bias_base + group * params.bias_group + row];
                    }
                    if (params.accumulate == 1u) {
                        sum += output[out_first + row * params.out_row];
                    }
                    store(out_first + row * params.out_row, sum);
                }
            }
        }
    }
}
