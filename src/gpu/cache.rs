//! wgpu's pipeline cache, kept in a file.

use super::{Gpu, lock};
use crate::error::Result;
use crate::files;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

/// First bytes of a file: what it is, and the version of its form.
const MAGIC: &[u8; 8] = b"conv1d\0\x01";
/// The magic, and a checksum of what follows.
const HEADER: usize = MAGIC.len() + size_of::<u64>();

impl Gpu {
    /// Lets pipelines that are compiled from now on be taken from a file that [`Gpu::save_pipeline_cache`] wrote, and be kept
    /// for the next. Whether it was of use: a file that is not there, was cut short or is of another driver is none, and a new
    /// one is begun. False, with nothing kept, where the device has no such cache (only Vulkan has), or was made without
    /// [`wgpu::Features::PIPELINE_CACHE`].
    ///
    /// # Safety
    ///
    /// The file must be one that [`Gpu::save_pipeline_cache`] wrote: drivers trust what is in it. A checksum tells damage, not
    /// forgery: keep it where others cannot write.
    pub unsafe fn load_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<bool> {
        if !self.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Ok(false);
        }
        let data = if path.as_ref().exists() { checked(&files::read(&path)?).map(<[u8]>::to_vec) } else { None };
        let create = |data: Option<&[u8]>| {
            self.guarded(|| {
                let descriptor = wgpu::PipelineCacheDescriptor { label: Some("conv1d"), data, fallback: false };
                // SAFETY: The data is what an earlier cache gave, as the caller vouches and the checksum confirms.
                unsafe { self.device().create_pipeline_cache(&descriptor) }
            })
        };
        // Of another adapter or driver it is refused.
        let loaded = data.as_deref().and_then(|data| create(Some(data)).ok());
        let used = loaded.is_some();
        let cache = loaded.map_or_else(|| create(None), Ok)?;
        *lock(&self.inner.cache) = Some(cache);
        Ok(used)
    }

    /// Writes the pipelines compiled since [`Gpu::load_pipeline_cache`], and what it read. The file is whole at any time: an
    /// interrupted call leaves the earlier one. Nothing is written where there is no cache.
    pub fn save_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<()> {
        let Some(data) = lock(&self.inner.cache).as_ref().and_then(wgpu::PipelineCache::get_data) else {
            return Ok(());
        };
        let file = [&MAGIC[..], &checksum(&data).to_le_bytes(), &data].concat();
        files::write(path, &file)
    }
}

/// What a file holds, where it is whole.
fn checked(file: &[u8]) -> Option<&[u8]> {
    let (header, data) = file.split_at_checked(HEADER)?;
    (header == [&MAGIC[..], &checksum(data).to_le_bytes()].concat()).then_some(data)
}

fn checksum(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told() {
        let data = b"pipelines";
        let file = [&MAGIC[..], &checksum(data).to_le_bytes(), data].concat();
        assert_eq!(checked(&file), Some(&data[..]));
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 4;
            assert_eq!(checked(&damaged), None, "byte {at}");
            assert_eq!(checked(&file[..at]), None, "cut to {at} bytes");
        }
    }
}
