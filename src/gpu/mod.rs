//! Running plans on a device: [`Gpu`] (device, queue, compiled pipelines), [`Prepared`] (a plan with its pipelines),
//! [`Bound`] (a prepared plan with its buffers; records into a pass), [`Tensor`].
//!
//! A [`Gpu`] is cheap to clone; everything made from it shares it. Each variant of a shader is compiled once and its pipeline
//! is kept. Making a [`Prepared`] compiles the first time; making a [`Bound`] creates a few small buffers and bind groups;
//! recording a [`Bound`] allocates nothing.
//!
//! # Waiting
//!
//! Calls queue their work and return. Calls that read results have two forms: `read` blocks its thread; `read_async` is a
//! future that never blocks. The program need not poll the device: a thread of this crate polls while such a future is awaited,
//! and only then. Dropping the future cancels the wait. Opening a device and compiling pipelines block.
//!
//! # Lost devices
//!
//! Natively every call that uses a lost device returns [`Error::DeviceLost`], even if the program opened the device itself.
//! A browser reports the loss later, in its event loop; see [`Gpu::settled`].

mod adapters;
mod arithmetic;
mod buffers;
mod cache;
mod own_shader;
mod packed;
mod pending;
mod prepared;
#[cfg(not(target_arch = "wasm32"))]
mod probe;
mod roofline;
mod tensor;
mod timer;
mod waiting;

#[cfg(not(target_arch = "wasm32"))]
pub use adapters::adapters;
pub use adapters::{Adapter, adapters_async};
pub use arithmetic::Arithmetic;
pub use buffers::{Buffers, Workspace};
pub use own_shader::{Bindings, PreparedShader, Scalar, Workgroups};
pub use packed::PackedWeight;
pub use prepared::{Bound, Prepared};
pub use tensor::Tensor;
pub use timer::Timer;
pub(crate) use waiting::Signal;
pub use waiting::Submission;
#[cfg(not(target_arch = "wasm32"))]
pub use waiting::block_on;

use crate::caps::{Caps, limit};
use crate::error::{Error, Result};
use crate::geometry::{Fused, Operation};
use crate::kernels::operands::Skips;
use crate::kernels::program::{Shader, Source};
use crate::plan::{Plan, PlanOptions, TunedOn, Tuning};
use crate::shader::{self, BindingKind, Interface, Variable};
use pending::Pending;
use std::collections::HashMap;
#[cfg(target_arch = "wasm32")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sources of the shaders of this room.
pub(crate) static SOURCES: [&Source; 3] = [&arithmetic::ARITHMETIC, &roofline::PEAK, &roofline::COPY];

/// Options of [`Gpu::with_options`]: the adapter, and the run-time checks of shaders.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GpuOptions {
    /// Part of the adapter's name, case-insensitive. Without it, the environment variable `CONV1D_ADAPTER` is used; without
    /// both, the adapter that wgpu prefers for high performance.
    pub adapter: Option<String>,
    /// Keeps the driver's and naga's checks of every index in the shaders. Slower; results are the same.
    pub checked: bool,
}

impl GpuOptions {
    /// Takes the adapter whose name contains `name`, case-insensitive.
    #[must_use]
    pub fn adapter(self, name: impl Into<String>) -> Self {
        GpuOptions { adapter: Some(name.into()), ..self }
    }

    /// Sets whether shaders check their indices.
    #[must_use]
    pub fn checked(self, checked: bool) -> Self {
        GpuOptions { checked, ..self }
    }
}

/// A device with its queue and the pipelines compiled so far.
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

/// Handles are equal if they are clones of one another.
impl PartialEq for Gpu {
    fn eq(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Gpu {}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    checked: bool,
    pipelines: Mutex<HashMap<Shader, Arc<Pipeline>>>,
    cache: Mutex<Option<wgpu::PipelineCache>>,
    tuning: Mutex<Option<Arc<Tuning>>>,
    #[cfg(not(target_arch = "wasm32"))]
    probe: probe::Probe,
    #[cfg(not(target_arch = "wasm32"))]
    poller: Arc<waiting::Poller>,
    /// Set by the browser when a device that this crate opened is lost.
    #[cfg(target_arch = "wasm32")]
    lost: Arc<AtomicBool>,
    pending: Pending,
    /// Bound in place of an empty operand: WebGPU has no empty bindings. Each variable has a range of its own.
    nothing: wgpu::Buffer,
}

/// A compiled shader.
#[derive(Debug)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    bindings: Vec<Variable>,
    workgroup_size: [u32; 3],
}

