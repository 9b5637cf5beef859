// One workgroup adds up the partial sums of a loss and stores the loss of this step.
// use: step, stored, sum_splits

struct Params {
    /// Partial sums.
    splits: u32,
    /// Number of losses that are kept.
    kept: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> losses: array<Stored>;

@compute @workgroup_size(LANES)
fn loss(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    if (index_of(workgroup) > 0u) {
        return;
    }
    let sum = sum_splits(lane, params.splits);
    if (lane == 0u) {
        losses[step_number() % params.kept] = stored(sum);
    }
}
