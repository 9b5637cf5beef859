// The two textures of the workspace, read as sampled textures, which every WebGPU device supports.

@group(0) @binding(9) var input_texels: texture_2d<f32>;
@group(0) @binding(10) var factor_texels: texture_2d<f32>;

fn input_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(input_texels, place, 0);
}

fn factor_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(factor_texels, place, 0);
}