impl Gpu {
    /// Opens the adapter whose name contains the environment variable `CONV1D_ADAPTER`; without it, the one that wgpu prefers
    /// for high performance.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] or [`Error::NoDevice`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Gpu> {
        Gpu::with_options(&GpuOptions::default())
    }

    /// Opens an adapter with its full limits, and with timestamps and a pipeline cache if it supports them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_options(options: &GpuOptions) -> Result<Gpu> {
        block_on(Gpu::open(options))
    }

    /// As `with_options`, as a future, which a browser needs. Natively it blocks its thread while the driver opens the device.
    pub async fn open(options: &GpuOptions) -> Result<Gpu> {
        let adapter = adapters::choose(options.adapter.as_deref()).await?;
        let stamps = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let wanted = stamps | wgpu::Features::PIPELINE_CACHE;
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("conv1d"),
                required_features: adapter.features() & wanted,
                required_limits: adapter.limits(),
                ..Default::default()
            })
            .await
            .map_err(|e| Error::NoDevice { message: e.to_string() })?;
        let gpu = Gpu::build(device, queue, options.checked)?;
        #[cfg(target_arch = "wasm32")]
        {
            let lost = gpu.inner.lost.clone();
            gpu.device().set_device_lost_callback(move |_, _| lost.store(true, Ordering::Release));
        }
        Ok(gpu)
    }

    /// Uses the caller's device and its queue, within the limits that the device was created with. The queue must be that of the
    /// device: wgpu panics at the first use of another device's queue, and this call cannot check it.
    ///
    /// The device is not changed: no callback is installed, and no error of other code is captured.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceLimit`] if the device was created with lower limits than [`Caps::check`] requires.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu> {
        Gpu::build(device, queue, false)
    }

    /// As [`Gpu::from_device`], with shaders that check every index.
    pub fn from_device_checked(device: wgpu::Device, queue: wgpu::Queue) -> Result<Gpu> {
        Gpu::build(device, queue, true)
    }

    fn build(device: wgpu::Device, queue: wgpu::Queue, checked: bool) -> Result<Gpu> {
        let caps = Caps::new(&device.limits(), &device.adapter_info());
        caps.check()?;
        let pending = Pending::default();
        let place = u64::from(caps.storage_alignment.max(256));
        let create = || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("conv1d nothing"),
                size: Skips::PLACES as u64 * place,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        let nothing = pending.guarded(&device, create, |error| error)?;
        #[cfg(not(target_arch = "wasm32"))]
        let probe = probe::Probe::new(&device).ok_or_else(lost)?;
        let inner = Inner {
            device,
            queue,
            caps,
            checked,
            pipelines: Mutex::default(),
            cache: Mutex::default(),
            tuning: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            probe,
            #[cfg(not(target_arch = "wasm32"))]
            poller: Arc::default(),
            #[cfg(target_arch = "wasm32")]
            lost: Arc::default(),
            pending,
            nothing,
        };
        Ok(Gpu { inner: Arc::new(inner) })
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Limits and class of the device, for planning.
    pub fn caps(&self) -> &Caps {
        &self.inner.caps
    }

    /// Name, type, backend and driver of the adapter.
    pub fn adapter_info(&self) -> wgpu::AdapterInfo {
        self.inner.device.adapter_info()
    }

    /// Lets all plans that this `Gpu` makes ([`Gpu::plan`] and the calls with tensors) choose by measurements.
    ///
    /// # Errors
    /// [`Error::TunedElsewhere`] if they were made on another adapter, with another driver or by another version of this library.
    pub fn use_tuning(&self, tuning: Tuning) -> Result<()> {
        self.check_tuning(&tuning)?;
        *lock(&self.inner.tuning) = Some(Arc::new(tuning));
        Ok(())
    }

    /// The adapter, driver and library version that measurements on this device are valid for.
    pub(crate) fn tuned_on(&self) -> TunedOn {
        let info = self.adapter_info();
        TunedOn {
            library: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: info.name,
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        }
    }

    pub(crate) fn check_tuning(&self, tuning: &Tuning) -> Result<()> {
        tuning.on().check(&self.tuned_on())
    }

    /// Plans an operation for this device. A tuning in the options takes precedence over that of [`Gpu::use_tuning`] and must also
    /// be for this device; otherwise this is [`Error::TunedElsewhere`].
    pub fn plan(
        &self,
        layer: impl Into<Fused>,
        operation: Operation,
        input: impl AsRef<[usize]>,
        options: &PlanOptions,
    ) -> Result<Plan> {
        if let Some(tuning) = &options.tuning {
            self.check_tuning(tuning)?;
        }
        let tuning = options.tuning.clone().or_else(|| lock(&self.inner.tuning).clone());
        Plan::new(layer, operation, input, self.caps(), &PlanOptions { tuning, ..options.clone() })
    }

    /// Runs a bound operation in an encoder, a pass and a submission of its own.
    pub fn run(&self, bound: &Bound) -> Result<()> {
        self.queue_up(bound).map(drop)
    }

    /// As [`Gpu::run`], and returns a handle to wait for the end of that work.
    ///
    /// ```
    /// # use conv1d::{Buffers, Conv1d, Gpu, Operation, Role};
    /// # let gpu = Gpu::new()?;
    /// # let (x, w, y) = (gpu.zeros([100])?, gpu.zeros([5])?, gpu.zeros([96])?);
    /// # let plan = Conv1d::new(1, 1, 5).plan(Operation::Forward, [1, 1, 100], gpu.caps())?;
    /// # let buffers = Buffers::new().with(Role::Input, x.slice()).with(Role::Weight, w.slice()).with(Role::Output, y.slice());
    /// # let bound = gpu.prepare(&plan)?.bind(&buffers)?;
    /// let submission = gpu.submit(&bound)?;
    /// // ... other work of this thread ...
    /// submission.wait()?; // wait_async().await never blocks the thread
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn submit(&self, bound: &Bound) -> Result<Submission> {
        let submission = self.queue_up(bound)?;
        Ok(Submission { gpu: self.clone(), signal: Signal::end_of(submission, self.queue()) })
    }

    pub(crate) fn queue_up(&self, bound: &Bound) -> Result<wgpu::SubmissionIndex> {
        self.check_own(bound.gpu(), "the bound operation")?;
        self.guarded(|| {
            let mut encoder =
                self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("conv1d") });
            {
                let mut pass = encoder
                    .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("conv1d"), timestamp_writes: None });
                bound.record(&mut pass);
            }
            self.queue().submit([encoder.finish()])
        })
    }

    /// Frees the pipelines that no [`Prepared`], [`PreparedShader`] or [`Bound`] holds, and lets wgpu free dropped tensors and
    /// uploads.
    ///
    /// Compiled pipelines are kept for later plans, one for each variant of a shader. wgpu keeps the memory of uploads and of
    /// dropped tensors until the next submission. A program that submits work need not call this.
    pub fn trim(&self) -> Result<()> {
        lock(&self.inner.pipelines).retain(|_, pipeline| Arc::strong_count(pipeline) > 1);
        self.guarded(|| self.queue().submit(None)).map(|_| ())
    }

    /// Waits for the outcome of every call so far, and returns the first error that was not yet returned.
    ///
    /// In a browser calls return before their outcome is known. Their errors (a shader that does not compile, a lost device) are
    /// returned here, and by [`Tensor::read_async`] in place of invalid values. The loss of a device that the page opened itself
    /// is reported to the page only. Natively every call returns its own error, and this has nothing to add.
    pub async fn settled(&self) -> Result<()> {
        let settled = self.inner.pending.settled().await;
        self.check_lost()?;
        settled
    }

    fn guarded<T>(&self, call: impl FnOnce() -> T) -> Result<T> {
        self.guarded_as(call, |error| error)
    }

    /// As [`Gpu::guarded`], with errors mapped by `told`.
    fn guarded_as<T>(&self, call: impl FnOnce() -> T, told: impl FnOnce(Error) -> Error + 'static) -> Result<T> {
        let value = self.inner.pending.guarded(self.device(), call, told);
        self.check_lost()?;
        value
    }

    /// Error scopes do not report the errors of a lost device: its calls seem to succeed.
    fn check_lost(&self) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        let lost = self.inner.probe.is_lost();
        #[cfg(target_arch = "wasm32")]
        let lost = self.inner.lost.load(Ordering::Acquire);
        if lost { Err(self::lost()) } else { Ok(()) }
    }

    /// Checks that an object of this device is used with it; `what` names the object in the error.
    fn check_own(&self, other: &Gpu, what: &'static str) -> Result<()> {
        if self == other { Ok(()) } else { Err(Error::WrongDevice { tensor: what }) }
    }

    /// The pipeline of a shader, compiled at first use.
    fn pipeline(&self, shader: &Shader) -> Result<Arc<Pipeline>> {
        let known = lock(&self.inner.pipelines).get(shader).cloned();
        if let Some(pipeline) = known {
            return Ok(pipeline);
        }
        let pipeline = Arc::new(self.compile(shader)?);
        lock(&self.inner.pipelines).insert(shader.clone(), pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, shader: &Shader) -> Result<Pipeline> {
        let composed = shader::compose(shader)?;
        let module = shader::parse(shader, &composed)?;
        let interface = shader::interface(shader, &module)?;
        self.check_limits(&interface)?;
        // The kernels are validated in the tests.
        #[cfg(not(target_arch = "wasm32"))]
        if shader.source.callers {
            shader::validate(shader, &composed, &module)?;
        }
        let name = shader.name();
        let device = self.device();
        let cache = lock(&self.inner.cache).clone();
        let create = || {
            let checked = self.inner.checked || !shader.trusted;
            let module = shader_module(device, name, composed.text, checked);
            let entries: Vec<_> = interface.bindings.iter().map(|v| layout_entry(v.binding, v.kind)).collect();
            let layout = device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(name),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(&interface.entry_point),
                // A trusted shader writes its workgroup memory before it reads it.
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: !shader.trusted,
                    ..Default::default()
                },
                cache: cache.as_ref(),
            });
            Pipeline { pipeline, layout, bindings: interface.bindings, workgroup_size: interface.workgroup_size }
        };
        let owned_name = name.to_owned();
        self.guarded_as(create, move |error| match error {
            Error::Validation { message } => Error::Shader { shader: owned_name, message },
            error => error,
        })
    }

    fn check_limits(&self, interface: &Interface) -> Result<()> {
        let caps = self.caps();
        let invocations = interface.workgroup_size.iter().fold(1, |all: u64, &n| all.saturating_mul(n.into()));
        let count =
            |kinds: &[BindingKind]| interface.bindings.iter().filter(|v| kinds.contains(&v.kind)).count() as u64;
        let storage = count(&[BindingKind::Read, BindingKind::ReadWrite]);
        for (limit, available, needed) in [
            (limit::INVOCATIONS, caps.max_invocations.into(), invocations),
            (limit::WORKGROUP_BYTES, caps.max_workgroup_bytes.into(), interface.workgroup_bytes),
            (limit::STORAGE_BUFFERS, caps.max_storage_buffers.into(), storage),
            (
                limit::STORAGE_TEXTURES,
                caps.max_storage_textures.into(),
                count(&[BindingKind::TexelRead, BindingKind::TexelWrite]),
            ),
            (limit::SAMPLED_TEXTURES, caps.max_sampled_textures.into(), count(&[BindingKind::SampledTexels])),
        ] {
            if needed > available {
                return Err(Error::DeviceLimit { limit, available, needed });
            }
        }
        Ok(())
    }
}

