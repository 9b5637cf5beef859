#[cfg(not(target_arch = "wasm32"))]
use super::block_on;
use super::{Bindings, Gpu, Signal, Timer, Workgroups};
use crate::error::{Error, Result};
use crate::kernels::program::{Shader, Source, source};
use crate::roofline::Roofline;
use crate::timing::{Effort, measure_async};
use web_time::{Duration, Instant};

pub(super) static PEAK: Source = source!("peak");
pub(super) static COPY: Source = source!("copy");

/// Loop iterations of `peak`, and operations of a workgroup in each: 2 per multiply-add, 8 sums, 32 times, 64 invocations.
const ITERATIONS: u32 = 256;
const FLOPS: f64 = 2.0 * 8.0 * 32.0 * 64.0;
/// First number of workgroups of `peak`, and the shortest duration of a measured dispatch, so that its launch is negligible.
const FEW_WORKGROUPS: u32 = 256;
const LONG: Duration = Duration::from_millis(2);

/// Most bytes to copy: more than the caches of current devices hold (50 MiB on an H200), and one binding.
const COPIED: u64 = 128 << 20;
/// Bytes that a workgroup of `copy` copies.
const COPIED_AT_ONCE: u64 = 256 * 16;

impl Gpu {
    /// Measures the highest rates of this device: `f32` multiply-adds on registers, as `a * b + c` in WGSL (operations per second),
    /// and copying from memory to memory (bytes per second), by a shader or by the device's own copy, whichever is faster. The
    /// fastest sample counts.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn roofline(&self, effort: Effort) -> Result<Roofline> {
        block_on(self.roofline_async(effort))
    }

    /// As `roofline`, without blocking.
    pub async fn roofline_async(&self, effort: Effort) -> Result<Roofline> {
        Ok(Roofline { flops: self.peak_flops_async(effort).await?, bytes: self.copy_bytes_async(effort).await? })
    }

    /// Only the multiply-add rate of [`Gpu::roofline_async`], in operations per second; a multiply-add is two.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn peak_flops(&self, effort: Effort) -> Result<f64> {
        block_on(self.peak_flops_async(effort))
    }

    /// As `peak_flops`, without blocking.
    pub async fn peak_flops_async(&self, effort: Effort) -> Result<f64> {
        let timer = Timer::new(self);
        let shader = self.prepare_shader(&Shader::of(&PEAK))?;
        let output = self.storage_buffer("conv1d peak", 4)?;
        let most = self.caps().max_workgroups.min(65_535);
        let mut workgroups = FEW_WORKGROUPS.min(most);
        loop {
            let bindings = Bindings::new()
                .with("output", output.slice(..))
                .value("iterations", ITERATIONS)
                .value("factor", 0.999_f32)
                .value("addend", 0.001_f32)
                .value("never", -1.0_f32);
            let bound = shader.bind(&bindings, Workgroups::Count(workgroups.into()))?;
            timer.run_async(&bound, 1).await?;
            if timer.run_async(&bound, 1).await? >= LONG || workgroups == most {
                let once = timer.measure_async(&bound, effort).await?.min();
                return Ok(FLOPS * f64::from(ITERATIONS) * f64::from(workgroups) / once);
            }
            workgroups = workgroups.saturating_mul(4).min(most);
        }
    }

    /// Only the copy rate of [`Gpu::roofline_async`], in bytes read and written per second, over up to 128 MiB if memory and limits
    /// allow.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn copy_bytes(&self, effort: Effort) -> Result<f64> {
        block_on(self.copy_bytes_async(effort))
    }

    /// As `copy_bytes`, without blocking.
    pub async fn copy_bytes_async(&self, effort: Effort) -> Result<f64> {
        let timer = Timer::new(self);
        let caps = self.caps();
        let mut most = COPIED.min(caps.max_binding_bytes).min(caps.max_buffer_bytes);
        loop {
            let workgroups = (most / COPIED_AT_ONCE).clamp(1, caps.max_workgroups.min(65_535).into());
            match self.copy_of(workgroups, &timer, effort).await {
                Err(Error::OutOfMemory { .. }) if workgroups > 1 => most /= 2,
                rate => return rate,
            }
        }
    }

    async fn copy_of(&self, workgroups: u64, timer: &Timer, effort: Effort) -> Result<f64> {
        let bytes = workgroups * COPIED_AT_ONCE;
        let source = self.storage_buffer("conv1d copy", bytes)?;
        let copied = self.storage_buffer("conv1d copy", bytes)?;
        let bindings = Bindings::new()
            .with("source", source.slice(..))
            .with("copied", copied.slice(..))
            .value("count", (bytes / 16) as u32);
        let bound = self.prepare_shader(&Shader::of(&COPY))?.bind(&bindings, Workgroups::Count(workgroups))?;
        timer.run_async(&bound, 1).await?;
        let shader = timer.measure_async(&bound, effort).await?.min();
        let own = measure_async(effort, async |repeats| {
            let start = Instant::now();
            let signal = self.guarded(|| {
                let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                (0..repeats).for_each(|_| encoder.copy_buffer_to_buffer(&source, 0, &copied, 0, bytes));
                Signal::end_of(self.queue().submit([encoder.finish()]), self.queue())
            })?;
            self.wait(signal).await?;
            Ok::<_, Error>(start.elapsed())
        });
        Ok(2.0 * bytes as f64 / shader.min(own.await?.min()))
    }
}
