//! `tiled`: the implicit matrix product, its operands staged in workgroup memory.

mod contract;
mod correlate;

/// Invocations of a workgroup along positions, or columns: those that store next to each other.
const LANES_POSITIONS: u32 = 16;

/// Bytes of workgroup memory that any of the shaders needs: what WebGPU promises.
const WORKGROUP_BYTES: u32 = 16 << 10;

#[derive(Debug)]
pub(crate) struct Tiled;
