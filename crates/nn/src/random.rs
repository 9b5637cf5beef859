//! Counter-based random numbers: every number is a function of a key and a counter. It needs no state, and both the
//! shaders and the host can recompute it.

/// Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011).
pub(crate) fn threefry(counter: [u32; 2], key: [u32; 2]) -> [u32; 2] {
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

/// The key of a stream of a seed.
pub(crate) fn key(seed: u64, stream: u32) -> [u32; 2] {
    threefry([stream, 0], [seed as u32, (seed >> 32) as u32])
}

/// A number from 0 to 1, excluding 1, in steps of 2^-24.
pub(crate) fn unit(counter: u64, key: [u32; 2]) -> f32 {
    let [word, _] = threefry([counter as u32, (counter >> 32) as u32], key);
    (word >> 8) as f32 / (1 << 24) as f32
}

/// Rounds of the Feistel network below; four make it a strong pseudo-random permutation (Luby and Rackoff, 1988).
const ROUNDS: u32 = 6;

/// The position of `index` in a permutation of `0..count` that the key determines. No list is needed: a Feistel network
/// permutes the numbers of the next even number of bits, and is applied again until the result is below `count` (Black
/// and Rogaway: *Ciphers with Arbitrary Finite Domains*, 2002).
pub(crate) fn permuted(index: u64, count: u64, key: [u32; 2]) -> u64 {
    let half = (64 - count.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
    let mask = u64::MAX >> (64 - half);
    let mut place = index;
    loop {
        let (mut left, mut right) = (place >> half, place & mask);
        for round in 0..ROUNDS {
            let [mixed, _] = threefry([right as u32, round], key);
            (left, right) = (right, left ^ (u64::from(mixed) & mask));
        }
        place = left << half | right;
        if place < count {
            return place;
        }
    }
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
        for count in [1, 2, 3, 16, 17, 1000, 4096] {
            let order = |stream| (0..count).map(|i| permuted(i, count, key(7, stream))).collect::<Vec<_>>();
            let mut numbers = order(3);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>());
            if count > 16 {
                assert_ne!(order(3), order(4));
                let kept = order(3).iter().zip(0..).filter(|(a, b)| **a == *b).count();
                assert!(kept < 10, "{kept} of {count} stay where they are");
            }
        }
        assert!(permuted(u64::MAX - 1, u64::MAX, key(1, 1)) < u64::MAX);
    }
}
