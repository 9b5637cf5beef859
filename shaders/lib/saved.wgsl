// The derivative of an activation at the tensor that the forward pass saved, in the layout of the gradient.
// use: stored, activation/*

// 1: the input of the activation was saved. 0: its output was saved.
const SAVED_INPUT: u32 = 0u;

@group(0) @binding(7) var<storage, read> saved: array<Stored>;

fn derivative_at(at: u32, slope: f32) -> Sum {
    return derivative(loaded(saved[params.skips.saved + at]), SAVED_INPUT == 1u, slope);
}
