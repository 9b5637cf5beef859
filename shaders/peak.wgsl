// Measures the peak multiply-add rate of a device: each invocation has eight sums that do not depend on each other.


struct Params {
    iterations: u32,
    factor: f32,
    addend: f32,
    /// A total that never occurs. The store that depends on it keeps the compiler from removing the computation.
    never: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;

fn once(sums: mat2x4<f32>, addend: mat2x4<f32>) -> mat2x4<f32> {
    return sums * params.factor + addend;
}

fn four_times(sums: mat2x4<f32>, addend: mat2x4<f32>) -> mat2x4<f32> {
    return once(once(once(once(sums, addend), addend), addend), addend);
}

fn sixteen_times(sums: mat2x4<f32>, addend: mat2x4<f32>) -> mat2x4<f32> {
    return four_times(four_times(four_times(four_times(sums, addend), addend), addend), addend);
}

@compute @workgroup_size(LANES)
fn peak(@builtin(local_invocation_id) lane: vec3<u32>) {
    let addend = mat2x4<f32>(vec4(params.addend), vec4(params.addend));
    let start = vec4(0.0, 1.0, 2.0, 3.0) + f32(lane.x);
    var sums = mat2x4<f32>(start, start + 4.0);
    for (var i = 0u; i < params.iterations; i++) {
        sums = sixteen_times(sixteen_times(sums, addend), addend);
    }
    let total = sums[0] + sums[1];
    if (total.x + total.y + total.z + total.w == params.never) {
        output[0] = total.x;
    }
}
