//! Tests of networks: against PyTorch, against the oracle on other sizes, and of the guarantees of training.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behaviour;
mod harness;
mod host;
mod messages;
mod networks;
mod oracle;
mod own_training;
mod state;
mod sums;
mod tape;
mod training;
mod types;
mod unbatched;
