// Gradients of `weight_norm`: dg = dw.v / |v| and dv = g / |v| * (dw - v * dw.v / |v|^2).
// use: sum_lanes, sum_terms, weight_norm/row

@group(0) @binding(3) var<storage, read> weight_gradient: array<Stored>;
@group(0) @binding(4) var<storage, read_write> g_gradient: array<Stored>;
@group(0) @binding(5) var<storage, read_write> v_gradient: array<Stored>;

/// Sum of the squares of v, and of its products with the gradient of the weight.
alias Term = vec2<Sum>;

fn add_term(i: u32, sum: Term) -> Term {
    return fma(vec2<Sum>(loaded(v[i])), vec2<Sum>(loaded(v[i]), loaded(weight_gradient[i])), sum);
}

@compute @workgroup_size(LANES)
fn weight_norm_back(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = index_of(workgroup);
    if (row >= params.rows) {
        return;
    }
    let range = elements_of(row);
    let sums = sum_terms(range.first + lane, range.end, LANES);
    let squares = sum_lanes(lane, sums.x);
    let products = sum_lanes(lane, sums.y);
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
