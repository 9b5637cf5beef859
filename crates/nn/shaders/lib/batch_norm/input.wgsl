// The tensor that is normalised.
// use: stored

@group(0) @binding(1) var<storage, read> input: array<Stored>;
