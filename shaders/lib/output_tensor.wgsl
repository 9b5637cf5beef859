// The tensor that a dispatch writes.
// use: stored

// 1: it holds sums over earlier terms, which this dispatch adds to.
const ACCUMULATE: u32 = 0u;

@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
