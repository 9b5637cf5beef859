// Parameters of the passes of batch normalisation (Ioffe, Szegedy: Batch Normalization, ICML 2015).

struct Params {
    /// Elements of the input.
    count: u32,
    channels: u32,
    /// Positions of a row.
    length: u32,
    /// Positions of a channel over all items, number of their splits, and positions of a split.
    positions: u32,
    splits: u32,
    split: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
    /// Added to a variance before the square root.
    epsilon: f32,
    /// Weight of a batch in the running statistics.
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

/// The channel of an element.
fn channel_of(i: u32) -> u32 {
    return i / params.length % params.channels;
}
