//! Networks: against PyTorch, against the oracle on sizes that nobody has seen, and what is promised of training.

mod behaviour;
mod messages;
mod networks;
mod oracle;
mod state;
mod tape;
mod training;
mod types;
mod unbatched;
