// The derivative of an activation at what the forward pass saved, which has the layout of the gradient.
// use: stored, activation/*

// 1: what went into the activation was saved. 0: what came out of it.
const SAVED_INPUT: u32 = 0u;

@group(0) @binding(7) var<storage, read> saved: array<Stored>;

fn derivative_at(at: u32, slope: f32) -> Sum {
    return derivative(loaded(saved[params.skips.saved + at]), SAVED_INPUT == 1u, slope);
}
