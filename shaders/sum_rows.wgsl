// Sum of rows over batch and positions (bias gradient): a workgroup sums one share of one channel, its lanes striding over it,
// and adds the lanes up pairwise.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

/// One piece of a sum. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    channels: u32,
    /// Positions of every batch item that this piece sums over, and how many of all of them one split does.
    position_first: u32,
    positions: u32,
    split_positions: u32,
    /// The part of each split's positions that this dispatch does.
    share_first: u32,
    share_end: u32,
    in_base: u32,
    in_batch: u32,
    in_length: u32,
    out_base: u32,
    out_split: u32,
    /// 1 where the output already holds the sum over earlier positions.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read_write> output: array<Element>;

var<workgroup> lane_sums: array<Element, LANES>;

@compute @workgroup_size(LANES)
fn sum_rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let channel = index % params.channels;
    let split = index / params.channels;
    let row = params.in_base + channel * params.in_length + params.position_first;
    let first = split * params.split_positions + params.share_first;
    let end = min(split * params.split_positions + params.share_end, params.batch * params.positions);
    var sum = Element(0);
    for (var i = first + lane; i < end; i += LANES) {
        sum += input[row + i / params.positions * params.in_batch + i % params.positions];
    }
    lane_sums[lane] = sum;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_sums[lane] += lane_sums[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let out = params.out_base + split * params.out_split + channel;
        var total = lane_sums[0];
        if (params.accumulate == 1u) {
            total += output[out];
        }
        output[out] = total;
    }
}
