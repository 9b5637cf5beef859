// Packs the weight into a texture, in the order in which `texels` walks over it: a texel holds four input rows of one tap, or
// four taps of one input row.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// Output rows of a tile. Set by the plan.
const TILE_ROWS: u32 = 8u;
// 1 where a texel holds four taps of a row instead of four rows. Set by the plan.
const TEXEL_TAPS: u32 = 0u;
// Texels of a row of the texture.
const WIDTH: u32 = 4096u;

/// Outputs that are reached by the same taps: every `out_step`-th of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position that the first output and the first tap meet at.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one: where its packed weights start.
    taps_before: u32,
}

/// What is packed. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    /// Workgroups of each phase.
    phase_workgroups: u32,
    groups: u32,
    rows: u32,
    row_tiles: u32,
    depth: u32,
    /// Rows of texels: `full_units` with `unit_taps` texels of taps, then those with the last taps.
    units: u32,
    full_units: u32,
    unit_taps: u32,
    /// Steps of the sum of a row tile, all phases together.
    steps: u32,
    /// 1 where taps are walked over from the last to the first.
    reversed: u32,
    tap_stride: u32,
    w_base: u32,
    w_group: u32,
    w_row: u32,
    w_depth: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var texels: texture_storage_2d<rgba32float, write>;

@compute @workgroup_size(LANES)
fn texels_weight(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let phase = phases[index / params.phase_workgroups];
    var rest = (index % params.phase_workgroups) * LANES + lane.x;
    // Steps of this phase.
    var steps = params.units * phase.taps;
    if (TEXEL_TAPS == 1u) {
        steps = params.steps;
    }
    let r = rest % TILE_ROWS;
    rest = rest / TILE_ROWS;
    if (rest >= steps * params.row_tiles * params.groups) {
        return;
    }
    let step = rest % steps;
    let tile = rest / steps;
    let row = (tile % params.row_tiles) * TILE_ROWS + r;
    let group = tile / params.row_tiles;

    // Input row and tap of each of the four, the tap counted from the lowest position.
    var q: vec4<u32>;
    var tap: vec4<u32>;
    if (TEXEL_TAPS == 0u) {
        q = (step / phase.taps) * 4u + vec4(0u, 1u, 2u, 3u);
        tap = vec4(step % phase.taps);
    } else if (step < params.full_units * params.unit_taps) {
        q = vec4(step / params.unit_taps);
        tap = (step % params.unit_taps) * 4u + vec4(0u, 1u, 2u, 3u);
    } else {
        q = vec4(step - params.full_units * params.unit_taps);
        tap = params.unit_taps * 4u + vec4(0u, 1u, 2u, 3u);
    }
    let w_row = params.w_base + group * params.w_group + row * params.w_row;
    var value = vec4<Element>();
    for (var e = 0u; e < 4u; e++) {
        if (row < params.rows && q[e] < params.depth && tap[e] < phase.taps) {
            let t = select(tap[e], phase.taps - 1u - tap[e], params.reversed == 1u);
            value[e] = weight[w_row + q[e] * params.w_depth + phase.tap_first + t * params.tap_stride];
        }
    }
    let texel = (tile * params.steps + phase.taps_before * params.units + step) * TILE_ROWS + r;
    textureStore(texels, vec2(texel % WIDTH, texel / WIDTH), value);
}
