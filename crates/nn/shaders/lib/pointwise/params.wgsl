// Parameters of `pointwise` and `pointwise_back`.

struct Params {
    /// Elements.
    count: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
    /// Number of the 2^32 random numbers that drop an element, and the factor of the elements that are kept.
    dropped: u32,
    scale: f32,
    /// Key of the layer's random numbers.
    key_low: u32,
    key_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
