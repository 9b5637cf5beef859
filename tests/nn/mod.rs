//! Networks: against PyTorch, against the oracle on sizes that nobody has seen, and what is promised of training.

mod behaviour;
mod networks;
mod oracle;
mod tape;
mod training;
