//! The order in which a tile of output positions visits the taps of an input row.

use crate::lowering::gcd;

/// The positions of a tile, and the order in which the tile visits the taps.
///
/// Output position `j` reads input position `j*stride + t*dilation` for tap `t`. Positions `dilation/gcd` apart read samples
/// `lcm(stride, dilation)` apart, which is `stride/gcd` taps. So the sample of tap `t + stride/gcd` is the neighbour's sample
/// of tap `t`, and a tile loads one sample per tap and shifts the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    tile_positions: u32,
    /// Whether samples are shifted through the tile; otherwise every tap loads all its samples.
    pub(super) shifted: bool,
    /// Distance between neighbouring positions of a tile.
    pub(super) spacing: u32,
    /// Tap distance at which neighbouring outputs reuse a sample: stride / gcd.
    pub(super) tap_stride: u32,
}

/// Maximum input positions of a block of tiles: a block that starts within the longest row still ends within an `i32`.
pub(super) const MAX_BLOCK: u64 = 1 << 24;

impl Walk {
    /// Adjacent positions, whose taps are visited one by one.
    pub(super) fn plain(tile_positions: u32) -> Self {
        Walk { tile_positions, shifted: false, spacing: 1, tap_stride: 1 }
    }

    /// [`Walk::plain`] with the tiles of `invocations` interleaved, so that neighbouring invocations have adjacent positions.
    fn interleaved(tile_positions: u32, invocations: u32) -> Self {
        Walk { spacing: invocations, ..Walk::plain(tile_positions) }
    }

    /// Distance in elements between the first positions of neighbouring invocations, for positions `in_step` elements apart.
    pub(super) fn distance(&self, in_step: u32) -> u32 {
        let positions = if self.spacing == 1 { self.tile_positions } else { 1 };
        positions.saturating_mul(in_step)
    }

    fn shifted(in_step: u32, tap_step: u32, tile_positions: u32) -> Self {
        let common = gcd(in_step, tap_step);
        let (spacing, tap_stride) = (tap_step / common, in_step / common);
        Walk { tile_positions, shifted: true, spacing, tap_stride }
    }

    /// The walks of a tile over `taps` taps. `interleaved` is the number of invocations whose tiles interleave, or `None` if the kernel
    /// does not support that.
    pub(super) fn all(
        in_step: u32,
        tap_step: u32,
        tile_positions: u32,
        taps: u32,
        interleaved: Option<u32>,
    ) -> impl Iterator<Item = Self> {
        let near = move |walk: &Walk| {
            // Shaders compute positions up to one block beyond the end of a row.
            u64::from(walk.spacing) * u64::from(in_step) <= MAX_BLOCK / u64::from(tile_positions)
        };
        // Interleaving needs several positions; shifting needs several positions and several taps.
        let interleaved = interleaved.filter(|_| tile_positions > 1);
        let interleaved = interleaved.map(|invocations| Walk::interleaved(tile_positions, invocations));
        let shifts = taps > 1 && tile_positions > 1;
        let shifted = shifts.then(|| Walk::shifted(in_step, tap_step, tile_positions));
        std::iter::once(Walk::plain(tile_positions)).chain([interleaved, shifted].into_iter().flatten().filter(near))
    }

    /// Tiles along `positions` positions of a row, in whole blocks of interleaved tiles.
    pub(super) fn position_tiles(&self, positions: u32) -> u64 {
        let block = u64::from(self.spacing) * u64::from(self.tile_positions);
        u64::from(positions).div_ceil(block) * u64::from(self.spacing)
    }

    /// Mean number of samples that a tile of `positions` loads for each of `taps` taps.
    pub(super) fn samples(&self, positions: u32, taps: u32) -> f64 {
        if self.shifted { 1.0 + f64::from(positions - 1) * self.residues(taps) } else { f64::from(positions) }
    }

    /// Number of residues of the taps, divided by the number of taps.
    pub(super) fn residues(&self, taps: u32) -> f64 {
        f64::from(self.tap_stride.min(taps)) / f64::from(taps.max(1))
    }
}