fn lost() -> Error {
    Error::DeviceLost { message: "the driver gave it up, or it was destroyed".into() }
}

/// Locks a mutex, even if it is poisoned: a thread that panicked with the lock held has at worst left an entry out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layout_entry(binding: u32, kind: BindingKind) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: match kind {
            BindingKind::Uniform => buffer_type(wgpu::BufferBindingType::Uniform),
            BindingKind::Read => buffer_type(wgpu::BufferBindingType::Storage { read_only: true }),
            BindingKind::ReadWrite => buffer_type(wgpu::BufferBindingType::Storage { read_only: false }),
            BindingKind::SampledTexels => wgpu::BindingType::Texture {
                // WebGPU does not promise that 32-bit floats can be filtered.
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            BindingKind::TexelRead => texel_type(wgpu::StorageTextureAccess::ReadOnly),
            BindingKind::TexelWrite => texel_type(wgpu::StorageTextureAccess::WriteOnly),
        },
        count: None,
    }
}

fn buffer_type(ty: wgpu::BufferBindingType) -> wgpu::BindingType {
    wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None }
}

fn texel_type(access: wgpu::StorageTextureAccess) -> wgpu::BindingType {
    wgpu::BindingType::StorageTexture {
        access,
        format: buffers::TEXEL_FORMAT,
        view_dimension: wgpu::TextureViewDimension::D2,
    }
}

