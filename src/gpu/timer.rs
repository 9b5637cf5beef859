#[cfg(not(target_arch = "wasm32"))]
use super::block_on;
use super::{Bound, Gpu, Signal, Tensor};
use crate::error::Result;
use crate::timing::{Effort, Timing, measure_async};
use web_time::{Duration, Instant};

/// Most runs in one submission.
const MOST_REPEATS: u32 = 1000;

/// Measures run times on the GPU: with its timestamps around a pass, or with the host clock from submission to completion.
#[derive(Debug)]
pub struct Timer {
    gpu: Gpu,
    stamps: Option<Stamps>,
}

#[derive(Debug)]
struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Two 64-bit numbers, read back as four 32-bit words.
    words: Tensor,
    nanoseconds: f64,
}

impl Stamps {
    fn new(gpu: &Gpu) -> Result<Self> {
        let (set, resolved) = gpu.guarded(|| {
            let set = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            });
            let resolved = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            (set, resolved)
        })?;
        let nanoseconds = gpu.queue().get_timestamp_period().into();
        Ok(Stamps { set, resolved, words: gpu.zeros([4])?, nanoseconds })
    }

    async fn elapsed(&self) -> Result<Duration> {
        let words: Vec<u64> = self.words.read_async().await?.iter().map(|word| word.to_bits().into()).collect();
        let stamp = |index: usize| words[2 * index] | words[2 * index + 1] << 32;
        let ticks = stamp(1).saturating_sub(stamp(0)) as f64;
        Ok(Duration::from_secs_f64(ticks * self.nanoseconds * 1e-9))
    }
}

impl Timer {
    /// A timer for a device.
    pub fn new(gpu: &Gpu) -> Timer {
        // A software adapter has the same clock as the program, and its timestamps leave out the start of its threads.
        let software = gpu.adapter_info().device_type == wgpu::DeviceType::Cpu;
        let has_stamps = gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Timer { gpu: gpu.clone(), stamps: if has_stamps && !software { Stamps::new(gpu).ok() } else { None } }
    }

    /// Name of the method of measurement.
    pub fn name(&self) -> &'static str {
        if self.stamps.is_some() { "GPU time stamps" } else { "submission to completion" }
    }

    /// Measures how long a bound operation of this device takes. Run it once to completion before: work that is still queued or
    /// still to be compiled would count.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn measure(&self, bound: &Bound, effort: Effort) -> Result<Timing> {
        block_on(self.measure_async(bound, effort))
    }

    /// As `measure`, without blocking.
    pub async fn measure_async(&self, bound: &Bound, effort: Effort) -> Result<Timing> {
        measure_async(effort, async |repeats| self.run_async(bound, repeats).await).await
    }

    /// Runs a bound operation of this device `repeats` times to completion and returns the total time.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&self, bound: &Bound, repeats: u32) -> Result<Duration> {
        block_on(self.run_async(bound, repeats))
    }

    /// As `run`, without blocking.
    pub async fn run_async(&self, bound: &Bound, repeats: u32) -> Result<Duration> {
        self.gpu.check_own(bound.gpu(), "the bound operation")?;
        let mut taken = Duration::ZERO;
        let mut left = repeats;
        while left > 0 {
            let now = left.min(MOST_REPEATS);
            taken += self.submit(bound, now).await?;
            left -= now;
        }
        Ok(taken)
    }

    async fn submit(&self, bound: &Bound, repeats: u32) -> Result<Duration> {
        let device = self.gpu.device();
        let (start, signal) = self.gpu.guarded(|| {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let timestamp_writes = self.stamps.as_ref().map(|stamps| wgpu::ComputePassTimestampWrites {
                    query_set: &stamps.set,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                });
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                let mut pass = encoder.begin_compute_pass(&descriptor);
                (0..repeats).for_each(|_| bound.record(&mut pass));
            }
            if let Some(stamps) = &self.stamps {
                encoder.resolve_query_set(&stamps.set, 0..2, &stamps.resolved, 0);
                encoder.copy_buffer_to_buffer(&stamps.resolved, 0, stamps.words.buffer(), 0, 16);
            }
            let commands = encoder.finish();
            let start = Instant::now();
            let submission = self.gpu.queue().submit([commands]);
            (start, Signal::end_of(submission, self.gpu.queue()))
        })?;
        self.gpu.wait(signal).await?;
        let taken = start.elapsed();
        match &self.stamps {
            None => Ok(taken),
            Some(stamps) => stamps.elapsed().await,
        }
    }
}
