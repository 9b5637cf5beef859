//! The integration tests: one binary, one device.

mod cases;
mod determinism;
mod errors;
mod goldens;
mod harness;
mod host;
mod limits;
mod oracle;
mod processor;
mod random;
mod signals;
