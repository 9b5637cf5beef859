//! Counter-based random numbers: every number is a function of a key and a counter, so that it needs no state and can be made again
//! anywhere, by the shaders as by the host.

/// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011).
pub(super) fn threefry(counter: [u32; 2], key: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let [mut x, mut y] = [counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1])];
    for block in 0..5 {
        for by in ROTATIONS[block % 2] {
            x = x.wrapping_add(y);
            y = y.rotate_left(by) ^ x;
        }
        x = x.wrapping_add(keys[(block + 1) % 3]);
        y = y.wrapping_add(keys[(block + 2) % 3]).wrapping_add(block as u32 + 1);
    }
    [x, y]
}

/// The key of one of the streams of a seed.
pub(super) fn key(seed: u64, stream: u32) -> [u32; 2] {
    threefry([stream, 0], [seed as u32, (seed >> 32) as u32])
}

/// A number of 0 to 1, 1 excluded, in steps of 2^-24.
pub(super) fn unit(counter: u64, key: [u32; 2]) -> f32 {
    let [word, _] = threefry([counter as u32, (counter >> 32) as u32], key);
    (word >> 8) as f32 / (1 << 24) as f32
}

/// The numbers below `count` in an order that the key decides (Fisher and Yates).
pub(super) fn permutation(count: usize, key: [u32; 2]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let [low, high] = threefry([last as u32, (last as u64 >> 32) as u32], key);
        let random = u64::from(low) | u64::from(high) << 32;
        // The bias of the remainder is below count / 2^64.
        order.swap(last, (random % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123 (`kat_vectors`).
    #[test]
    fn threefry_gives_the_published_answers() {
        for (counter, key, answer) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            assert_eq!(threefry(counter, key), answer);
        }
    }

    #[test]
    fn a_permutation_has_every_number_once() {
        let mut order = permutation(1000, key(7, 3));
        assert_ne!(order, permutation(1000, key(7, 4)));
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
