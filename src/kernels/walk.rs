//! How a tile of output positions walks over the taps of an input row.

use crate::lowering::gcd;

/// The positions of a tile and the order in which it takes the taps.
///
/// Output position `j` reads input position `j*stride + t*dilation` for tap `t`. Positions `dilation/gcd` apart read samples
/// `lcm(stride, dilation)` apart, which is `stride/gcd` taps: so the sample of tap `t + stride/gcd` is the one that the
/// neighbour had for tap `t`, and a tile loads one sample a tap and shifts the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    tile_positions: u32,
    /// Whether samples are shifted through the tile; otherwise every tap loads all of its own.
    pub(super) shifted: bool,
    /// Output positions between neighbours of a tile.
    pub(super) spacing: u32,
    /// Taps from one to the next at which neighbours share a sample: stride / gcd.
    pub(super) tap_stride: u32,
}

/// Input positions of a block of tiles, at most: beyond the end of the longest row they still fit an `i32`.
pub(super) const MAX_BLOCK: u64 = 1 << 24;

impl Walk {
    /// Neighbouring positions, whose taps are walked over one by one.
    pub(super) fn plain(tile_positions: u32) -> Self {
        Walk { tile_positions, shifted: false, spacing: 1, tap_stride: 1 }
    }

    /// The same with the positions of so many invocations interleaved, so that neighbours are at neighbouring positions.
    fn interleaved(tile_positions: u32, invocations: u32) -> Self {
        Walk { spacing: invocations, ..Walk::plain(tile_positions) }
    }

    /// Input positions from one invocation to the next.
    pub(super) fn distance(&self, in_step: u32) -> u32 {
        let positions = if self.spacing == 1 { self.tile_positions } else { 1 };
        positions.saturating_mul(in_step)
    }

    fn shifted(in_step: u32, tap_step: u32, tile_positions: u32) -> Self {
        let common = gcd(in_step, tap_step);
        let (spacing, tap_stride) = (tap_step / common, in_step / common);
        Walk { tile_positions, shifted: true, spacing, tap_stride }
    }

    /// The walks that a tile can take over so many taps. `interleaved` is how many invocations may interleave, where a kernel can do
    /// that.
    pub(super) fn all(
        in_step: u32,
        tap_step: u32,
        tile_positions: u32,
        taps: u32,
        interleaved: Option<u32>,
    ) -> impl Iterator<Item = Self> {
        let near = move |walk: &Walk| {
            // Shaders reckon with positions up to a block beyond the end.
            u64::from(walk.spacing) * u64::from(in_step) <= MAX_BLOCK / u64::from(tile_positions)
        };
        // One position has nothing to interleave; one position, or one tap, has nothing to shift.
        let interleaved = interleaved.filter(|_| tile_positions > 1);
        let interleaved = interleaved.map(|invocations| Walk::interleaved(tile_positions, invocations));
        let shifts = taps > 1 && tile_positions > 1;
        let shifted = shifts.then(|| Walk::shifted(in_step, tap_step, tile_positions));
        std::iter::once(Walk::plain(tile_positions)).chain([interleaved, shifted].into_iter().flatten().filter(near))
    }

    /// Tiles along so many positions of a row: whole blocks of interleaved tiles.
    pub(super) fn position_tiles(&self, positions: u32) -> u64 {
        let block = u64::from(self.spacing) * u64::from(self.tile_positions);
        u64::from(positions).div_ceil(block) * u64::from(self.spacing)
    }

    /// Samples that a tile loads for each of so many taps, on average.
    pub(super) fn samples(&self, positions: u32, taps: u32) -> f64 {
        if self.shifted { 1.0 + f64::from(positions - 1) * self.residues(taps) } else { f64::from(positions) }
    }

    /// Residues of taps, as a share of so many taps.
    pub(super) fn residues(&self, taps: u32) -> f64 {
        f64::from(self.tap_stride.min(taps)) / f64::from(taps.max(1))
    }
}
