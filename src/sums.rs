//! How sums over positions are added, and the longest chain that this gives.
//!
//! A plain sum of n terms has a chain of n: its bound grows with n, and is infinite from 2^24 terms. So a sum over positions is cut into
//! *splits*, and a split into *blocks*. The sum of a block starts from zero and is then added to the sum of its split. The sums of the
//! splits are added as a tree. A chain passes through the terms of a block, the blocks of a split, and the levels of the tree. (Two levels
//! of blocks: Castaldo, Whaley, Chronopoulos: *Reducing Floating Point Error in Dot Product Using the Superblock Family of Algorithms*,
//! 2008. A tree of blocks all the way would need memory for a sum on each of its levels.)

/// The longest chain of a sum of `terms` terms over positions or elements, such as a weight or bias gradient, a loss or a statistic:
/// `1024 + ceil(log2(terms / 1024)) + 16`, or `terms` where that is less.
pub fn longest_chain(terms: u64) -> u64 {
    terms.min(CHAIN + u64::from(levels(terms.div_ceil(1024))))
}

/// The longest chain of a plan. It does not grow with the number of terms, since padding leaves some outputs with fewer terms than others.
pub(crate) const CHAIN: u64 = 1024 + 16;

/// `ceil(log2(count))`: the levels of a tree.
fn levels(count: u64) -> u32 {
    count.max(1).next_power_of_two().ilog2()
}

/// Most terms of a block of a split of `terms` terms, where an invocation adds them one after the other and `tree` additions follow. A
/// block costs a load and a store of its sum, 0.3 to 0.5 % of its multiply-adds. So a split is one block if the chain allows. Otherwise
/// its blocks are as long as leaves 40 additions for slices and dispatches that end a block early.
pub(crate) fn block(terms: u64, tree: u64) -> u32 {
    if terms + tree <= 1025 {
        return terms.max(1) as u32;
    }
    CHAIN.saturating_sub(40 + tree + 2 * terms.div_ceil(1024)).max(512) as u32
}

/// Most terms of a split. A split has more only if the workspace is too small for the number of splits that follows. Its blocks have about
/// 700 terms, and its chain is at most 1,000.
pub(crate) const SPLIT: u64 = 1 << 17;

/// Terms of a block of `sum_terms.wgsl`, and blocks of a block of blocks.
const LANE_BLOCK: u64 = 128;

/// Most terms of a split whose terms a workgroup of `lanes` invocations adds.
pub(crate) const fn lanes_split(lanes: u64) -> u64 {
    lanes * LANE_BLOCK * LANE_BLOCK
}

/// The chain of `terms` terms that an invocation adds with `sum_terms.wgsl`: blocks, blocks of blocks, and their sum.
pub(crate) fn lane_chain(terms: u64) -> u64 {
    let blocks = terms.div_ceil(LANE_BLOCK);
    terms.min(LANE_BLOCK) + blocks.min(LANE_BLOCK) + blocks.div_ceil(LANE_BLOCK)
}

/// The chain of the sum of one value of each of `lanes` invocations (`sum_lanes.wgsl`).
pub(crate) fn tree_chain(lanes: u32) -> u64 {
    levels(lanes.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_grows_with_the_logarithm() {
        assert_eq!([0, 1, 1000, 1024, 1040].map(longest_chain), [0, 1, 1000, 1024, 1040]);
        assert_eq!([1041, 2048, 2049].map(longest_chain), [1041, 1041, 1042]);
        assert_eq!([1 << 27, (1 << 27) + 1, 1 << 32].map(longest_chain), [1057, 1058, 1062]);
        assert_eq!(longest_chain(u64::MAX), 1024 + 54 + 16);
    }

    #[test]
    fn blocks_keep_it() {
        for terms in (0..=17).flat_map(|power| [1_u64 << power, (1 << power) * 3 / 4, (1 << power) - 1]) {
            for tree in [0, 3, 22, 70] {
                let block = u64::from(block(terms, tree));
                let chain = block.min(terms) + terms.div_ceil(block) + tree;
                assert!(chain <= if block >= terms { 1026 } else { 1000 }, "{terms}, {tree}: {block}");
            }
        }
    }

    #[test]
    fn sums_of_lanes_keep_it() {
        for lanes in [1, 64, 128] {
            let terms = lanes_split(lanes.into());
            assert!(lane_chain(terms / u64::from(lanes)) + tree_chain(lanes) <= 1024);
        }
        assert_eq!((lane_chain(0), lane_chain(1), lane_chain(128), lane_chain(129)), (0, 3, 130, 131));
    }
}
