// The tensor that a dispatch writes.
// use: stored

// 1: the output holds sums over earlier terms, and this dispatch adds to them.
const ACCUMULATE: u32 = 0u;

@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
