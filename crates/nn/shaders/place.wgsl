// A box [N, C, L] of elements from one tensor to another, each somewhere in its own [N, .., ..]; where the source ends, zeros.
// use: element, stored

struct Params {
    /// Elements of the box, and its channels and length.
    count: u32,
    channels: u32,
    length: u32,
    /// Where the box lies in the output, and how large that is.
    out_channels: u32,
    out_length: u32,
    out_channel: u32,
    /// What is subtracted from a channel and a position of the box for those of the input, and how large that is.
    in_channels: u32,
    in_length: u32,
    in_channel: i32,
    in_position: i32,
    /// 1 where the output is added to.
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
    // What lies before the start is a huge u32.
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
