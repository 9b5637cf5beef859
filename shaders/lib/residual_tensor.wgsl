// The residual, in the layout of the output.

@group(0) @binding(5) var<storage, read> residual: array<Stored>;

fn residual_at(at: u32) -> Sum {
    return loaded(residual[params.skips.residual + at]);
}
