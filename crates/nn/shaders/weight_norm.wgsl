// Weight normalisation: each row of a weight is g * v / |v|.
// use: sum_lanes, weight_norm/row

@group(0) @binding(3) var<storage, read_write> weight: array<Stored>;

@compute @workgroup_size(LANES)
fn weight_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = index_of(workgroup);
    if (row >= params.rows) {
        return;
    }
    let range = elements_of(row);
    var squares = Sum(0);
    for (var i = range.first + lane; i < range.end; i += LANES) {
        squares += loaded(v[i]) * loaded(v[i]);
    }
    let scale = loaded(g[row]) / sqrt(sum_lanes(lane, squares));
    for (var i = range.first + lane; i < range.end; i += LANES) {
        weight[i] = stored(scale * loaded(v[i]));
    }
}
