// Output of batch normalisation before the activation: normalised element * gamma + beta.
// use: batch_norm/gamma, batch_norm/normalised

@group(0) @binding(4) var<storage, read> beta: array<Stored>;

fn scaled(i: u32, channel: u32) -> Sum {
    return normalised(i, channel) * loaded(gamma[channel]) + loaded(beta[channel]);
}
