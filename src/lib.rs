//! wip
pub mod caps;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod geometry;
pub mod gpu;
mod kernels;
mod lowering;
pub mod ops;
pub mod plan;
pub mod reference;
mod shader;

pub use caps::{Caps, DeviceClass};
pub use error::{Error, Result};
pub use geometry::*;
pub use gpu::{Bound, Buffers, Gpu, GpuOptions, Prepared, Tensor, Workspace, adapters};
pub use kernels::Tile;
pub use lowering::Role;
pub use ops::*;
pub use plan::*;
pub use wgpu;
