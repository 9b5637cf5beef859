// Batch normalisation, first pass: mean and sum of squared deviations of a split of the positions of a channel. A workgroup does
// a split, in two loops: deviations from a mean that is known do not cancel.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    channels: u32,
    /// Positions of a row, of a channel in all items, and of a split.
    length: u32,
    positions: u32,
    split: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Element>;
@group(0) @binding(2) var<storage, read_write> partials: array<Element>;

var<workgroup> lanes: array<Element, LANES>;

/// Adds up a value of every lane, pairwise.
fn sum_lanes(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    lanes[lane] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lanes[lane] += lanes[lane + half];
        }
        workgroupBarrier();
    }
    return lanes[0];
}

/// Where a position of a channel lies, counted over all items.
fn at(channel: u32, position: u32) -> u32 {
    return (position / params.length * params.channels + channel) * params.length + position % params.length;
}

@compute @workgroup_size(LANES)
fn batch_stats(
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
    let first = split * params.split;
    let end = min(first + params.split, params.positions);
    var sum = Element(0);
    for (var i = first + lane; i < end; i += LANES) {
        sum += input[at(channel, i)];
    }
    let mean = sum_lanes(lane, sum) / f32(end - first);
    var squares = Element(0);
    for (var i = first + lane; i < end; i += LANES) {
        let deviation = input[at(channel, i)] - mean;
        squares += deviation * deviation;
    }
    squares = sum_lanes(lane, squares);
    if (lane == 0u) {
        partials[2u * index] = mean;
        partials[2u * index + 1u] = squares;
    }
}