/// The one place where shaders lose their run-time checks.
fn shader_module(device: &wgpu::Device, name: &str, text: String, checked: bool) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(text.into()) };
    if checked {
        return device.create_shader_module(descriptor);
    }
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: false,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: Without checks an index out of bounds or an endless loop is undefined behaviour. Neither occurs:
    // - The texts are this crate's own files; only the values of their `const` lines are set, from the fixed tables of variants, and
    //   the parts that a variant names are put together. For other texts the caller of `Shader::trusted` guarantees it.
    // - Every loop counts up (or halves down) to a bound that its body does not change.
    // - Indices into function and workgroup arrays are loop counters and invocation ids below the constants that size them. The host
    //   sets those constants itself, so that host and shader agree on the sizes.
    // - Indices into storage are those of elements of tensors whose geometry the plan checked. The plan cuts
    //   operands into ranges that contain every element a dispatch touches, `Prepared::bind` checks that each range lies
    //   in its buffer, and the tests run every kernel with the checks on and off, with guard words around the written ranges.
    // - The tests also run every kernel in every variant in the interpreter `conv1d-simt` (`tests/paper.rs`). It checks that every index of
    //   every access is inside of its array and of exactly the range that the plan binds, that every loop ends, that all lanes reach every
    //   barrier, that workgroup memory is written before it is read, and that no two invocations race. It finds each of these faults
    //   where one is planted (`tests/planted.rs`).
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Conv1d;

    /// Only pipelines that nothing holds are freed, and they are compiled again when needed.
    #[test]
    fn trimming_frees_unused_pipelines() {
        let gpu = Gpu::new().unwrap();
        let kept = || lock(&gpu.inner.pipelines).len();
        let run = || {
            let (x, w) = (gpu.tensor(&[1.0; 5], [1, 1, 5])?, gpu.tensor(&[1.0; 3], [1, 1, 3])?);
            gpu.conv1d(&Conv1d::new(1, 1, 3), &x, &w, None)?.read()
        };
        assert_eq!(run(), Ok(vec![3.0; 3]));
        let plan = Conv1d::new(1, 1, 3).plan(Operation::Forward, [1, 1, 5], gpu.caps()).unwrap();
        let prepared = gpu.prepare(&plan).unwrap();
        assert!(kept() > 0);
        gpu.trim().unwrap();
        assert!(kept() > 0, "a prepared plan holds its pipelines");
        drop(prepared);
        gpu.trim().unwrap();
        assert_eq!(kept(), 0);
        assert_eq!(run(), Ok(vec![3.0; 3]));
    }
}
