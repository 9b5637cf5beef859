// Parameter structs that correlations and contractions share.

/// The elements of each binding before the range that the dispatch needs: a binding must start at a multiple of the device's alignment,
/// which may be before the range.
struct Skips {
    input: u32,
    narrow: u32,
    weight: u32,
    bias: u32,
    output: u32,
    residual: u32,
    pre_activation: u32,
    saved: u32,
}

/// The operand that is read at moving positions: a tensor [batch, groups, depth, length], of which a range of elements is bound.
struct Input {
    /// Index of the first element of the slice. It may lie before the bound range: offsets wrap modulo 2^32, and only the final sum is a
    /// valid index.
    base: u32,
    /// Elements from one batch item to the next, from one group to the next, and of a row.
    batch: u32,
    group: u32,
    length: u32,
    /// First position and number of positions of a row that lie in the bound range.
    touched_first: i32,
    touched: u32,
    /// The value of constant padding.
    fill: f32,
    /// Slope of the leaky ReLU through which the gradient is propagated back.
    slope: f32,
}
