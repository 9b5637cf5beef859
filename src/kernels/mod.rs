//! The kernels: one file each. A kernel says which stages it can do, in which tiles, at what cost, and emits dispatches.
//!
//! To add one: a WGSL file in `shaders/`, a file here that implements [`Kernel`], and a line in [`KERNELS`]. The planner,
//! the tests and the benchmark find it there.

mod direct;
mod epilogue;
mod fold;
mod im2col;
mod pack;
pub(crate) mod params;
mod pieces;
mod predict;
pub(crate) mod program;
mod reduce;
mod texels;
mod tiled;
mod walk;
mod window;

#[cfg(feature = "nn")]
pub(crate) use epilogue::code as activation_code;

use crate::caps::Caps;
use crate::error::Result;
use crate::geometry::{Extension, PaddingMode};
use crate::lowering::Stage;
use program::Builder;
#[cfg(test)]
use program::Source;
use std::fmt;

pub(crate) use fold::emit as emit_fold;
pub(crate) use pieces::parts;
pub use predict::Prediction;

/// All kernels.
pub(crate) static KERNELS: &[&dyn Kernel] =
    &[&direct::Direct, &im2col::Im2col, &tiled::Tiled, &window::SlidingWindow, &texels::Texels, &reduce::SumRows];

/// Sources that no kernel of [`KERNELS`] lists.
#[cfg(test)]
pub(crate) static SHARED_SOURCES: &[&Source] = &[&fold::SOURCE, &reduce::SUM_PARTIALS];

/// What one invocation, or one workgroup, of a kernel computes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tile {
    /// Output rows (channels).
    pub rows: u32,
    /// Positions.
    pub positions: u32,
    /// Invocations of a workgroup along rows; the others are along positions.
    pub lanes_rows: u32,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.positions)?;
        if self.lanes_rows > 1 { write!(f, "x{}", self.lanes_rows) } else { Ok(()) }
    }
}

/// A way to compute stages.
pub(crate) trait Kernel: Sync + fmt::Debug {
    /// The name that users choose it by.
    fn name(&self) -> &'static str;

    /// Its shaders.
    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source>;

    /// The tiles it offers for a stage, or why it cannot do it.
    fn tiles(&self, stage: &Stage, caps: &Caps) -> Result<Vec<Tile>, String>;

    /// What it is predicted to take.
    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction;

    /// Appends the dispatches.
    fn emit(&self, stage: &Stage, tile: Tile, builder: &mut Builder<'_>) -> Result<()>;
}

/// The constants of a shader for the samples beyond the ends of a row, and the value of its parameter `fill`.
fn extension(extension: Extension) -> ([(&'static str, u32); 2], f32) {
    let (mode, fill) = match extension.mode {
        PaddingMode::Zeros => (0, 0.0),
        PaddingMode::Constant(fill) => (1, fill),
        PaddingMode::Reflect => (2, 0.0),
        PaddingMode::Symmetric => (3, 0.0),
        PaddingMode::Circular => (4, 0.0),
        PaddingMode::Replicate => (5, 0.0),
    };
    ([("EXTENSION", mode), ("REPEATED", extension.repeated.into())], fill)
}

/// Waste of computing `count` things in tiles of `tile`: 1 where they fit.
fn waste(count: u32, tile: u32) -> f64 {
    f64::from(count.div_ceil(tile)) * f64::from(tile) / f64::from(count)
}
