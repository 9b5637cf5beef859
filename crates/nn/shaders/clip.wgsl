// Gradient clipping: the factor that keeps the norm of all gradients together within a limit. One workgroup adds up
// partial sums of their squares.
// use: stored, sum_splits

struct Params {
    /// Number of partial sums.
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
        // A NaN norm makes all parameters NaN, as in PyTorch.
        clipping[0] = stored(select(params.limit / (norm + 1e-6), 1.0, norm + 1e-6 <= params.limit));
        clipping[1] = stored(norm);
    }
}
