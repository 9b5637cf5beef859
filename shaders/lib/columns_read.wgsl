// The columns that a matrix product reads.
// use: stored

@group(0) @binding(1) var<storage, read> columns: array<Stored>;
