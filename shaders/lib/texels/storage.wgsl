// The two textures of the workspace, read as storage textures, an optional feature of WGSL.

@group(0) @binding(9) var input_texels: texture_storage_2d<rgba32float, read>;
@group(0) @binding(10) var factor_texels: texture_storage_2d<rgba32float, read>;

fn input_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(input_texels, place);
}

fn factor_texel(place: vec2<u32>) -> vec4<f32> {
    return textureLoad(factor_texels, place);
}
