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

use super::predict::{Loads, Tally};
use super::program::{LANES, TEXTURE_WIDTH};
use crate::caps::Caps;
use crate::error::{Error, Result};

/// Values of a texel.
const TEXEL: u32 = 4;

#[derive(Debug)]
pub(crate) struct Texels;

/// The dispatch that stages `elements` elements in so many texels. An invocation makes a texel (counted).
fn staging_tally(texels: f64, elements: f64) -> Tally {
    let texel = f64::from(TEXEL);
    Tally {
        workgroups: (texels / f64::from(LANES)).ceil(),
        invocations: LANES.into(),
        registers: 16.0,
        integers: 80.0 * texels,
        divisions: 5.0 * texels,
        loads: [Loads::apart(texel * texels, 1), Loads::default()],
        stores: Loads { count: texels, words: texel, distance: texel, sharing: 1.0 },
        fetched: texel * texels,
        memory: elements + texel * texels,
        waits: texel * texels,
        ..Tally::default()
    }
}

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
