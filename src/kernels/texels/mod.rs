//! `texels`: contractions of textures of four values a texel, their operands laid aside there and extended by their padding.
//!
//! A processor that plays GPU reads buffers value by value and textures texel by texel; many mobile GPUs read textures
//! through a cache that buffers do not have.

mod contract;
mod correlate;
mod staging;

use super::program::{Builder, Source, TEXTURE_WIDTH};
use super::{Kernel, Prediction, Tile};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::lowering::Stage;

/// Invocations of a workgroup of all shaders.
const LANES: u32 = 64;
/// Values of a texel.
const TEXEL: u32 = 4;

/// A shader that reads both textures of the workspace, in either way.
///
/// A browser need not know how to read storage textures, so that sampled ones are what every device has. llvmpipe takes 1.1 to 1.6
/// times as long with them (12 rows of the suite, Mesa 22.3.6, 2026-11-27).
#[derive(Debug)]
struct Readers {
    sampled: Source,
    storage: Source,
}

impl Readers {
    fn of(&'static self, caps: &Caps) -> &'static Source {
        if caps.storage_texture_reads { &self.storage } else { &self.sampled }
    }
}

/// The [`Readers`] of a file of `shaders/`.
macro_rules! readers {
    ($name:literal, $params:expr) => {{
        use crate::kernels::program::Source;
        use crate::kernels::texels::Readers;
        Readers {
            sampled: Source {
                name: $name,
                wgsl: concat!(
                    include_str!(concat!("../../../shaders/", $name, ".wgsl")),
                    include_str!("../../../shaders/texels_sampled.wgsl")
                ),
                params: $params,
            },
            storage: Source {
                name: concat!($name, "_storage"),
                wgsl: concat!(
                    include_str!(concat!("../../../shaders/", $name, ".wgsl")),
                    include_str!("../../../shaders/texels_storage.wgsl")
                ),
                params: $params,
            },
        }
    }};
}
use readers;

#[derive(Debug)]
pub(crate) struct Texels;

impl Kernel for Texels {
    fn name(&self) -> &'static str {
        "texels"
    }

    #[cfg(test)]
    fn sources(&self) -> Vec<&'static Source> {
        let readers = [&correlate::TEXELS, &contract::CONTRACT].map(|readers| [&readers.sampled, &readers.storage]);
        readers.into_iter().flatten().chain([&correlate::WEIGHTS, &staging::INPUT]).collect()
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
