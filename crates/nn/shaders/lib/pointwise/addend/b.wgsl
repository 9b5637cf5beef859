// `b` is added.
// use: stored

@group(0) @binding(3) var<storage, read> b: array<Stored>;

fn with_addend(z: Sum, i: u32) -> Sum {
    return z + loaded(b[i]);
}
