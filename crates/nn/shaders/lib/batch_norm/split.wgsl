// Passes that sum over the positions of a channel. A workgroup does a split of the positions, and stores two numbers.
// use: batch_norm/params, element_range, stored, workgroup

@group(0) @binding(6) var<storage, read_write> partials: array<Stored>;

/// What a workgroup does.
struct ChannelSplit {
    channel: u32,
    positions: ElementRange,
}

/// Splits of all channels.
fn split_count() -> u32 {
    return params.channels * params.splits;
}

fn channel_split(index: u32) -> ChannelSplit {
    let positions = element_range(index / params.channels, params.split, params.positions);
    return ChannelSplit(index % params.channels, positions);
}

/// Index of the element at a position of a channel, which counts over all items.
fn element_at(channel: u32, position: u32) -> u32 {
    return (position / params.length * params.channels + channel) * params.length + position % params.length;
}

fn store_split(index: u32, numbers: vec2<Sum>) {
    partials[2u * index] = stored(numbers.x);
    partials[2u * index + 1u] = stored(numbers.y);
}
