//! Shared by the tests: one device, reproducible values, PyTorch's files.

use conv1d::Gpu;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The device of all tests. Without an adapter they fail with a message that says how to get one.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().unwrap_or_else(|e| panic!("{e}")))
}

/// The same device with shaders that check every index.
pub(crate) fn checked_gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::from_device_checked(gpu().device().clone(), gpu().queue().clone()).unwrap())
}

/// Reproducible values in -1..1: SplitMix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014).
pub(crate) fn values(seed: u64, count: usize) -> Vec<f32> {
    let value = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (1..=count as u64).map(value).collect()
}

/// A file of `tests/goldens` of the repository.
pub(crate) fn golden(file: &str) -> PathBuf {
    // If the tests run away from their sources, the environment names the source folder.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folders = ["../../tests/goldens", "tests/goldens"].map(|folder| Path::new(&root).join(folder));
    let path = folders.iter().find(|folder| folder.exists()).unwrap_or(&folders[0]).join(file);
    assert!(path.exists(), "{} is missing: run this test in a clone of the repository", path.display());
    path
}
