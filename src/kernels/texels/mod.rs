//! `texels`: products of texels of four values. The operands are staged in textures, extended by their padding.
//!
//! A software driver on the processor reads buffers value by value, but textures texel by texel. Many mobile GPUs read textures through a
//! cache that buffers do not have.
//!
//! Every device can read sampled textures; a browser may lack the optional WGSL feature that reads storage textures. llvmpipe takes 1.1 to
//! 1.6 times as long with sampled textures (12 rows of the suite, Mesa 22.3.6, 2026-11-27), so storage textures are read where the device
//! allows it (`shaders/lib/texels`).

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

/// Fails with the reason if the device cannot have the workspace's textures.
fn check(caps: &Caps) -> Result<(), String> {
    if caps.max_texture_side < TEXTURE_WIDTH {
        return Err(format!("the device's textures are less than {TEXTURE_WIDTH} texels wide"));
    }
    Ok(())
}

/// Converts a count of texels to the `u32` that shaders take.
fn texels(count: u64) -> Result<u32> {
    let limit = u64::from(u32::MAX);
    u32::try_from(count).map_err(|_| Error::TooLarge { what: "texels", value: count, limit })
}
