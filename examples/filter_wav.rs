//! Applies a low-pass filter to a recording on the GPU: `filter_wav IN.wav OUT.wav [--cutoff HZ] [--taps N]`.
//!
//! The filter is a windowed sinc with linear phase; the result is as long as the input. The recording may have any number of
//! channels, any sample rate and any length, and integers of 8 to 32 bits or 32-bit floats, which the result has too. The
//! device filters blocks of a few seconds, each with the samples around it that the filter reaches.

use conv1d::{Buffers, Conv1d, Gpu, Operation, Role};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::error::Error;
use std::f64::consts::PI;
use std::process::ExitCode;
use std::time::Instant;

/// Samples of each channel in a block.
const BLOCK: usize = 1 << 18;

struct Arguments {
    input: String,
    output: String,
    cutoff: f64,
    taps: usize,
}

const USAGE: &str = "usage: filter_wav IN.wav OUT.wav [--cutoff HZ] [--taps N]
  --cutoff  cutoff frequency in Hz, 1000 by default
  --taps    length of the filter, odd, 255 by default";

fn arguments() -> Result<Arguments, String> {
    let (mut paths, mut cutoff, mut taps) = (Vec::new(), 1000.0, 255);
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--cutoff" => cutoff = value()?.parse().map_err(|_| format!("--cutoff takes a frequency\n{USAGE}"))?,
            "--taps" => taps = value()?.parse().map_err(|_| format!("--taps takes a number\n{USAGE}"))?,
            _ if argument.starts_with("--") => return Err(format!("{argument} is unknown\n{USAGE}")),
            _ => paths.push(argument),
        }
    }
    let [input, output] = <[String; 2]>::try_from(paths).map_err(|_| USAGE.to_owned())?;
    if taps % 2 == 0 || taps > 1 << 16 {
        return Err(format!("--taps {taps} is not an odd number up to 65535"));
    }
    Ok(Arguments { input, output, cutoff, taps })
}

/// Taps of a low-pass filter: the sinc of the cutoff under a Blackman window, scaled so that a constant passes unchanged.
/// `cutoff` is in cycles per sample.
fn low_pass(taps: usize, cutoff: f64) -> Vec<f32> {
    let middle = (taps - 1) as f64 / 2.0;
    let tap = |i: usize| {
        let t = i as f64 - middle;
        let sinc = if t == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * t).sin() / (PI * t) };
        let phase = PI * (i as f64 + 1.0) / (middle + 1.0);
        sinc * (0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos())
    };
    let raw: Vec<f64> = (0..taps).map(tap).collect();
    let gain: f64 = raw.iter().sum();
    raw.iter().map(|tap| (tap / gain) as f32).collect()
}

/// The filter on the device, for blocks of one size.
struct Filter {
    gpu: Gpu,
    taps: conv1d::Tensor,
    prepared: conv1d::Prepared,
    shape: [usize; 3],
}

impl Filter {
    /// Channels are batch items: all go through the same filter. A block comes with the samples around it.
    fn new(taps: &[f32], channels: usize) -> conv1d::Result<Self> {
        let gpu = Gpu::new()?;
        let shape = [channels, 1, BLOCK + taps.len() - 1];
        let plan = Conv1d::new(1, 1, taps.len()).plan(Operation::Forward, shape, gpu.caps())?;
        let prepared = gpu.prepare(&plan)?;
        Ok(Filter { taps: gpu.tensor(taps, [1, 1, taps.len()])?, gpu, prepared, shape })
    }

    fn apply(&self, block: &[f32]) -> conv1d::Result<Vec<f32>> {
        let x = self.gpu.tensor(block, self.shape)?;
        let y = self.gpu.zeros([self.shape[0], 1, BLOCK])?;
        let buffers = Buffers::new()
            .with(Role::Input, x.buffer().slice(..))
            .with(Role::Weight, self.taps.buffer().slice(..))
            .with(Role::Output, y.buffer().slice(..));
        self.gpu.run(&self.prepared.bind(&buffers)?)?;
        y.read()
    }
}

