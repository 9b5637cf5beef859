// Step 6, vectorised: as step 5, with 16-byte loads and stores of A, B and C, and A transposed in workgroup memory. TM x TN = 8 x 8,
// BM = BN = 128, BK = 8; one vector of A and of B staged an invocation.
// Workgroup 256; block.x counts column tiles, block.y row tiles. 4096^3: 32 x 32 workgroups.
// Both workgroup arrays hold vectors: B is stored and read 16 bytes at a time, A is stored 4 bytes at a time, transposed, and read 16 bytes at a time
// (the original declares floats; the casts to float4 and nvcc make the same accesses). m, n, k are multiples of the tiles.
// c = alpha * (a * b) + beta * c, as in the original: C is read once. Row-major: a is m x k, b is k x n, c is m x n.

struct Sizes {
    m: u32,
    n: u32,
    k: u32,
    alpha: f32,
    beta: f32,
}

@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;

const BM: u32 = 128u;
const BN: u32 = 128u;
const BK: u32 = 8u;
const TM: u32 = 8u;
const TN: u32 = 8u;
const LANES: u32 = 256u;
// Rows of A and of B that the workgroup stages at once.
const ROWS_A: u32 = LANES * 4u / BK;
const ROWS_B: u32 = LANES / (BN / 4u);

var<workgroup> tile_a: array<vec4<f32>, BM * BK / 4u>;
var<workgroup> tile_b: array<vec4<f32>, BK * BN / 4u>;

@compute @workgroup_size(256)
fn vectorised(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = lane % (BN / TN);
    let row = lane / (BN / TN);
    let row_a = lane / (BK / 4u);
    let column_a = lane % (BK / 4u);
    let row_b = lane / (BN / 4u);
    let column_b = lane % (BN / 4u);
    // In vectors of four.
    var from_a = (block.y * BM + row_a) * (sizes.k / 4u) + column_a;
    var from_b = row_b * (sizes.n / 4u) + block.x * (BN / 4u) + column_b;
    var sums: array<f32, TM * TN>;
    var left: array<f32, TM>;
    var right: array<f32, TN>;
    for (var first = 0u; first < sizes.k; first += BK) {
        for (var skip = 0u; skip < BM; skip += ROWS_A) {
            let four = a[from_a + skip * (sizes.k / 4u)];
            let at = row_a + skip;
            tile_a[(column_a * 4u * BM + at) / 4u][at % 4u] = four.x;
            tile_a[((column_a * 4u + 1u) * BM + at) / 4u][at % 4u] = four.y;
            tile_a[((column_a * 4u + 2u) * BM + at) / 4u][at % 4u] = four.z;
            tile_a[((column_a * 4u + 3u) * BM + at) / 4u][at % 4u] = four.w;
        }
        for (var skip = 0u; skip < BK; skip += ROWS_B) {
            tile_b[(row_b + skip) * (BN / 4u) + column_b] = b[from_b + skip * (sizes.n / 4u)];
        }
        workgroupBarrier();
        from_a += BK / 4u;
        from_b += BK * (sizes.n / 4u);
        for (var d = 0u; d < BK; d++) {
            for (var i = 0u; i < TM; i += 4u) {
                let four = tile_a[(d * BM + row * TM + i) / 4u];
                left[i] = four.x;
                left[i + 1u] = four.y;
                left[i + 2u] = four.z;
                left[i + 3u] = four.w;
            }
            for (var i = 0u; i < TN; i += 4u) {
                let four = tile_b[(d * BN + column * TN + i) / 4u];
                right[i] = four.x;
                right[i + 1u] = four.y;
                right[i + 2u] = four.z;
                right[i + 3u] = four.w;
            }
            for (var r = 0u; r < TM; r++) {
                for (var s = 0u; s < TN; s++) {
                    sums[r * TN + s] = fma(left[r], right[s], sums[r * TN + s]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < TM; r++) {
        let to = (block.y * BM + row * TM + r) * (sizes.n / 4u) + (block.x * BN + column * TN) / 4u;
        for (var s = 0u; s < TN / 4u; s++) {
            let at = r * TN + s * 4u;
            let four = vec4(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
            c[to + s] = sizes.alpha * four + sizes.beta * c[to + s];
        }
    }
}
