// The gradient with respect to `b`.
// use: stored

@group(0) @binding(7) var<storage, read_write> b_gradient: array<Stored>;

// 1 to add to the stored gradient instead of replacing it. Set by the program.
const B_ADDED: u32 = 0u;

fn store_b_gradient(i: u32, dz: Sum) {
    var db = dz;
    if (B_ADDED == 1u) {
        db = loaded(b_gradient[i]) + dz;
    }
    b_gradient[i] = stored(db);
}
