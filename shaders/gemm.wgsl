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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> packed: array<Element>;
@group(0) @binding(3) var<storage, read> columns: array<Element>;
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;

var<workgroup> staged_weights: array<array<Element, ROWS>, DEPTH>;
var<workgroup> staged_columns: array<array<Element, PANEL>, DEPTH>;

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
                    output[out_first + row * params.out_row] = sum;
                }
            }
        }
    }
}
