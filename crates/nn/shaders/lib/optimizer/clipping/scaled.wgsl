// Gradients, scaled so that their common norm is within a limit.
// use: stored

/// Factor of the gradients, and their norm: the output of `clip`.
@group(0) @binding(2) var<storage, read> clipping: array<Stored>;

fn clipped(gradient: Sum) -> Sum {
    return gradient * loaded(clipping[0]);
}
