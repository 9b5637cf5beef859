// Adds a multiple of one tensor to another, to accumulate gradients over several batches.
// use: element, stored

struct Params {
    /// Elements.
    count: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn add(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        output[i] = stored(fma(params.factor, loaded(input[i]), loaded(output[i])));
    }
}
