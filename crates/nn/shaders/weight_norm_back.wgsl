// Gradients of `weight_norm`: dg = dw.v / |v| and dv = g / |v| * (dw - v * dw.v / |v|^2).
// use: sum_lanes, weight_norm/row

@group(0) @binding(3) var<storage, read> weight_gradient: array<Stored>;
@group(0) @binding(4) var<storage, read_write> g_gradient: array<Stored>;
@group(0) @binding(5) var<storage, read_write> v_gradient: array<Stored>;

@compute @workgroup_size(LANES)
fn weight_norm_back(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = index_of(workgroup);
    if (row >= params.rows) {
        return;
    }
    let range = elements_of(row);
    var products = Sum(0);
    var squares = Sum(0);
    for (var i = range.first + lane; i < range.end; i += LANES) {
        squares += loaded(v[i]) * loaded(v[i]);
        products += loaded(v[i]) * loaded(weight_gradient[i]);
    }
    squares = sum_lanes(lane, squares);
    products = sum_lanes(lane, products);
    let norm = sqrt(squares);
    let scale = loaded(g[row]) / norm;
    let along = products / squares;
    for (var i = range.first + lane; i < range.end; i += LANES) {
        v_gradient[i] = stored(scale * (loaded(weight_gradient[i]) - loaded(v[i]) * along));
    }
    if (lane == 0u) {
        g_gradient[row] = stored(products / norm);
    }
}
