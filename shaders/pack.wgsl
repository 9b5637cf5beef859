// Weight packing: the weights of each phase, group and tile of output rows side by side, for each input row and tap those of
// the tile's rows.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// Output rows of a tile; the last may be filled up with zeros. Set by the plan.
const TILE_ROWS: u32 = 1u;

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
    tap_stride: u32,
    w_base: u32,
    w_group: u32,
    w_row: u32,
    w_depth: u32,
    packed_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read_write> packed: array<Element>;

@compute @workgroup_size(LANES)
fn pack(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let index = workgroup.x + workgroup.y * workgroups.x;
    if (index >= params.workgroups) {
        return;
    }
    let phase = phases[index / params.phase_workgroups];
    let element = (index % params.phase_workgroups) * LANES + lane.x;
    let all_rows = params.groups * params.row_tiles * TILE_ROWS;
    if (element >= all_rows * params.depth * phase.taps) {
        return;
    }
    let in_tile = element % TILE_ROWS;
    var rest = element / TILE_ROWS;
    let t = rest % phase.taps;
    rest = rest / phase.taps;
    let q = rest % params.depth;
    rest = rest / params.depth;
    let r = (rest % params.row_tiles) * TILE_ROWS + in_tile;
    let group = rest / params.row_tiles;
    let source = params.w_base + group * params.w_group + r * params.w_row + q * params.w_depth + phase.tap_first;
    var value = Element(0);
    if (r < params.rows) {
        value = weight[source + t * params.tap_stride];
    }
    packed[params.packed_base + all_rows * params.depth * phase.taps_before + element] = value;
}
