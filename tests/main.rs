//! The integration tests: one binary, one device.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod activations;
mod arithmetic;
mod case;
mod cases;
#[cfg(feature = "suite")]
mod choices;
#[cfg(all(feature = "paper", feature = "suite"))]
mod counts;
mod determinism;
mod errors;
mod fused;
mod golden;
mod goldens;
mod harness;
mod host;
mod limits;
mod one_buffer;
mod oracle;
mod order;
mod own_shader;
mod packed;
#[cfg(feature = "paper")]
mod paper;
#[cfg(feature = "paper")]
mod planted;
mod processor;
mod random;
mod signals;
mod sums;
mod tuning;
mod work;
