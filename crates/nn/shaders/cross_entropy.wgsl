// Cross entropy: the mean over positions of -log softmax of the target class, and its gradient. Classes are channels.
// One workgroup per split of the positions of all items.
// use: exponential, stored, sum_split

@group(0) @binding(1) var<storage, read> logits: array<Stored>;
@group(0) @binding(2) var<storage, read> target_classes: array<u32>;
@group(0) @binding(3) var<storage, read_write> logits_gradient: array<Stored>;

// Classes of a block of the sum over classes.
const CLASSES: u32 = 128u;

/// Adds the loss of a position. Stores its gradient.
fn add_term(i: u32, sum: Sum) -> Sum {
    let row = i / params.length * params.classes * params.length + i % params.length;
    let wanted = target_classes[i];
    var largest = loaded(logits[row]);
    for (var c = 1u; c < params.classes; c++) {
        largest = max(largest, loaded(logits[row + c * params.length]));
    }
    var total = Sum(0);
    for (var first = 0u; first < params.classes; first += CLASSES) {
        var block = Sum(0);
        for (var c = first; c < min(first + CLASSES, params.classes); c++) {
            block += exponential(loaded(logits[row + c * params.length]) - largest);
        }
        total += block;
    }
    for (var c = 0u; c < params.classes; c++) {
        let at = row + c * params.length;
        let likely = exponential(loaded(logits[at]) - largest) / total;
        logits_gradient[at] = stored((likely - select(0.0, 1.0, c == wanted)) / Sum(params.count));
    }
    // The loss of a class that does not exist is NaN.
    var loss = Sum(bitcast<f32>(0x7fc00000u | (params.count & 0u)));
    if (wanted < params.classes) {
        loss = largest - loaded(logits[row + wanted * params.length]) + log(total);
    }
    return sum + loss / Sum(params.count);
}

@compute @workgroup_size(LANES)
fn cross_entropy(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    sum_split(workgroup, lane);
}
