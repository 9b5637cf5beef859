// Batch normalisation, second pass: mean and 1 / standard deviation of a channel, from those of its splits (Chan, Golub, LeVeque:
// Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979) or as learnt, and the running statistics.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// 1 where the running statistics are used, and stay as they are. Set by the program.
const FROZEN: u32 = 0u;

struct Params {
    /// Channels.
    count: u32,
    splits: u32,
    /// Positions of a channel in all items, and of a split.
    positions: u32,
    split: u32,
    epsilon: f32,
    /// Share of a batch in the running statistics.
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<Element>;
@group(0) @binding(2) var<storage, read_write> running_mean: array<Element>;
@group(0) @binding(3) var<storage, read_write> running_variance: array<Element>;
@group(0) @binding(4) var<storage, read_write> batches: array<u32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<Element>;

@compute @workgroup_size(LANES)
fn batch_finish(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (channel >= params.count) {
        return;
    }
    var mean = running_mean[channel];
    var variance = running_variance[channel];
    if (FROZEN == 0u) {
        var seen = 0.0;
        var squares = 0.0;
        mean = 0.0;
        for (var s = 0u; s < params.splits; s++) {
            let count = f32(min(params.split, params.positions - s * params.split));
            let partial = 2u * (s * params.count + channel);
            let all = seen + count;
            let difference = partials[partial] - mean;
            mean += difference * (count / all);
            squares += partials[partial + 1u] + difference * difference * (seen * (count / all));
            seen = all;
        }
        variance = squares / f32(params.positions);
        let unbiased = squares / f32(params.positions - 1u);
        running_mean[channel] += params.momentum * (mean - running_mean[channel]);
        running_variance[channel] += params.momentum * (unbiased - running_variance[channel]);
        if (channel == 0u) {
            // Not back to 0.
            batches[0] = max(batches[0], batches[0] + 1u);
        }
    }
    statistics[2u * channel] = mean;
    statistics[2u * channel + 1u] = 1.0 / sqrt(variance + params.epsilon);
}
