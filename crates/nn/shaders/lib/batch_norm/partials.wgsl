// Partial results of the first pass.
// use: batch_norm/params, stored

@group(0) @binding(1) var<storage, read> partials: array<Stored>;

/// The two numbers of a split of a channel.
fn partial(split: u32, channel: u32) -> vec2<Sum> {
    let index = split * params.channels + channel;
    return vec2<Sum>(loaded(partials[2u * index]), loaded(partials[2u * index + 1u]));
}
