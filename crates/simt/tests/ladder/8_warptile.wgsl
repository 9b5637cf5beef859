// Step 8, warp tile, the settings for the A6000: the 4 warps of a workgroup lie 2 x 2 on a block tile of BM = BN = 128, BK = 16; a warp has a tile of
// WM = WN = 64 as 4 sub-tiles of 64 rows x 16 columns (WNITER = 4, WMITER = 1); an invocation sums TM x TN = 8 x 4 elements of each, 128 in all.
// Four vectors of A and of B staged an invocation, rows of A 32 apart, rows of B 4 apart.
// Workgroup 128; block.x counts column tiles, block.y row tiles. 4096^3: 32 x 32 workgroups. Warps are taken as 32 successive invocations.
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
const BK: u32 = 16u;
const WM: u32 = 64u;
const WN: u32 = 64u;
const TM: u32 = 8u;
const TN: u32 = 4u;
const COLUMN_TILES: u32 = 4u;
const LANES: u32 = 128u;
const WARP: u32 = 32u;
// Columns of a sub-tile of a warp.
const SUB_N: u32 = WN / COLUMN_TILES;
// Sums of a row of an invocation.
const SPAN: u32 = COLUMN_TILES * TN;
// Rows of A and of B that the workgroup stages at once.
const ROWS_A: u32 = LANES * 4u / BK;
const ROWS_B: u32 = LANES / (BN / 4u);

var<workgroup> tile_a: array<vec4<f32>, BM * BK / 4u>;
var<workgroup> tile_b: array<vec4<f32>, BK * BN / 4u>;

@compute @workgroup_size(128)
fn warp_tile(@builtin(workgroup_id) block: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let warp_column = lane / WARP % (BN / WN);
    let warp_row = lane / WARP / (BN / WN);
    let column = lane % WARP % (SUB_N / TN);
    let row = lane % WARP / (SUB_N / TN);
    let row_a = lane / (BK / 4u);
    let column_a = lane % (BK / 4u);
    let row_b = lane / (BN / 4u);
    let column_b = lane % (BN / 4u);
    // In vectors of four.
    var from_a = (block.y * BM + row_a) * (sizes.k / 4u) + column_a;
    var from_b = row_b * (sizes.n / 4u) + block.x * (BN / 4u) + column_b;
    var sums: array<f32, TM * SPAN>;
    var left: array<f32, TM>;
    var right: array<f32, SPAN>;
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
                let four = tile_a[(d * BM + warp_row * WM + row * TM + i) / 4u];
                left[i] = four.x;
                left[i + 1u] = four.y;
                left[i + 2u] = four.z;
                left[i + 3u] = four.w;
            }
            for (var t = 0u; t < COLUMN_TILES; t++) {
                let four = tile_b[(d * BN + warp_column * WN + t * SUB_N + column * TN) / 4u];
                right[t * TN] = four.x;
                right[t * TN + 1u] = four.y;
                right[t * TN + 2u] = four.z;
                right[t * TN + 3u] = four.w;
            }
            for (var t = 0u; t < COLUMN_TILES; t++) {
                for (var r = 0u; r < TM; r++) {
                    for (var s = 0u; s < TN; s++) {
                        let at = r * SPAN + t * TN + s;
                        sums[at] = fma(left[r], right[t * TN + s], sums[at]);
                    }
                }
            }
        }
        workgroupBarrier();
    }
    for (var t = 0u; t < COLUMN_TILES; t++) {
        let to_column = block.x * BN + warp_column * WN + t * SUB_N + column * TN;
        for (var r = 0u; r < TM; r++) {
            let to = ((block.y * BM + warp_row * WM + row * TM + r) * sizes.n + to_column) / 4u;
            let at = r * SPAN + t * TN;
            let four = vec4(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
            c[to] = sizes.alpha * four + sizes.beta * c[to];
        }
    }
}
