// Adds the input gradient of the padding to the samples that the padding repeats, on one side.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;

/// One side. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    /// Rows (batch x channels), and samples of each that the padding repeats.
    rows: u32,
    count: u32,
    /// Border samples that go to one input sample.
    terms: u32,
    border_base: u32,
    border_length: u32,
    border_step: i32,
    /// Distance between the border samples that go to one input sample.
    term_step: u32,
    out_base: u32,
    out_length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> border: array<Element>;
@group(0) @binding(2) var<storage, read_write> output: array<Element>;

@compute @workgroup_size(LANES)
fn fold(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let index = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane.x;
    if (index >= params.rows * params.count) {
        return;
    }
    let row = index / params.count;
    let i = index % params.count;
    let source = params.border_base + row * params.border_length + u32(i32(i) * params.border_step);
    let out = params.out_base + row * params.out_length + i;
    var sum = output[out];
    for (var term = 0u; term < params.terms; term++) {
        sum += border[source + term * params.term_step];
    }
    output[out] = sum;
}
