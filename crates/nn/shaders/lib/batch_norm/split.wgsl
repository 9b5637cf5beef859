// Passes that sum over the positions of a channel. One workgroup per split of the positions; it stores two numbers.
// use: batch_norm/params, element_range, stored, workgroup

@group(0) @binding(6) var<storage, read_write> partials: array<Stored>;

/// The split of a workgroup: a channel and some of its positions.
struct ChannelSplit {
    channel: u32,
    positions: ElementRange,
}

/// Number of splits of all channels.
fn split_count() -> u32 {
    return params.channels * params.splits;
}

fn channel_split(index: u32) -> ChannelSplit {
    let positions = element_range(index / params.channels, params.split, params.positions);
    return ChannelSplit(index % params.channels, positions);
}

/// Index of the element at a position of a channel. Positions count over all items.
fn element_at(channel: u32, position: u32) -> u32 {
    return (position / params.length * params.channels + channel) * params.length + position % params.length;
}

fn store_split(index: u32, numbers: vec2<Sum>) {
    partials[2u * index] = stored(numbers.x);
    partials[2u * index + 1u] = stored(numbers.y);
}
