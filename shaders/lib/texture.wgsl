// A texture of the workspace holds one sequence of texels, row after row.

fn texel_place(texel: u32) -> vec2<u32> {
    return vec2(texel % TEXTURE_WIDTH, texel / TEXTURE_WIDTH);
}
