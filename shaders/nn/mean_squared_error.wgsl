// The mean of squared errors, and its gradient. A workgroup adds up a share of the elements.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    /// Elements, and those of a workgroup.
    count: u32,
    share: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> prediction: array<Element>;
@group(0) @binding(2) var<storage, read> target_values: array<Element>;
@group(0) @binding(3) var<storage, read_write> prediction_gradient: array<Element>;
@group(0) @binding(4) var<storage, read_write> partials: array<Element>;

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

@compute @workgroup_size(LANES)
fn mean_squared_error(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let first = index * params.share;
    let end = min(first + params.share, params.count);
    var sum = Element(0);
    for (var i = first + lane; i < end; i += LANES) {
        let error = prediction[i] - target_values[i];
        prediction_gradient[i] = 2.0 * error / f32(params.count);
        sum += error * error / f32(params.count);
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) {
        partials[index] = sum;
    }
}
