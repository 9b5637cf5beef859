//! wip
pub mod error;
pub mod geometry;
pub use error::{Error, Result};
pub use geometry::*;
