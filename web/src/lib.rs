//! What the page calls: the worked example ([`example`]), filters over recordings ([`filter`]) and the benchmark
//! ([`bench`](mod@bench)). Everything that convolves is `conv1d`; the page's scripts draw what comes out.
//!
//! Objects go over as JSON would, with names in camelCase; tensors as flat arrays, row-major.

pub mod bench;
pub mod example;
pub mod filter;

use conv1d::{Gpu, GpuOptions};
use wasm_bindgen::prelude::*;

/// The device of this page.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    gpu: Gpu,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the adapter that the browser offers.
    pub async fn open() -> Result<Engine, JsError> {
        Ok(Engine { gpu: Gpu::open(&GpuOptions::default()).await? })
    }
}

/// Version of the library.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
