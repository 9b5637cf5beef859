// Gradients, scaled so that their common norm is not above a limit.
// use: stored

/// What gradients are multiplied by, and their norm: the output of `clip`.
@group(0) @binding(2) var<storage, read> clipping: array<Stored>;

fn clipped(gradient: Sum) -> Sum {
    return gradient * loaded(clipping[0]);
}
