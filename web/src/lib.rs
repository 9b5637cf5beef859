//! Functions that the page calls: the worked example ([`example`]), filters over recordings ([`filter`]) and the benchmark
//! ([`bench`](mod@bench)). All convolutions run in `conv1d`; the page's scripts draw the results.
//!
//! Objects are passed as in JSON, with names in camelCase; tensors as flat row-major arrays.

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
    /// Opens the adapter that the browser offers; an error if there is none.
    pub async fn open() -> Result<Engine, JsError> {
        Ok(Engine { gpu: Gpu::open(&GpuOptions::default()).await? })
    }
}

/// Version of the library.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
