// The learnt scale of each channel.
// use: stored

@group(0) @binding(3) var<storage, read> gamma: array<Stored>;
