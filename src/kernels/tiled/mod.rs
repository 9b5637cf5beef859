//! `tiled`: an implicit matrix product with operands staged in workgroup memory.

mod contract;
mod correlate;

/// Invocations of a workgroup along positions, or columns. They store adjacent elements.
const LANES_POSITIONS: u32 = 16;

/// Bytes of workgroup memory that the shaders may need: WebGPU's guaranteed minimum.
const WORKGROUP_BYTES: u32 = 16 << 10;

#[derive(Debug)]
pub(crate) struct Tiled;
