// One operation of each kind on each triple of numbers, to see how a device rounds.
// use: element

struct Params {
    /// Number of triples.
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> first: array<f32>;
@group(0) @binding(2) var<storage, read> second: array<f32>;
@group(0) @binding(3) var<storage, read> third: array<f32>;
/// Sum, product, multiply-add and quotient.
@group(0) @binding(4) var<storage, read_write> results: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn arithmetic(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        let a = first[i];
        let b = second[i];
        results[i] = vec4<f32>(a + b, a * b, fma(a, b, third[i]), a / b);
    }
}
