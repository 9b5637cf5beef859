//! Latency: the overhead of one small layer.

use super::results::{Latency, Times};
use crate::adapters;
use conv1d::timing::measure as sample;
use conv1d::{Bound, Buffers, Conv1d, Effort, Error, Gpu, Operation, Padding, Prepared, Result, Tensor, Timing, wgpu};
use std::path::Path;
use std::time::{Duration, Instant};

/// Effort of each measurement.
const EFFORT: Effort = Effort { total: Duration::from_millis(500), ..Effort::FULL };
/// Number of devices on which a first call is timed.
const FIRST_CALLS: usize = 3;

/// The layer, small enough that its arithmetic is negligible on a GPU.
fn layer() -> (Conv1d, [usize; 3]) {
    (Conv1d::new(8, 32, 5).padding(Padding::Same), [1, 8, 100])
}

/// A prepared operation and its tensors.
struct Small {
    prepared: Prepared,
    tensors: Vec<(conv1d::Role, Tensor)>,
}

impl Small {
    fn new(gpu: &Gpu) -> Result<Self> {
        let (conv, input) = layer();
        let plan = conv.plan(Operation::Forward, input, gpu.caps())?;
        let prepared = gpu.prepare(&plan)?;
        let roles = plan.inputs().into_iter().chain([plan.output()]);
        let tensors = roles.map(|role| Ok((role, gpu.zeros(role.shape(plan.shapes()))?))).collect::<Result<_>>()?;
        Ok(Small { prepared, tensors })
    }

    fn bind(&self) -> Result<Bound> {
        let slices = self.tensors.iter().map(|(role, tensor)| (*role, tensor.buffer().slice(..)));
        self.prepared.bind(&slices.fold(Buffers::new(), |all, (role, slice)| all.with(role, slice)))
    }
}

pub(super) fn measure(gpu: &Gpu, adapter: Option<&str>) -> Result<Vec<Latency>> {
    let (conv, input) = layer();
    let small = Small::new(gpu)?;
    let bound = small.bind()?;
    gpu.run(&bound)?;
    wait(gpu)?;
    let mut all = Vec::new();
    let mut add = |what: &str, timing: &Timing| {
        all.push(Latency { what: what.to_owned(), times: Times::new(timing) });
    };
    let round_trip = repeated(|| {
        gpu.run(&bound)?;
        wait(gpu)
    })?;
    add("record, submit and wait for one layer", &round_trip);
    let chain = sample(EFFORT, |repeats| {
        let start = Instant::now();
        record(gpu, &bound, repeats, true);
        wait(gpu)?;
        Ok::<_, Error>(start.elapsed())
    })?;
    add("the same per layer, with many layers in one pass", &chain);
    let recording = sample(EFFORT, |repeats| {
        let mut taken = Duration::ZERO;
        let mut left = repeats;
        // Recorded commands take memory, so each encoder holds at most 1000 layers.
        while left > 0 {
            let now = left.min(1000);
            let start = Instant::now();
            record(gpu, &bound, now, false);
            taken += start.elapsed();
            left -= now;
        }
        Ok::<_, Error>(taken)
    })?;
    add("record a bound layer, one of many in a pass", &recording);
    add("plan", &repeated(|| conv.plan(Operation::Forward, input, gpu.caps()).map(drop))?);
    add("bind a prepared layer to buffers", &repeated(|| small.bind().map(drop))?);
    let (cold, warm) = first_calls(adapter)?;
    add("first call on a new device: compile, upload, run, read", &cold);
    if let Some(warm) = warm {
        add("the same with a pipeline cache from a file", &warm);
    }
    Ok(all)
}

/// Times a call that may fail.
fn repeated(mut call: impl FnMut() -> Result<()>) -> Result<Timing> {
    sample(EFFORT, |repeats| {
        let start = Instant::now();
        (0..repeats).try_for_each(|_| call())?;
        Ok(start.elapsed())
    })
}

fn record(gpu: &Gpu, bound: &Bound, repeats: u32, submit: bool) {
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        (0..repeats).for_each(|_| bound.record(&mut pass));
    }
    if submit {
        gpu.queue().submit([encoder.finish()]);
    }
}

fn wait(gpu: &Gpu) -> Result<()> {
    let waited = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    waited.map(drop).map_err(|e| Error::DeviceLost { message: e.to_string() })
}

/// Times first calls on new devices, without a pipeline cache and, if the driver supports one, with a cache from a file. A
/// driver may keep its own cache on disk, which serves both.
fn first_calls(adapter: Option<&str>) -> Result<(Timing, Option<Timing>)> {
    let mut cold = Vec::new();
    for _ in 0..FIRST_CALLS {
        let gpu = adapters::open(adapter, false)?;
        cold.push(first_call(&gpu, None)?);
    }
    let place = |e: std::io::Error| Error::File { path: "a temporary folder".into(), message: e.to_string() };
    let folder = tempfile::tempdir().map_err(place)?;
    let file = folder.path().join("pipelines");
    let mut warm = Vec::new();
    for _ in 0..=FIRST_CALLS {
        let gpu = adapters::open(adapter, false)?;
        let there = file.exists();
        let seconds = first_call(&gpu, Some(&file))?;
        gpu.save_pipeline_cache(&file)?;
        if there {
            warm.push(seconds);
        }
    }
    Ok((Timing::new(cold), (!warm.is_empty()).then(|| Timing::new(warm))))
}

/// Seconds of a first call: from an open device to the first result on the host.
fn first_call(gpu: &Gpu, cache: Option<&Path>) -> Result<f64> {
    let start = Instant::now();
    if let Some(path) = cache {
        // SAFETY: The file is in a temporary folder of this process; if it exists, `Gpu::save_pipeline_cache` wrote it.
        unsafe { gpu.load_pipeline_cache(path)? };
    }
    let small = Small::new(gpu)?;
    gpu.run(&small.bind()?)?;
    if let Some((_, output)) = small.tensors.last() {
        output.read()?;
    }
    Ok(start.elapsed().as_secs_f64())
}
