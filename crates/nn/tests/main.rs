//! Networks: against PyTorch, against the oracle on sizes that nobody has seen, and what is promised of training.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod behaviour;
mod harness;
mod host;
mod messages;
mod networks;
mod oracle;
mod own_training;
mod state;
mod tape;
mod training;
mod types;
mod unbatched;
