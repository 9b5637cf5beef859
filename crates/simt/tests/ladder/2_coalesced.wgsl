// Step 2, coalesced: as step 1, but neighbouring lanes take neighbouring columns: a warp reads one element of A and 32 neighbours of B.
// Workgroup 1024 (32 x 32, used in linear order); block.x counts rows, block.y columns. 4096^3: 128 x 128 workgroups.
// c = alpha * (a * b) + beta * c, as in the original: C is read once. Row-major: a is m x k, b is k x n, c is m x n.

struct Sizes {
    m: u32,
    n: u32,
    k: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(1024)
fn coalesced(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = block.x * 32u + lane / 32u;
    let column = block.y * 32u + lane % 32u;
    if (row < sizes.m && column < sizes.n) {
        var sum = 0.0;
        for (var i = 0u; i < sizes.k; i++) {
            sum = fma(a[row * sizes.k + i], b[i * sizes.n + column], sum);
        }
        let at = row * sizes.n + column;
        c[at] = sizes.alpha * sum + sizes.beta * c[at];
    }
}
