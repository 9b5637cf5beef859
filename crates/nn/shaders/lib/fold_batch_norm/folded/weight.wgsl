// An element of the weight.
// use: stored

@group(0) @binding(1) var<storage, read> input: array<Stored>;

fn folded(i: u32, channel: u32, scale: Sum) -> Sum {
    return loaded(input[i]) * scale;
}
