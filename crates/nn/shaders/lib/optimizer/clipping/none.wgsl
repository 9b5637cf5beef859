// Gradients as they are.

fn clipped(gradient: Sum) -> Sum {
    return gradient;
}
