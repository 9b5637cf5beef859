//! Networks of 1-D convolutions on the GPU: built from layers, loaded from PyTorch, run and trained. Nothing is read
//! back to the host between layers.
//!
//! ```
//! use conv1d::Gpu;
//! use conv1d_nn::{Network, Tcn};
//!
//! let gpu = Gpu::new()?;
//! let network = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 42)?; // initialised as in PyTorch
//! println!("{}", network.summary([32, 8, 100])?);                       // shapes, parameters, FLOPs, kernels
//! # let file = std::env::temp_dir().join(format!("conv1d-doc-{}.safetensors", std::process::id()));
//! # network.save(&file)?;
//! network.load(&file)?;                                                 // a state dictionary with PyTorch's names
//! let session = network.session([32, 8, 100])?;                         // allocates all memory, binds every dispatch
//! println!("{}", session.memory());
//! session.input().write(&vec![0.5; 32 * 8 * 100])?;
//! session.forward()?;                                                   // queued
//! assert_eq!(session.output().read()?.len(), 32);                       // waits
//! # std::fs::remove_file(file).ok();
//! # Ok::<(), conv1d_nn::Error>(())
//! ```
//!
//! A [`Module`] adds its operations to a [`Graph`]. Modules are the layers of this crate, [`Conv1d`](conv1d::Conv1d),
//! [`ConvTranspose1d`](conv1d::ConvTranspose1d) and [`Activation`](conv1d::Activation), their combinations with
//! [`Sequential`] and [`Parallel`], and any type that implements the trait. A [`Network`] holds the parameters of a
//! graph on a device. A [`Session`] is a network bound to an input shape: activations are fused into the operation
//! before them, sums into the convolution that computes one of their terms, and, in evaluation without gradients, batch
//! normalisation into the weights; memory is planned once. A [`Trainer`] adds a loss and an optimiser.
//!
//! A custom training loop needs only a session with gradients ([`SessionOptions::training`]) and an [`Optimizer`]. Any
//! code that writes [`Session::output_gradient`] can serve as the loss.
//!
//! Convolutions use the kernels and plans of [`conv1d`] through its public API; the operations between them are small
//! shaders of this crate. Every call works on the devices, tensors and encoders of [`conv1d`], whose `wgpu` is
//! [`conv1d::wgpu`].
//!
//! Public dependencies: `conv1d` 0.2, re-exported as [`conv1d`], and through it `wgpu` 30; `bytemuck` 1 in the bounds of [`Target`].
//!
//! # The modules
//!
//! Each module uses only those before it in this list: errors, random numbers; the graph and its fusions; layers and
//! networks of them; update rules and losses; the layout of parameters; launches and shaders; the schedule of a pass,
//! and its memory; state dictionaries; the network, its gradients; sessions, optimisers, trainers.

mod data;
mod error;
mod fuse;
mod gradients;
mod graph;
mod input;
mod launch;
mod layers;
mod layout;
mod loss;
mod memory;
mod network;
mod networks;
mod optimizer;
mod random;
mod rule;
mod schedule;
mod session;
mod shaders;
mod state;
mod summary;
mod train;
#[cfg(test)]
mod validation;

pub use conv1d;
pub use data::Dataset;
pub use error::{Error, Result};
pub use gradients::Gradients;
pub use graph::{Graph, Init, Mode, Module, Value};
pub use layers::{
    BatchNorm1d, CausalConv1d, Convolution, Dropout, LastStep, Linear, Parallel, SeparableConv1d, Sequential, Skip,
};
pub use loss::{Loss, Target, TargetKind};
pub use network::Network;
pub use networks::{FeatureExtractor, Tcn, TcnBlock, WaveNetStack};
pub use optimizer::{Optimizer, OptimizerOptions, ParameterGroup};
pub use rule::{Adam, AdamW, Sgd, UpdateRule};
pub use session::{Memory, Session, SessionOptions};
pub use shaders::shader_files;
pub use state::{Entry, Incompatible, StateDict, Values};
pub use summary::{LayerSummary, Summary};
pub use train::{Checkpoints, Progress, Trainer, TrainerOptions};

/// The examples of `docs/networks.md`, compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/networks.md")]
struct Guide;
