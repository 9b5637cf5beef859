// Weight normalisation: each row of a weight is g * v / |v|.
// use: scalar_terms, sum_lanes, weight_norm/row

@group(0) @binding(3) var<storage, read_write> weight: array<Stored>;

fn add_term(i: u32, sum: Sum) -> Sum {
    return fma(loaded(v[i]), loaded(v[i]), sum);
}

@compute @workgroup_size(LANES)
fn weight_norm(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = index_of(workgroup);
    if (row >= params.rows) {
        return;
    }
    let range = elements_of(row);
    let squares = sum_lanes(lane, sum_terms(range.first + lane, range.end, LANES));
    let scale = loaded(g[row]) / sqrt(squares);
    for (var i = range.first + lane; i < range.end; i += LANES) {
        weight[i] = stored(scale * loaded(v[i]));
    }
}
