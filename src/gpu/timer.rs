use super::{Bound, Gpu, Tensor};
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Samples. The fewest will do where a sample takes too long.
    pub samples: usize,
    /// The fewest.
    pub fewest: usize,
    /// Shortest sample.
    pub sample: Duration,
    /// Time for all samples.
    pub total: Duration,
}

impl Effort {
    /// At least seven samples of at least 50 ms. A sample longer than a second is taken three times.
    pub const FULL: Effort =
        Effort { samples: 7, fewest: 3, sample: Duration::from_millis(50), total: Duration::from_secs(7) };

    /// The same within a budget, which may leave fewer samples.
    pub const fn within(total: Duration) -> Effort {
        Effort { total, fewest: 1, ..Effort::FULL }
    }
}

/// What was measured, per run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// Middle of the samples.
    pub median: Duration,
    /// The fastest.
    pub min: Duration,
    /// Their number.
    pub samples: usize,
}

impl Timing {
    /// Median in milliseconds.
    pub fn ms(&self) -> f64 {
        self.median.as_secs_f64() * 1e3
    }

    /// The fastest in milliseconds.
    pub fn min_ms(&self) -> f64 {
        self.min.as_secs_f64() * 1e3
    }

    /// Median in seconds.
    pub fn seconds(&self) -> f64 {
        self.median.as_secs_f64()
    }
}

/// Measures `run(repeats)`, which says how long so many runs took, or why it failed. It has run once before.
pub fn measure<E>(
    effort: Effort,
    mut run: impl FnMut(u32) -> std::result::Result<Duration, E>,
) -> std::result::Result<Timing, E> {
    let mut repeats = 1u32;
    let mut taken = run(repeats)?;
    // The growth is bounded so that a first run that was too quick to time does not lead to a very long second.
    while taken < effort.sample {
        let wanted = effort.sample.as_secs_f64() * 1.2 / taken.as_secs_f64().max(1e-9);
        repeats = repeats.saturating_mul(wanted.clamp(2.0, 16.0) as u32).min(1 << 20);
        taken = run(repeats)?;
        if repeats == 1 << 20 {
            break;
        }
    }
    let affordable = (effort.total.as_secs_f64() / taken.as_secs_f64().max(1e-9)) as usize;
    let samples = affordable.min(effort.samples).max(effort.fewest);
    let mut times = vec![taken];
    while times.len() < samples {
        times.push(run(repeats)?);
    }
    Ok(summary(times, repeats))
}

fn summary(mut times: Vec<Duration>, repeats: u32) -> Timing {
    times.sort_unstable();
    let middle = times.len() / 2;
    let median = if times.len() % 2 == 1 { times[middle] } else { times[middle - 1] / 2 + times[middle] / 2 };
    Timing { median: median / repeats, min: times[0] / repeats, samples: times.len() }
}

/// What a call gives, and the time that it takes.
fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = call();
    (value, start.elapsed())
}

/// Runs of one submission at most.
const MOST_REPEATS: u32 = 1000;

/// What times the GPU: its own time stamps around a pass, or the clock around a submission and the wait for it.
#[derive(Debug)]
pub struct Timer {
    gpu: Gpu,
    stamps: Option<Stamps>,
}

#[derive(Debug)]
struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Two numbers of 64 bits, read back as four words.
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

    fn elapsed(&self) -> Result<Duration> {
        let words: Vec<u64> = self.words.read()?.iter().map(|word| word.to_bits().into()).collect();
        let stamp = |index: usize| words[2 * index] | words[2 * index + 1] << 32;
        let ticks = stamp(1).saturating_sub(stamp(0)) as f64;
        Ok(Duration::from_secs_f64(ticks * self.nanoseconds * 1e-9))
    }
}

impl Timer {
    /// A timer for a device.
    pub fn new(gpu: &Gpu) -> Timer {
        // A software adapter has the same clock as the program, and its stamps leave out the start of its threads.
        let software = gpu.adapter_info().device_type == wgpu::DeviceType::Cpu;
        let has_stamps = gpu.device().features().contains(wgpu::Features::TIMESTAMP_QUERY);
        Timer { gpu: gpu.clone(), stamps: if has_stamps && !software { Stamps::new(gpu).ok() } else { None } }
    }

    /// How it times, in words.
    pub fn name(&self) -> &'static str {
        if self.stamps.is_some() { "GPU time stamps" } else { "submission to completion" }
    }

    /// How long a bound operation of this device takes, per run. It has run once before, to its end: what is still queued, or
    /// still to be compiled, would count.
    pub fn measure(&self, bound: &Bound, effort: Effort) -> Result<Timing> {
        measure(effort, |repeats| {
            let mut taken = Duration::ZERO;
            let mut left = repeats;
            while left > 0 {
                let now = left.min(MOST_REPEATS);
                taken += self.time(bound, now)?;
                left -= now;
            }
            Ok(taken)
        })
    }

    pub(crate) fn time(&self, bound: &Bound, repeats: u32) -> Result<Duration> {
        let device = self.gpu.device();
        let (waited, taken) = self.gpu.guarded(|| {
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
            timed(|| {
                self.gpu.queue().submit([commands]);
                device.poll(wgpu::PollType::wait_indefinitely())
            })
        })?;
        waited.map_err(|e| Error::DeviceLost { message: e.to_string() })?;
        match &self.stamps {
            None => Ok(taken),
            Some(stamps) => stamps.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_per_run() {
        let ms = Duration::from_millis;
        assert_eq!(summary(vec![ms(30), ms(10), ms(20)], 10), Timing { median: ms(2), min: ms(1), samples: 3 });
        assert_eq!(summary(vec![ms(30), ms(10)], 1).median, ms(20));
    }

    #[test]
    fn short_runs_are_repeated_and_long_ones_are_not() {
        let fake = |each: Duration| measure(Effort::FULL, move |repeats| Ok::<_, ()>(each * repeats)).unwrap();
        let quick = fake(Duration::from_micros(3));
        assert_eq!((quick.median, quick.samples), (Duration::from_micros(3), 7));
        assert_eq!(fake(Duration::from_secs(20)).samples, 3);
        // More at least than at most: the least counts.
        let odd = Effort { samples: 2, fewest: 4, ..Effort::FULL };
        assert_eq!(measure(odd, |repeats| Ok::<_, ()>(Duration::from_secs(1) * repeats)).unwrap().samples, 4);
    }
}
