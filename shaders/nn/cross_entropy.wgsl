// The mean over positions of -log softmax of the right class, and its gradient. Classes are channels; a workgroup adds up a share
// of the positions of all items.

alias Element = f32;

// Invocations of a workgroup, a power of two.
const LANES: u32 = 64u;

struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    /// Elements, and those of a workgroup.
    count: u32,
    share: u32,
    classes: u32,
    /// Positions of an item.
    length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Element>;
@group(0) @binding(2) var<storage, read> target_classes: array<u32>;
@group(0) @binding(3) var<storage, read_write> logits_gradient: array<Element>;
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
fn cross_entropy(
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
        let row = i / params.length * params.classes * params.length + i % params.length;
        let wanted = target_classes[i];
        var largest = logits[row];
        for (var c = 1u; c < params.classes; c++) {
            largest = max(largest, logits[row + c * params.length]);
        }
        var total = 0.0;
        for (var c = 0u; c < params.classes; c++) {
            total += exp(logits[row + c * params.length] - largest);
        }
        for (var c = 0u; c < params.classes; c++) {
            let at = row + c * params.length;
            let likely = exp(logits[at] - largest) / total;
            logits_gradient[at] = (likely - select(0.0, 1.0, c == wanted)) / f32(params.count);
        }
        // A class that does not exist has no loss that is a number.
        var loss = bitcast<f32>(0x7fc00000u | (params.count & 0u));
        if (wanted < params.classes) {
            loss = largest - logits[row + wanted * params.length] + log(total);
        }
        sum += loss / f32(params.count);
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) {
        partials[index] = sum;
    }
}
