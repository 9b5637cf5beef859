// Counter-based random numbers: a function of a counter and a key.

/// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011): the
/// first of its two output words for a counter and a key.
fn threefry(counter: vec2<u32>, key: vec2<u32>) -> u32 {
    var rotations = array<u32, 8>(13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u);
    var keys = array<u32, 3>(key.x, key.y, 0x1BD11BDAu ^ key.x ^ key.y);
    var x = counter + key;
    for (var block = 0u; block < 5u; block++) {
        for (var round = 0u; round < 4u; round++) {
            x.x += x.y;
            let by = rotations[(block % 2u) * 4u + round];
            x.y = ((x.y << by) | (x.y >> (32u - by))) ^ x.x;
        }
        x.x += keys[(block + 1u) % 3u];
        x.y += keys[(block + 2u) % 3u] + block + 1u;
    }
    return x.x;
}
