// Step 5, 2-D block tile: an invocation sums TM x TN = 8 x 8 elements. Tiles BM = BN = 128, BK = 8; four elements of A and of B staged an invocation,
// rows of A 32 apart, rows of B 2 apart.
// Workgroup 256; block.x counts column tiles, block.y row tiles. 4096^3: 32 x 32 workgroups. Sizes are multiples of the tiles.
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

const BM: u32 = 128u;
const BN: u32 = 128u;
const BK: u32 = 8u;
const TM: u32 = 8u;
const TN: u32 = 8u;
const LANES: u32 = 256u;

var<workgroup> tile_a: array<f32, BM * BK>;
var<workgroup> tile_b: array<f32, BK * BN>;

@compute @workgroup_size(256)
fn block_tile_2d(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = lane % (BN / TN);
    let row = lane / (BN / TN);
    let row_a = lane / BK;
    let column_a = lane % BK;
    let row_b = lane / BN;
    let column_b = lane % BN;
    var from_a = (block.y * BM + row_a) * sizes.k + column_a;
    var from_b = row_b * sizes.n + block.x * BN + column_b;
    var sums: array<f32, TM * TN>;
    var left: array<f32, TM>;
    var right: array<f32, TN>;
    for (var first = 0u; first < sizes.k; first += BK) {
        for (var skip = 0u; skip < BM; skip += LANES / BK) {
            tile_a[(row_a + skip) * BK + column_a] = a[from_a + skip * sizes.k];
        }
        for (var skip = 0u; skip < BK; skip += LANES / BN) {
            tile_b[(row_b + skip) * BN + column_b] = b[from_b + skip * sizes.n];
        }
        workgroupBarrier();
        from_a += BK;
        from_b += BK * sizes.n;
        for (var d = 0u; d < BK; d++) {
            for (var i = 0u; i < TM; i++) {
                left[i] = tile_a[(row * TM + i) * BK + d];
            }
            for (var i = 0u; i < TN; i++) {
                right[i] = tile_b[d * BN + column * TN + i];
            }
            for (var r = 0u; r < TM; r++) {
                for (var s = 0u; s < TN; s++) {
                    sums[r * TN + s] = fma(left[r], right[s], sums[r * TN + s]);
                }
            }
        }
        workgroupBarrier();
    }
    let to = (block.y * BM + row * TM) * sizes.n + block.x * BN + column * TN;
    for (var r = 0u; r < TM; r++) {
        for (var s = 0u; s < TN; s++) {
            let at = to + r * sizes.n + s;
            c[at] = sizes.alpha * sums[r * TN + s] + sizes.beta * c[at];
        }
    }
}
