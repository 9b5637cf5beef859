//! 1-D convolution kernels in WGSL on [`wgpu`]: forward, input gradient, weight gradient, bias gradient and transposed
//! convolution, strided, dilated, grouped, with every usual padding, verified against an exact reference.
//!
//! Public dependency: `wgpu` 30, re-exported as `conv1d::wgpu`.
//!
//! # The contract
//!
//! Notation of `torch.nn.Conv1d`; tensors are `f32`, row-major, `[N, C, L]`.
//!
//! | tensor | [`Conv1d`] | [`ConvTranspose1d`] |
//! | --- | --- | --- |
//! | `x` | `[N, C_in, L]` | `[N, C_in, L]` |
//! | `w` | `[C_out, C_in/groups, K]` | `[C_in, C_out/groups, K]` |
//! | `b` | `[C_out]` | `[C_out]` |
//! | `y` | `[N, C_out, L_out]` | `[N, C_out, L_out]` |
//!
//! - Convolution means cross-correlation, as in every deep-learning framework; [`Gpu::convolve`] reverses the kernel.
//! - Any batch (0 included), channels, length, kernel, stride, dilation and groups; padding on either side in six
//!   [modes](PaddingMode), in forward and through the gradients, without a padded copy.
//! - An invalid argument returns an [`Error`] that names the argument and the values. Nothing panics.
//! - An activation and a residual ([`Fused`]) are fused into the same dispatch; the gradients apply the derivative of the
//!   activation as they load the output gradient.
//! - The same plan on the same device gives the same bits every time.
//! - Every element is within `gamma(chain + 1) * (sum of |w*x| + |b|)` of the exact value, where the chain is the most additions that a
//!   term passes through, see [`mod@reference`] and [`Plan::chain`].
//!
//! # Tensors in, tensors out
//!
//! ```
//! use conv1d::{Conv1d, Gpu, Padding, Wanted};
//!
//! let gpu = Gpu::new()?;
//! // 32 windows of 8 features over 100 days, 32 temporal filters over 5 days.
//! let conv = Conv1d::new(8, 32, 5).padding(Padding::Same);
//! let x = gpu.tensor(&vec![1.0; 32 * 8 * 100], [32, 8, 100])?;
//! let w = gpu.tensor(&vec![0.5; 32 * 8 * 5], [32, 8, 5])?;
//! let b = gpu.tensor(&[1.0; 32], [32])?;
//!
//! let y = gpu.conv1d(&conv, &x, &w, Some(&b))?;               // queued, nothing read back
//! let gradients = gpu.conv1d_backward(&conv, &x, &w, &y, Wanted::ALL)?;
//! assert_eq!(y.shape(), [32, 32, 100]);
//! assert_eq!(y.read()?[50], 1.0 + 8.0 * 5.0 * 0.5);           // waits and copies to the host
//! # assert_eq!(gradients.weight.unwrap().shape(), [32, 8, 5]);
//! # Ok::<(), conv1d::Error>(())
//! ```
//!
//! # Inside another program's encoder
//!
//! ```
//! use conv1d::{Buffers, Conv1d, Gpu, Operation, Role};
//! # let (device, queue) = { let gpu = Gpu::new()?; (gpu.device().clone(), gpu.queue().clone()) };
//! let gpu = Gpu::from_device(device, queue)?;                 // changes nothing on your device
//! # let (x, w, y) = (gpu.zeros([100])?, gpu.zeros([5])?, gpu.zeros([96])?);
//! # let (x, w, y) = (x.buffer(), w.buffer(), y.buffer());
//! # let mut encoder = gpu.device().create_command_encoder(&Default::default());
//! # let mut pass = encoder.begin_compute_pass(&Default::default());
//! let plan = Conv1d::new(1, 1, 5).plan(Operation::Forward, [1, 1, 100], gpu.caps())?;
//! println!("{plan}");                                         // which kernel, why, how much workspace
//! let forward = gpu.prepare(&plan)?;                          // compiles once
//! let buffers = Buffers::new()                                // your buffers: slices with offsets
//!     .with(Role::Input, x.slice(..))
//!     .with(Role::Weight, w.slice(..))
//!     .with(Role::Output, y.slice(..));
//! let bound = forward.bind(&buffers)?;
//! bound.record(&mut pass);                                    // your pass; allocates nothing, cannot fail
//! # Ok::<(), conv1d::Error>(())
//! ```
//!
//! # Modules
//!
//! Data flows one way: [`geometry`] (sizes and options of a convolution) → lowering (operations to two contractions) →
//! kernels (one file each) → [`plan`] (which variant, and why) → shader (WGSL composed from parts) → [`gpu`] (compiles, binds,
//! records) → [`ops`] (the calls above), and [`tune`] (measured choices).
//!
//! Outside this flow: [`mod@reference`] is the oracle of the tests; `cpu` is the fast path on the processor (feature `cpu`, on by
//! default); [`timing`] measures run times and [`roofline`] gives the best possible ones; `suite` has layers of published models to
//! measure (feature `suite`); `paper` runs plans in an interpreter (feature `paper`); [`models`] has the
//! numbers of GPUs that plans are made for. The separate crate `conv1d-nn` loads networks of these convolutions from PyTorch, runs and trains them.

