// The texture of the workspace that a dispatch writes.
// use: texture

// 1: a texel holds four taps of a row. 0: it holds four rows.
const TEXEL_TAPS: u32 = 0u;

@group(0) @binding(9) var texels: texture_storage_2d<rgba32float, write>;

fn store_texel(texel: u32, value: vec4<f32>) {
    textureStore(texels, texel_place(texel), value);
}
