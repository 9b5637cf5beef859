//! The kernels, one file each. A kernel lists the variants in which it can compute a problem. A variant predicts its time and emits its
//! dispatches.
//!
//! To add a kernel: a WGSL file in `shaders/`, a file here that implements [`Kernel`] for the problems that it computes, and an entry in
//! [`CORRELATE`], [`CONTRACT`] or [`SUM_ROWS`]. The planner, the tests and the benchmark iterate over these lists.

mod direct;
mod fold;
mod im2col;
pub(crate) mod operands;
pub(crate) mod order;
mod pack;
pub(crate) mod params;
mod predict;
pub(crate) mod program;
mod reduce;
mod slices;
mod texels;
mod tiled;
mod walk;
mod window;

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::lowering::{Contract, Correlate, SumRows};
use program::{Builder, Source};
use std::fmt;
use std::marker::PhantomData;

pub(crate) use fold::emit as emit_fold;
pub use predict::Prediction;
pub(crate) use slices::Sliced;

/// Kernels for correlations: forward, input gradient, transposed convolution.
pub(crate) static CORRELATE: &[&dyn Kernel<Correlate>] =
    &[&direct::Direct, &im2col::Im2col, &tiled::Tiled, &window::SlidingWindow, &texels::Texels];

/// Kernels for contractions over positions: weight gradient.
pub(crate) static CONTRACT: &[&dyn Kernel<Contract>] =
    &[&direct::Direct, &im2col::Im2col, &tiled::Tiled, &texels::Texels];

/// Kernels that sum rows: bias gradient.
pub(crate) static SUM_ROWS: &[&dyn Kernel<SumRows>] = &[&reduce::Sums];

/// Names of all kernels, without duplicates.
pub(crate) fn names() -> Vec<&'static str> {
    let contract = CONTRACT.iter().map(|k| k.name()).chain(SUM_ROWS.iter().map(|k| k.name()));
    let mut names: Vec<&'static str> = CORRELATE.iter().map(|k| k.name()).collect();
    contract.for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names
}

/// The shaders of all kernels. May contain duplicates.
pub(crate) fn sources() -> impl Iterator<Item = &'static Source> {
    let correlate = CORRELATE.iter().flat_map(|k| k.sources());
    let contract = CONTRACT.iter().flat_map(|k| k.sources());
    let sum_rows = SUM_ROWS.iter().flat_map(|k| k.sources());
    correlate.chain(contract).chain(sum_rows).chain([&fold::FOLD])
}

/// An algorithm for problems of one kind.
pub(crate) trait Kernel<P>: Sync {
    /// The name by which users select the kernel.
    fn name(&self) -> &'static str;

    /// The shaders of the kernel.
    fn sources(&self) -> Vec<&'static Source>;

    /// The variants in which the kernel can compute a problem, or the reason why there is none.
    fn variants(&self, problem: &P, caps: &Caps) -> Result<Vec<Box<dyn Variant<P>>>, String>;
}

/// A kernel in one configuration: its tile and options.
pub(crate) trait Variant<P> {
    /// The name of the configuration.
    fn tile(&self) -> Tile;

    /// The predicted time for a problem, which may be a part of the problem that the variant was offered for.
    fn predict(&self, problem: &P, caps: &Caps) -> Prediction;

    /// Appends the dispatches that compute a problem.
    fn emit(&self, problem: &P, builder: &mut Builder<'_>) -> Result<()>;
}

/// The name of a variant within its kernel, such as `8x12x8`: output channels x positions of an invocation, x invocations of a workgroup
/// along channels. Weight gradients have taps, or (input channel, tap) pairs, in place of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    rows: u32,
    columns: u32,
    lanes_rows: u32,
}

impl Tile {
    fn new(rows: u32, columns: u32, lanes_rows: u32) -> Self {
        Tile { rows, columns, lanes_rows }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)?;
        if self.lanes_rows > 1 { write!(f, "x{}", self.lanes_rows) } else { Ok(()) }
    }
}

/// Output rows and positions of an invocation, and invocations of a workgroup along rows. The other invocations are along positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CorrelateTile {
    rows: u32,
    positions: u32,
    lanes_rows: u32,
}

/// A layout of a correlation in a tile. The prediction and the dispatches both come from it.
trait CorrelateLayout: Copy {
    /// The layouts of a tile with their predictions, the fastest first. Empty if the problem does not fit the tile.
    fn ranked(c: &Correlate, tile: CorrelateTile, caps: &Caps) -> Vec<(Self, Prediction)>;

    /// Appends the dispatches that compute a correlation.
    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()>;
}

/// The variant of a tile that uses the layout with the fastest prediction.
#[derive(Debug)]
struct Ranked<L> {
    kernel: &'static str,
    tile: CorrelateTile,
    layouts: PhantomData<L>,
}

/// The variants of a kernel, one for each tile.
fn ranked<L: CorrelateLayout + 'static>(
    kernel: &'static str,
    tiles: impl IntoIterator<Item = CorrelateTile>,
) -> Vec<Box<dyn Variant<Correlate>>> {
    tiles.into_iter().map(|tile| Box::new(Ranked::<L> { kernel, tile, layouts: PhantomData }) as _).collect()
}

impl<L: CorrelateLayout> Variant<Correlate> for Ranked<L> {
    fn tile(&self) -> Tile {
        Tile::new(self.tile.rows, self.tile.positions, self.tile.lanes_rows)
    }

    fn predict(&self, c: &Correlate, caps: &Caps) -> Prediction {
        L::ranked(c, self.tile, caps).first().map_or(Prediction::NEVER, |&(_, fastest)| fastest)
    }

    fn emit(&self, c: &Correlate, builder: &mut Builder<'_>) -> Result<()> {
        let layouts = L::ranked(c, self.tile, builder.caps);
        if layouts.is_empty() {
            let reason = format!("the problem does not fit the tile {}", self.tile());
            return Err(Error::Unsupported { kernel: self.kernel, reason });
        }
        builder.first_required(layouts.len(), &|index, builder| layouts[index].0.emit(c, builder))
    }
}

/// Share of the lanes of a correlation that are in a subgroup with a tile, where `tiles` tiles lie along the positions of all batch items. The
/// other subgroups end at once.
fn active_share(tiles: f64, rows: u32, tile: CorrelateTile, subgroup: f64) -> f64 {
    let lanes_rows = f64::from(tile.lanes_rows);
    let along = f64::from(program::LANES) / lanes_rows;
    // Share of the lanes in whole subgroups, of which each has `at_once` tiles.
    let share =
        |tiles: f64, at_once: f64, lanes: f64| (tiles / at_once).ceil() * at_once / ((tiles / lanes).ceil() * lanes);
    let row_tiles = f64::from(rows.div_ceil(tile.rows));
    share(tiles, subgroup.min(along), along) * share(row_tiles, (subgroup / along).clamp(1.0, lanes_rows), lanes_rows)
}

/// Ratio of the work of whole tiles to the work of `count` elements: 1 if `count` is a multiple of the tile.
fn waste(count: u32, tile: u32) -> f64 {
    f64::from(count.div_ceil(tile)) * f64::from(tile) / f64::from(count)
}
