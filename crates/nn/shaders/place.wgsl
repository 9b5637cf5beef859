// Copies a box [N, C, L] of elements from one tensor [N, .., ..] to another. Elements outside the source are zeros.
// use: element, stored

struct Params {
    /// Elements, channels and length of the box.
    count: u32,
    channels: u32,
    length: u32,
    /// Channels and length of the output, and the first channel of the box in it.
    out_channels: u32,
    out_length: u32,
    out_channel: u32,
    /// Channels and length of the input, and the numbers subtracted from a channel and a position of the box to get
    /// those of the input.
    in_channels: u32,
    in_length: u32,
    in_channel: i32,
    in_position: i32,
    /// 1 to add to the output instead of replacing it.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read_write> output: array<Stored>;

@compute @workgroup_size(LANES)
fn place(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let position = i % params.length;
    let channel = i / params.length % params.channels;
    let item = i / params.length / params.channels;
    // Negative indices wrap to large u32, which fail the comparison below.
    let from_channel = u32(i32(channel) - params.in_channel);
    let from_position = u32(i32(position) - params.in_position);
    var value = Sum(0);
    if (from_channel < params.in_channels && from_position < params.in_length) {
        value = loaded(input[(item * params.in_channels + from_channel) * params.in_length + from_position]);
    }
    let channel_out = item * params.out_channels + channel + params.out_channel;
    let to = channel_out * params.out_length + position;
    if (params.accumulate == 1u) {
        value += loaded(output[to]);
    }
    output[to] = stored(value);
}
