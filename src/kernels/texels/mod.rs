//! `texels`: products of textures of four values a texel; the operands are staged there, extended by their padding.
//!
//! A processor that plays GPU reads buffers value by value and textures texel by texel; many mobile GPUs read textures through a cache
//! that buffers do not have.
//!
//! A browser need not know how to read storage textures; every device has sampled ones. llvmpipe takes 1.1 to 1.6 times as long with
//! sampled textures (12 rows of the suite, Mesa 22.3.6, 2026-11-27), so that storage textures are read where that is possible
//! (`shaders/lib/texels`).

mod contract;
mod correlate;
mod staging;

use super::program::TEXTURE_WIDTH;
use crate::caps::Caps;
use crate::error::{Error, Result};

/// Values of a texel.
const TEXEL: u32 = 4;

#[derive(Debug)]
pub(crate) struct Texels;

/// Whether a device has the textures, or why not.
fn check(caps: &Caps) -> Result<(), String> {
    if caps.max_texture_side < TEXTURE_WIDTH {
        return Err(format!("textures of {TEXTURE_WIDTH} texels a row are wider than the device's"));
    }
    Ok(())
}

/// A count of texels, which `reserve` has checked, as shaders take it.
fn texels(count: u64) -> Result<u32> {
    let limit = u64::from(u32::MAX);
    u32::try_from(count).map_err(|_| Error::TooLarge { what: "texels", value: count, limit })
}
