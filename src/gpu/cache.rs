//! wgpu's pipeline cache, kept in a file.

use super::{Gpu, lock};
use crate::error::Result;
use crate::files;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

/// First bytes of a cache file: its type and the version of its format.
const MAGIC: &[u8; 8] = b"conv1d\0\x01";
/// Bytes of the magic and of a checksum of the data that follows.
const HEADER: usize = MAGIC.len() + size_of::<u64>();

impl Gpu {
    /// Loads a pipeline cache from a file that [`Gpu::save_pipeline_cache`] wrote. Pipelines compiled from now on are taken from
    /// the cache and added to it.
    ///
    /// Returns whether the file was used. A file that is missing, cut short or of another driver is not used, and an empty cache
    /// is started. If the device has no pipeline cache (only Vulkan has), or was made without
    /// [`wgpu::Features::PIPELINE_CACHE`], this returns false and nothing is cached.
    ///
    /// # Errors
    ///
    /// [`Error::File`](crate::Error::File) if the file exists and cannot be read.
    ///
    /// # Safety
    ///
    /// The file must be one that [`Gpu::save_pipeline_cache`] wrote: drivers trust its contents. A checksum detects damage, not
    /// forgery: keep the file where others cannot write.
    pub unsafe fn load_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<bool> {
        if !self.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
            return Ok(false);
        }
        let data = if path.as_ref().exists() { checked(&files::read(&path)?).map(<[u8]>::to_vec) } else { None };
        let create = |data: Option<&[u8]>| {
            self.guarded(|| {
                let descriptor = wgpu::PipelineCacheDescriptor { label: Some("conv1d"), data, fallback: false };
                // SAFETY: The data comes from an earlier cache: the caller guarantees it, and the checksum confirms it.
                unsafe { self.device().create_pipeline_cache(&descriptor) }
            })
        };
        // wgpu refuses the data of another adapter or driver.
        let loaded = data.as_deref().and_then(|data| create(Some(data)).ok());
        let used = loaded.is_some();
        let cache = loaded.map_or_else(|| create(None), Ok)?;
        *lock(&self.inner.cache) = Some(cache);
        Ok(used)
    }

    /// Writes the pipelines that [`Gpu::load_pipeline_cache`] read and those compiled since. The file is replaced atomically: an
    /// interrupted call leaves the earlier one. Nothing is written if there is no cache.
    pub fn save_pipeline_cache(&self, path: impl AsRef<Path>) -> Result<()> {
        let Some(data) = lock(&self.inner.cache).as_ref().and_then(wgpu::PipelineCache::get_data) else {
            return Ok(());
        };
        let file = [&MAGIC[..], &checksum(&data).to_le_bytes(), &data].concat();
        files::write(path, &file)
    }
}

/// The data of a cache file, if its header and checksum are right.
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
