// The gradient with respect to `a`.
// use: pointwise/dropout/*, stored

@group(0) @binding(6) var<storage, read_write> a_gradient: array<Stored>;

// 1 to add to the stored gradient instead of replacing it. Set by the program.
const A_ADDED: u32 = 0u;

fn store_a_gradient(i: u32, dz: Sum) {
    var da = with_dropout(dz, i);
    if (A_ADDED == 1u) {
        da += loaded(a_gradient[i]);
    }
    a_gradient[i] = stored(da);
}
