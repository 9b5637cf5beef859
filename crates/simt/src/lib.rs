//! An interpreter of WGSL compute shaders that knows what a GPU does with them. It finds faults that a driver may hide, and counts what
//! speed depends on, without a device.
//!
//! - [`Shader::new`] parses, validates and compiles a shader.
//! - [`Dispatch`] binds buffers to its variables and runs workgroups of it. All lanes of a workgroup run in lockstep.
//! - [`Report::faults`] lists accesses out of bounds, reads of workgroup memory that nobody wrote, races, barriers that not all lanes
//!   reach, and loops that do not end, each with lane, workgroup, line and statement.
//! - [`Report::counts`] has operations, memory sectors and lines, bank conflicts, barriers, iterations, live registers.
//! - [`Counts::estimate`] turns counts and a [device model](models) into a time.
//!
//! ```
//! use conv1d_simt::{Buffer, Dispatch, FaultKind, Memory, Shader};
//!
//! let shader = Shader::new("
//!     @group(0) @binding(0) var<storage, read> x: array<f32>;
//!     @group(0) @binding(1) var<storage, read_write> y: array<f32>;
//!     @compute @workgroup_size(64)
//!     fn double(@builtin(global_invocation_id) id: vec3<u32>) {
//!         y[id.x] = 2.0 * x[id.x];
//!     }
//! ")?;
//! let x: Vec<f32> = (0..100).map(|i| i as f32).collect();
//! let report = Dispatch::new(&shader, [2, 1, 1])
//!     .bind("x", Buffer::floats(&x))
//!     .bind("y", Buffer::floats(&[0.0; 100]))
//!     .run()?;
//! // The last 28 lanes have no element.
//! assert_eq!(report.faults[0].kind, FaultKind::OutOfBounds { index: 100, count: 100 });
//! // Neighbouring lanes load neighbouring words: no sector is moved in vain.
//! assert!(report.counts.accesses(Memory::Storage, false).sector_bytes_per_byte() < 1.05);
//! assert_eq!(report.buffer("y").unwrap().to_floats()[99], 198.0);
//! # Ok::<(), conv1d_simt::Error>(())
//! ```

mod access;
mod arithmetic;
mod code;
mod compile;
mod counts;
mod dispatch;
mod error;
mod faults;
mod layout;
mod memory;
mod program;
mod repetition;
mod run;
mod shader;

pub use arithmetic::Fma;
pub use conv1d_models as models;
pub use counts::{Accesses, Counts, Footprint, Memory, Operations, Site};
pub use dispatch::{Dispatch, Report, Workgroups};
pub use error::Error;
pub use faults::{Fault, FaultKind};
pub use memory::{Buffer, Resource, Texture};
pub use shader::{Kind, Shader, Variable};