pub mod caps;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod files;
pub mod geometry;
pub mod gpu;
mod kernels;
mod lowering;
pub mod ops;
#[cfg(feature = "paper")]
pub mod paper;
pub mod plan;
pub mod reference;
pub mod roofline;
mod shader;
pub mod signals;
#[cfg(feature = "suite")]
pub mod suite;
mod sums;
pub mod timing;
pub mod tune;

pub use caps::{Caps, DeviceClass};
pub use conv1d_models as models;
pub use error::{Error, Result};
pub use geometry::{
    Activation, Conv1d, ConvTranspose1d, Cost, Fused, Layer, Operation, Padding, PaddingMode, Residual, Shape, Shapes,
    receptive_field,
};
pub use gpu::{
    Adapter, Arithmetic, Bindings, Bound, Buffers, Gpu, GpuOptions, PackedWeight, Prepared, PreparedShader, Scalar,
    Submission, Tensor, Timer, Workgroups, Workspace, adapters_async,
};
#[cfg(not(target_arch = "wasm32"))]
pub use gpu::{adapters, block_on};
pub use kernels::order::Order;
pub use kernels::program::{Shader, WeightLayout};
pub use kernels::{Prediction, Tile};
pub use lowering::Role;
pub use ops::{Gradients, Wanted};
pub use plan::{Candidate, DEFAULT_WORKSPACE_BYTES, Plan, PlanOptions, VariantName, kernels};
pub use roofline::{Limit, Roofline};
pub use signals::ConvolveMode;
pub use timing::{Effort, Timing};
pub use tune::Tuning;
pub use wgpu;

/// The sources of all shaders of this crate, each once.
fn sources() -> Vec<&'static kernels::program::Source> {
    let all = kernels::sources().chain(gpu::SOURCES).chain(ops::SOURCES.iter().copied());
    let mut sources: Vec<&'static kernels::program::Source> = Vec::new();
    all.for_each(|source| {
        if !sources.contains(&source) {
            sources.push(source);
        }
    });
    sources
}

/// File name and composed text of every shader, for editors and other tools. Where a shader chooses a part from a folder of
/// `shaders/lib`, its text has the first part. [`Plan::shaders`] returns the texts that a plan compiles.
pub fn shader_files() -> Result<Vec<(&'static str, String)>> {
    let text =
        |source: &'static kernels::program::Source| Ok((&*source.file, shader::compose(&Shader::of(source))?.text));
    sources().into_iter().map(text).collect()
}

/// Names and texts of the parts that a [`Shader`] may use: `stored`, `workgroup`, `element`, `exponential`,
/// `sum_lanes`, `sum_terms`, `scalar_terms` and `activation/*`.
///
/// ```
/// let (_, text) = conv1d::shader_parts().find(|(name, _)| *name == "activation/relu").unwrap();
/// assert!(text.contains("fn activate(") && text.contains("fn derivative("));
/// ```
pub fn shader_parts() -> impl Iterator<Item = (&'static str, &'static str)> {
    shader::public_parts()
}

/// The examples of the README and of `docs`, compiled and run with the documentation's.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/architecture.md")]
    struct Architecture;
    #[doc = include_str!("../docs/benchmark.md")]
    struct Benchmark;
    #[doc = include_str!("../docs/kernels.md")]
    struct Kernels;
    #[doc = include_str!("../docs/limits.md")]
    struct Limits;
    #[cfg(feature = "paper")]
    #[doc = include_str!("../docs/paper.md")]
    struct Paper;
    #[doc = include_str!("../docs/rejected.md")]
    struct Rejected;
    #[doc = include_str!("../docs/web.md")]
    struct Web;
}
