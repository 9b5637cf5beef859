// What gradients are multiplied by, so that their common norm is not above a limit: from partial sums of their squares, added up by
// one workgroup.
// use: stored, sum_splits

struct Params {
    /// Partial sums.
    splits: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> clipping: array<Stored>;

@compute @workgroup_size(LANES)
fn clip(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    if (index_of(workgroup) > 0u) {
        return;
    }
    let sum = sum_splits(lane, params.splits);
    if (lane == 0u) {
        let norm = sqrt(sum);
        // A norm that is no number makes all parameters none, as in PyTorch.
        clipping[0] = stored(select(params.limit / (norm + 1e-6), 1.0, norm + 1e-6 <= params.limit));
        clipping[1] = stored(norm);
    }
}
