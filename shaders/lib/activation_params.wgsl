// Parameters of `activation` and `activation_back`.

struct Params {
    /// Number of elements.
    count: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
