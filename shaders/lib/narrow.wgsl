// The binding of the narrow operand.
// use: stored, narrow/*

@group(0) @binding(2) var<storage, read> narrow: array<Stored>;

/// Index of the first row of a batch item and a group.
fn narrow_at(n: u32, group: u32) -> u32 {
    return params.skips.narrow + params.narrow.base + n * params.narrow.batch + group * params.narrow.group;
}