/// The samples of a file in order, as floats.
fn samples<R: std::io::Read>(reader: &mut WavReader<R>) -> Box<dyn Iterator<Item = hound::Result<f32>> + '_> {
    let spec = reader.spec();
    match spec.sample_format {
        SampleFormat::Float => Box::new(reader.samples::<f32>()),
        SampleFormat::Int => {
            let full = 2_f64.powi(i32::from(spec.bits_per_sample) - 1);
            Box::new(reader.samples::<i32>().map(move |s| s.map(|s| (f64::from(s) / full) as f32)))
        }
    }
}

/// Writes a sample in the format of the file; integers are rounded and clipped.
fn write<W: std::io::Write + std::io::Seek>(
    writer: &mut WavWriter<W>,
    spec: WavSpec,
    sample: f32,
) -> hound::Result<()> {
    match spec.sample_format {
        SampleFormat::Float => writer.write_sample(sample),
        SampleFormat::Int => {
            let full = 2_f64.powi(i32::from(spec.bits_per_sample) - 1);
            writer.write_sample((f64::from(sample) * full).round().clamp(-full, full - 1.0) as i32)
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let mut reader = WavReader::open(&arguments.input).map_err(|e| format!("{}: {e}", arguments.input))?;
    let spec = reader.spec();
    let rate = f64::from(spec.sample_rate);
    if !(arguments.cutoff > 0.0 && arguments.cutoff < rate / 2.0) {
        return Err(format!(
            "--cutoff {} is not between 0 and {} Hz, half the sample rate",
            arguments.cutoff,
            rate / 2.0
        )
        .into());
    }
    let channels = usize::from(spec.channels);
    let (length, taps) = (reader.duration() as usize, low_pass(arguments.taps, arguments.cutoff / rate));
    let filter = Filter::new(&taps, channels)?;
    let mut writer = WavWriter::create(&arguments.output, spec).map_err(|e| format!("{}: {e}", arguments.output))?;

    let start = Instant::now();
    let reach = taps.len() / 2;
    let row = filter.shape[2];
    // Each channel's row: `reach` samples before the block, the block, `reach` after it; silence beyond the ends.
    let mut rows = vec![0.0_f32; channels * row];
    let mut input = samples(&mut reader);
    let mut fill = |rows: &mut [f32], from: usize| -> hound::Result<()> {
        for i in from..row {
            for channel in 0..channels {
                rows[channel * row + i] = input.next().transpose()?.unwrap_or(0.0);
            }
        }
        Ok(())
    };
    fill(&mut rows, reach)?;
    for first in (0..length).step_by(BLOCK) {
        let filtered = filter.apply(&rows)?;
        for i in 0..BLOCK.min(length - first) {
            for channel in 0..channels {
                write(&mut writer, spec, filtered[channel * BLOCK + i])?;
            }
        }
        // Keep the samples that the next block needs.
        rows.chunks_mut(row).for_each(|row| row.copy_within(BLOCK.., 0));
        fill(&mut rows, 2 * reach)?;
    }
    writer.finalize()?;

    let (seconds, taken) = (length as f64 / rate, start.elapsed().as_secs_f64());
    println!(
        "{seconds:.2} s of {channels} channels at {rate} Hz through {} taps, cutoff {} Hz, on {}: {taken:.3} s",
        taps.len(),
        arguments.cutoff,
        filter.gpu.adapter_info().name
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(taps: &[f32], frequency: f64) -> f64 {
        let phase = |i: usize| 2.0 * PI * frequency * i as f64;
        let re: f64 = taps.iter().enumerate().map(|(i, &t)| f64::from(t) * phase(i).cos()).sum();
        let im: f64 = taps.iter().enumerate().map(|(i, &t)| f64::from(t) * phase(i).sin()).sum();
        re.hypot(im)
    }

    #[test]
    fn the_filter_passes_low_and_stops_high_frequencies() {
        let taps = low_pass(255, 0.1);
        assert!((gain(&taps, 0.0) - 1.0).abs() < 1e-6);
        assert!((gain(&taps, 0.05) - 1.0).abs() < 1e-3);
        assert!(gain(&taps, 0.15) < 1e-3);
        assert!(taps.iter().zip(taps.iter().rev()).all(|(a, b)| (a - b).abs() < 1e-7));
    }
}
