//! `tiled`: the implicit matrix product, its operands staged in workgroup memory.

mod contract;
mod correlate;

use super::program::Builder;
#[cfg(test)]
use super::program::Source;
use super::{Kernel, Prediction, Tile};
use crate::caps::Caps;
use crate::error::Result;
use crate::lowering::Stage;

/// Invocations of a workgroup along positions, or columns: those that store next to each other.
const LANES_POSITIONS: u32 = 16;

/// Bytes of workgroup memory that any of the shaders needs: what WebGPU promises.
const WORKGROUP_BYTES: u32 = 16 << 10;

#[derive(Debug)]
pub(crate) struct Tiled;

impl Kernel for Tiled {
    fn name(&self) -> &'static str {
        "tiled"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&correlate::TILED, &contract::CONTRACT, &super::pack::PACK]
    }

    fn tiles(&self, stage: &Stage, caps: &Caps) -> Result<Vec<Tile>, String> {
        let tiles = match stage {
            Stage::Correlate(c) => correlate::tiles(c),
            Stage::Contract(_) => contract::TILES.to_vec(),
            Stage::SumRows(_) | Stage::Fold(_) => return Err("it does not add up rows".into()),
        };
        let fits = |tile: &Tile| LANES_POSITIONS * tile.lanes_rows <= caps.max_invocations;
        let tiles: Vec<Tile> = tiles.into_iter().filter(fits).collect();
        if tiles.is_empty() || caps.max_workgroup_bytes < WORKGROUP_BYTES {
            return Err("the samples under a tile of positions do not fit the workgroup memory".into());
        }
        Ok(tiles)
    }

    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction {
        match stage {
            Stage::Correlate(c) => correlate::predict(c, tile, &caps.speed()),
            Stage::Contract(c) => contract::predict(c, tile, &caps.speed()),
            Stage::SumRows(_) | Stage::Fold(_) => Prediction::NEVER,
        }
    }

    fn emit(&self, stage: &Stage, tile: Tile, builder: &mut Builder<'_>) -> Result<()> {
        match stage {
            Stage::Correlate(c) => correlate::emit(c, tile, builder),
            Stage::Contract(c) => contract::emit(c, tile, builder),
            Stage::SumRows(_) | Stage::Fold(_) => Ok(()),
        }
    }
}
