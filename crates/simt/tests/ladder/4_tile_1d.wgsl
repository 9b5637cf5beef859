// Step 4, 1-D block tile: an invocation sums a column of TM = 8 elements. Tiles BM = BN = 64, BK = 8; one element of A and B staged an invocation.
// Workgroup 512; block.x counts column tiles, block.y row tiles. 4096^3: 64 x 64 workgroups. Sizes are multiples of the tiles.
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

const BM: u32 = 64u;
const BN: u32 = 64u;
const BK: u32 = 8u;
const TM: u32 = 8u;

var<workgroup> tile_a: array<f32, BM * BK>;
var<workgroup> tile_b: array<f32, BK * BN>;

@compute @workgroup_size(512)
fn block_tile_1d(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = lane % BN;
    let row = lane / BN;
    var from_a = (block.y * BM + lane / BK) * sizes.k + lane % BK;
    var from_b = lane / BN * sizes.n + block.x * BN + lane % BN;
    var sums: array<f32, TM>;
    for (var first = 0u; first < sizes.k; first += BK) {
        tile_a[lane] = a[from_a];
        tile_b[lane] = b[from_b];
        workgroupBarrier();
        from_a += BK;
        from_b += BK * sizes.n;
        for (var d = 0u; d < BK; d++) {
            let from_column = tile_b[d * BN + column];
            for (var r = 0u; r < TM; r++) {
                sums[r] = fma(tile_a[(row * TM + r) * BK + d], from_column, sums[r]);
            }
        }
        workgroupBarrier();
    }
    let to = (block.y * BM + row * TM) * sizes.n + block.x * BN + column;
    for (var r = 0u; r < TM; r++) {
        let at = to + r * sizes.n;
        c[at] = sizes.alpha * sums[r] + sizes.beta * c[at];
    }
}
