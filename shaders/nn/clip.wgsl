// What gradients are multiplied by, so that their common norm is not above a limit: from partial sums of their squares, added up by
// one workgroup.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

struct Params {
    /// Partial sums.
    count: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<Element>;
@group(0) @binding(2) var<storage, read_write> clipping: array<Element>;

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
fn clip(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if (workgroup.x + workgroup.y * workgroups.x > 0u) {
        return;
    }
    var sum = Element(0);
    for (var i = lane; i < params.count; i += LANES) {
        sum += partials[i];
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) {
        let norm = sqrt(sum);
        // A norm that is no number makes all parameters none, as in PyTorch.
        clipping[0] = select(params.limit / (norm + 1e-6), 1.0, norm + 1e-6 <= params.limit);
        clipping[1] = norm;
    }
}
