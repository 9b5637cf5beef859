//! How a tile of output positions walks over the taps of an input row.

use super::{Prediction, Tile};
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
    /// Taps from one sample to the next that a shift brings.
    pub(super) period: u32,
}

/// Input positions of a block of tiles, at most: beyond the end of the longest row they still fit an `i32`.
pub(super) const MAX_BLOCK: u64 = 1 << 24;

impl Walk {
    /// A run of positions, whose taps are walked over one by one.
    pub(super) fn plain(tile: Tile) -> Self {
        Walk { tile_positions: tile.positions, shifted: false, spacing: 1, period: 1 }
    }

    /// The same with the positions of so many invocations interleaved, so that neighbours are at neighbouring positions.
    fn interleaved(tile: Tile, invocations: u32) -> Self {
        Walk { spacing: invocations, ..Walk::plain(tile) }
    }

    /// Input positions from one invocation to the next.
    pub(super) fn distance(&self, in_step: u32) -> u32 {
        let positions = if self.spacing == 1 { self.tile_positions } else { 1 };
        positions.saturating_mul(in_step)
    }

    fn shifted(in_step: u32, tap_step: u32, tile: Tile) -> Self {
        let common = gcd(in_step, tap_step);
        let (spacing, period) = (tap_step / common, in_step / common);
        Walk { tile_positions: tile.positions, shifted: true, spacing, period }
    }

    /// The walk that is predicted to be fastest, and its prediction. `interleaved` is how many invocations may interleave, where a kernel
    /// can do that.
    pub(super) fn fastest(
        in_step: u32,
        tap_step: u32,
        tile: Tile,
        taps: u32,
        interleaved: Option<u32>,
        predict: impl Fn(&Walk) -> Prediction,
    ) -> (Self, Prediction) {
        let faster = |walk: Walk, best: (Walk, Prediction)| {
            let prediction = predict(&walk);
            if prediction.seconds() < best.1.seconds() { (walk, prediction) } else { best }
        };
        let too_far = |walk: &Walk| {
            // Shaders reckon with positions up to a block beyond the end.
            u64::from(walk.spacing) * u64::from(in_step) > MAX_BLOCK / u64::from(tile.positions)
        };
        let plain = Walk::plain(tile);
        let mut plain = (plain, predict(&plain));
        let interleaved = interleaved.map(|invocations| Walk::interleaved(tile, invocations));
        if let Some(walk) = interleaved.filter(|walk| !too_far(walk) && tile.positions > 1) {
            plain = faster(walk, plain);
        }
        // One tap, or one position, has nothing to shift.
        if taps <= 1 || tile.positions == 1 {
            return plain;
        }
        let shifted = Walk::shifted(in_step, tap_step, tile);
        if too_far(&shifted) { plain } else { faster(shifted, plain) }
    }

    /// Tiles along so many positions of a row: whole blocks of interleaved tiles.
    pub(super) fn position_tiles(&self, positions: u32) -> u64 {
        let block = u64::from(self.spacing) * u64::from(self.tile_positions);
        u64::from(positions).div_ceil(block) * u64::from(self.spacing)
    }

    /// Samples that a tile loads for each of so many taps, on average.
    pub(super) fn samples(&self, positions: u32, taps: u32) -> f64 {
        if self.shifted { 1.0 + f64::from(positions - 1) * self.runs(taps) } else { f64::from(positions) }
    }

    /// Runs of shifts for each of so many taps.
    pub(super) fn runs(&self, taps: u32) -> f64 {
        f64::from(self.period.min(taps)) / f64::from(taps.max(1))
    }
}
