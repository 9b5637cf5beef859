// Second pass of a reduction: adds up the partial sums of all splits in their order.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;

/// What is summed. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    /// Values, in rows of `row_length`.
    values: u32,
    row_length: u32,
    splits: u32,
    partials_base: u32,
    out_base: u32,
    /// Distance of rows in the output.
    out_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<Element>;
@group(0) @binding(2) var<storage, read_write> output: array<Element>;

@compute @workgroup_size(LANES)
fn sum_partials(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let value = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane.x;
    if (value >= params.values) {
        return;
    }
    var sum = Element(0);
    for (var split = 0u; split < params.splits; split++) {
        sum += partials[params.partials_base + split * params.values + value];
    }
    output[params.out_base + value / params.row_length * params.out_row + value % params.row_length] = sum;
}
