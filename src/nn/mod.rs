//! Networks of 1-D convolutions on the GPU: built from layers, loaded from PyTorch, run and trained, with nothing read back between
//! layers.
//!
//! ```
//! use conv1d::Gpu;
//! use conv1d::nn::{Network, Tcn};
//!
//! let gpu = Gpu::new()?;
//! let network = Network::new(&gpu, &Tcn::new(8, 16, 1).layers(3), 42)?; // started as PyTorch starts it
//! println!("{}", network.summary([32, 8, 100])?);                       // shapes, parameters, FLOPs, kernels
//! # let file = std::env::temp_dir().join(format!("conv1d-doc-{}.safetensors", std::process::id()));
//! # network.save(&file)?;
//! network.load(&file)?;                                                 // a state dictionary under PyTorch's names
//! let session = network.session([32, 8, 100])?;                         // all memory and every dispatch, once
//! println!("{}", session.memory());
//! session.input().write(&vec![0.5; 32 * 8 * 100])?;
//! session.forward()?;                                                   // queued
//! assert_eq!(session.output().read()?.len(), 32);                       // waits
//! # std::fs::remove_file(file).ok();
//! # Ok::<(), conv1d::Error>(())
//! ```
//!
//! A [`Module`] describes itself to a [`Graph`]: the layers here, [`Conv1d`](crate::Conv1d), [`ConvTranspose1d`](crate::ConvTranspose1d)
//! and [`Activation`](crate::Activation) themselves, [`Sequential`] and [`Parallel`] rows of them, and whatever implements the trait. A
//! [`Network`] has the parameters of a graph on a device. A [`Session`] is a network bound to an input shape: activations go into the
//! convolutions before them, sums into the convolutions that give one side, batch normalisation into the weights where nothing is
//! trained; memory is planned once. A [`Trainer`] adds a loss and an optimiser.
//!
//! The convolutions are the kernels and plans of the rest of this crate; what stands between them are small shaders in `shaders/nn`.

mod data;
mod fuse;
mod graph;
mod input;
mod layers;
mod layout;
mod memory;
mod networks;
mod optimizer;
mod random;
mod schedule;
mod session;
mod shaders;
mod state;
mod summary;
mod train;

pub use data::{Dataset, Target, TargetKind};
pub use graph::{Graph, Init, Module, Value};
pub use layers::{
    BatchNorm1d, CausalConv1d, Convolution, Dropout, LastStep, Linear, Parallel, SeparableConv1d, Sequential, Skip,
};
pub use networks::{FeatureExtractor, Tcn, TcnBlock, WaveNetStack};
pub use optimizer::{Adam, AdamW, Optimizer, Sgd};
pub use session::{Memory, Mode, Network, Session, SessionOptions};
pub(crate) use shaders::SOURCES;
pub use state::{Entry, Incompatible, StateDict, Values};
pub use summary::{LayerSummary, Summary};
pub use train::{Checkpoints, Loss, Progress, Trainer, TrainerOptions};
