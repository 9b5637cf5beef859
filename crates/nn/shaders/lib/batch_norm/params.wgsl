// Parameters of the passes of batch normalisation (Ioffe, Szegedy: Batch Normalization, ICML 2015).

struct Params {
    /// Elements of the input.
    count: u32,
    channels: u32,
    /// Positions of a row.
    length: u32,
    /// Positions of a channel in all items, the splits of them, and positions of a split.
    positions: u32,
    splits: u32,
    split: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
    /// The number that is added to a variance before its root is taken.
    epsilon: f32,
    /// How much of a batch goes into the running statistics.
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

/// The channel of an element.
fn channel_of(i: u32) -> u32 {
    return i / params.length % params.channels;
}
