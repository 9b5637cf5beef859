//! `texels`: contractions of textures of four values a texel, their operands laid aside there and extended by their padding.
//!
//! A processor that plays GPU reads buffers value by value and textures texel by texel; many mobile GPUs read textures
//! through a cache that buffers do not have.

mod contract;
mod correlate;
mod staging;

#[cfg(test)]
use super::program::Source;
use super::program::{Builder, TEXTURE_WIDTH};
use super::{Kernel, Prediction, Tile};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::lowering::Stage;

/// Invocations of a workgroup of all shaders.
const LANES: u32 = 64;
/// Values of a texel.
const TEXEL: u32 = 4;

#[derive(Debug)]
pub(crate) struct Texels;

impl Kernel for Texels {
    fn name(&self) -> &'static str {
        "texels"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        vec![&correlate::TEXELS, &correlate::WEIGHTS, &staging::INPUT, &contract::CONTRACT]
    }

    fn tiles(&self, stage: &Stage, caps: &Caps) -> Result<Vec<Tile>, String> {
        if caps.max_texture_side < TEXTURE_WIDTH {
            return Err(format!("textures of {TEXTURE_WIDTH} texels a row are wider than the device's"));
        }
        match stage {
            Stage::Correlate(_) => Ok(correlate::TILES.to_vec()),
            Stage::Contract(_) => Ok(contract::TILES.to_vec()),
            Stage::SumRows(_) | Stage::Fold(_) => Err("it does not add up rows".into()),
        }
    }

    fn predict(&self, stage: &Stage, tile: Tile, caps: &Caps) -> Prediction {
        match stage {
            Stage::Correlate(c) => correlate::Layout::fastest(c, tile, &caps.speed()).1,
            Stage::Contract(c) => contract::Layout::fastest(c, tile, &caps.speed()).1,
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

/// A count of texels, which `reserve` has checked, as shaders take it.
fn texels(count: u64) -> Result<u32> {
    let limit = u64::from(u32::MAX);
    u32::try_from(count).map_err(|_| Error::TooLarge { what: "texels", value: count, limit })
}
