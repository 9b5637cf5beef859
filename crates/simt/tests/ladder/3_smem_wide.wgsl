// Step 3, workgroup memory: tiles of 32 x 32 of A and B are staged, one element an invocation; each invocation sums one element.
// Workgroup 1024; block.x counts row tiles, block.y column tiles. 4096^3: 128 x 128 workgroups. Sizes are multiples of 32 (no bounds checks).
// Variant: A is read from workgroup memory four columns at once, as nvcc does when it unrolls the loop over d (see ladder.json).
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

const SIDE: u32 = 32u;

var<workgroup> tile_a: array<vec4<f32>, SIDE * SIDE / 4u>;
var<workgroup> tile_b: array<f32, SIDE * SIDE>;

@compute @workgroup_size(1024)
fn smem(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = lane % SIDE;
    let row = lane / SIDE;
    var from_a = (block.x * SIDE + row) * sizes.k + column;
    var from_b = row * sizes.n + block.y * SIDE + column;
    var sum = 0.0;
    for (var first = 0u; first < sizes.k; first += SIDE) {
        tile_a[lane / 4u][lane % 4u] = a[from_a];
        tile_b[lane] = b[from_b];
        workgroupBarrier();
        from_a += SIDE;
        from_b += SIDE * sizes.n;
        for (var d = 0u; d < SIDE; d += 4u) {
            let four = tile_a[(row * SIDE + d) / 4u];
            sum = fma(four.x, tile_b[d * SIDE + column], sum);
            sum = fma(four.y, tile_b[(d + 1u) * SIDE + column], sum);
            sum = fma(four.z, tile_b[(d + 2u) * SIDE + column], sum);
            sum = fma(four.w, tile_b[(d + 3u) * SIDE + column], sum);
        }
        workgroupBarrier();
    }
    let at = (block.x * SIDE + row) * sizes.n + block.y * SIDE + column;
    c[at] = sizes.alpha * sum + sizes.beta * c[at];
}
