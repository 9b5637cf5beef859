// Folded biases: (bias - mean) * scale + beta.
// use: stored

@group(0) @binding(3) var<storage, read> beta: array<Stored>;
@group(0) @binding(4) var<storage, read> mean: array<Stored>;

fn shifted(centred: Sum, channel: u32, scale: Sum) -> Sum {
    return centred * scale + loaded(beta[channel]);
}
