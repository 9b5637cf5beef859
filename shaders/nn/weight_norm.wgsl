// Weight normalisation: each row of a weight is g * v / |v| (Salimans, Kingma: Weight Normalization, NeurIPS 2016). A workgroup
// does a row.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

struct Params {
    /// Rows, and elements of each.
    rows: u32,
    length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<Element>;
@group(0) @binding(2) var<storage, read> v: array<Element>;
@group(0) @binding(3) var<storage, read_write> weight: array<Element>;

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
fn weight_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.x + workgroup.y * workgroups.x;
    if (row >= params.rows) {
        return;
    }
    let first = row * params.length;
    var squares = Element(0);
    for (var i = lane; i < params.length; i += LANES) {
        squares += v[first + i] * v[first + i];
    }
    let scale = g[row] / sqrt(sum_lanes(lane, squares));
    for (var i = lane; i < params.length; i += LANES) {
        weight[first + i] = scale * v[first + i];
    }
}
