// The binding of the input.
// use: stored, input/*

@group(0) @binding(1) var<storage, read> input: array<Stored>;

/// Index of the first row of a batch item and a group.
fn input_at(n: u32, group: u32) -> u32 {
    return params.skips.input + params.input.base + n * params.input.batch + group * params.input.group;
}
