//! Filters over recordings: convolves every channel with taps, and computes the frequency response of taps.

use crate::Engine;
use conv1d::{ConvTranspose1d, Error, Gpu, Padding};
use std::f64::consts::PI;
use wasm_bindgen::prelude::*;

/// Most taps of a filter.
const MOST_TAPS: usize = 4095;

/// Why a recording cannot be filtered, or a filter cannot be designed.
#[derive(Debug, thiserror::Error)]
enum FilterError {
    /// The convolution or the recording.
    #[error(transparent)]
    Convolution(#[from] Error),
    /// A number is out of its range.
    #[error("{argument} must be {expected}, got {value}")]
    Argument {
        /// Name of the argument.
        argument: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
}

/// A recording in memory.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Recording {
    channels: usize,
    /// `[channels, length]`.
    samples: Vec<f32>,
}

/// Taps and their distance in samples. The filter is centred: as many taps before a sample as after it.
#[derive(Debug, Clone, Copy)]
struct Filter<'a> {
    taps: &'a [f32],
    dilation: usize,
}

impl Filter<'_> {
    /// Samples that the filter reads on each side of a sample.
    fn reach(&self) -> usize {
        (self.taps.len() / 2).saturating_mul(self.dilation)
    }
}

#[wasm_bindgen]
impl Recording {
    /// Takes samples `[channels, length]`. An error if `channels` is 0 or does not divide the number of samples.
    #[wasm_bindgen(constructor)]
    pub fn new(samples: Vec<f32>, channels: usize) -> Result<Recording, JsError> {
        Ok(Recording::checked(samples, channels)?)
    }

    /// Samples per channel.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.samples.len() / self.channels
    }

    /// Convolves every channel with an odd number of taps, `dilation` samples apart, and returns the samples `from..to` of the
    /// result, `[channels, to - from]`. The result is centred and as long as the recording, with silence beyond its ends.
    pub async fn filtered(
        &self,
        engine: &Engine,
        taps: Vec<f32>,
        dilation: usize,
        from: usize,
        to: usize,
    ) -> Result<Vec<f32>, JsError> {
        Ok(self.excerpt(&engine.gpu, Filter { taps: &taps, dilation }, from, to).await?)
    }
}

impl Recording {
    fn checked(samples: Vec<f32>, channels: usize) -> Result<Recording, Error> {
        if channels == 0 {
            return Err(Error::Zero { argument: "channels" });
        }
        if !samples.len().is_multiple_of(channels) {
            let expected = samples.len().next_multiple_of(channels);
            return Err(Error::DataLength { tensor: "the recording", got: samples.len(), expected });
        }
        Ok(Recording { channels, samples })
    }

    async fn excerpt(&self, gpu: &Gpu, filter: Filter<'_>, from: usize, to: usize) -> Result<Vec<f32>, FilterError> {
        let Filter { taps, dilation } = filter;
        if taps.len().is_multiple_of(2) {
            let value = taps.len() as f64;
            return Err(FilterError::Argument { argument: "the number of taps", value, expected: "odd" });
        }
        let to = to.min(self.length());
        if from >= to {
            return Ok(Vec::new());
        }
        // The excerpt with the samples that the filter reads around it. A transposed convolution does not reverse the taps.
        let reach = filter.reach();
        let (first, end) = (from.saturating_sub(reach), to.saturating_add(reach).min(self.length()));
        let rows: Vec<f32> =
            self.samples.chunks_exact(self.length()).flat_map(|row| &row[first..end]).copied().collect();
        let crop = Padding::Explicit { left: from - first + reach, right: end - to + reach };
        let convolution = ConvTranspose1d::new(1, 1, taps.len()).dilation(dilation).padding(crop);
        let x = gpu.tensor(&rows, [self.channels, 1, end - first])?;
        let w = gpu.tensor(taps, [1, 1, taps.len()])?;
        Ok(gpu.conv_transpose1d(&convolution, &x, &w, None)?.read_async().await?)
    }
}

/// Taps of a filter by its name: `low-pass`, `high-pass` (at `cutoff`, in cycles per sample), `smooth` (the mean), `difference`,
/// `echo` (each repetition a third as loud as the last) and `identity`. An even number of taps is rounded up to an odd one.
#[wasm_bindgen]
pub fn design(name: &str, taps: usize, cutoff: f64) -> Result<Vec<f32>, JsError> {
    if taps > MOST_TAPS {
        return Err(Error::TooLarge { what: "the number of taps", value: taps as u64, limit: MOST_TAPS as u64 }.into());
    }
    if !(cutoff > 0.0 && cutoff <= 0.5) {
        let expected = "above 0 and at most 0.5";
        return Err(FilterError::Argument { argument: "cutoff", value: cutoff, expected }.into());
    }
    designed(name, taps, cutoff).ok_or_else(|| JsError::new(&format!("no filter is called {name:?}")))
}

fn designed(name: &str, taps: usize, cutoff: f64) -> Option<Vec<f32>> {
    let taps = taps | 1;
    let middle = taps / 2;
    let impulse = |at: usize| (0..taps).map(|i| if i == at { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    Some(match name {
        "identity" => impulse(middle),
        "low-pass" => low_pass(taps, cutoff),
        "high-pass" => {
            let mut high: Vec<f32> = low_pass(taps, cutoff).iter().map(|tap| -tap).collect();
            high[middle] += 1.0;
            high
        }
        "smooth" => vec![1.0 / taps as f32; taps],
        "difference" => {
            let mut difference = impulse(middle);
            if let Some(next) = difference.get_mut(middle + 1) {
                *next = -1.0;
            }
            difference
        }
        "echo" => {
            let mut echo = impulse(middle);
            let mut loudness = 1.0;
            for tap in echo.iter_mut().skip(middle + 1) {
                loudness /= 3.0;
                *tap = loudness;
            }
            echo
        }
        _ => return None,
    })
}

/// The sinc of the cutoff times a Blackman window, scaled so that a constant passes unchanged.
fn low_pass(taps: usize, cutoff: f64) -> Vec<f32> {
    let middle = (taps / 2) as f64;
    let tap = |i: usize| {
        let t = i as f64 - middle;
        let sinc = if t == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * t).sin() / (PI * t) };
        let phase = PI * (i as f64 + 1.0) / (middle + 1.0);
        sinc * (0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos())
    };
    let raw: Vec<f64> = (0..taps).map(tap).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|tap| (tap / sum) as f32).collect()
}

/// Gain of a filter in decibels, at least -120, at `points` evenly spaced frequencies from 0 to half the sample rate. With a
/// dilation, the frequencies end at half the rate divided by it, and the response repeats mirrored beyond them.
#[wasm_bindgen]
pub fn response(taps: &[f32], points: usize) -> Vec<f32> {
    let last = points.saturating_sub(1).max(1) as f64;
    let gain = |point: usize| {
        let frequency = 0.5 * point as f64 / last;
        let phase = |i: usize| 2.0 * PI * frequency * i as f64;
        let (re, im) = taps.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, &tap)| {
            let (sin, cos) = phase(i).sin_cos();
            (re + f64::from(tap) * cos, im + f64::from(tap) * sin)
        });
        (20.0 * f64::hypot(re, im).log10()).max(-120.0) as f32
    };
    (0..points).map(gain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use conv1d::{Conv1d, reference::Oracle};

    #[test]
    fn filters_do_to_frequencies_what_they_are_called() {
        let db = |name, taps| response(&designed(name, taps, 0.1).unwrap(), 11);
        let low = db("low-pass", 255);
        assert!(low[0].abs() < 1e-4 && low[1].abs() < 0.01 && low[3] < -60.0, "{low:?}");
        assert!((low[2] + 6.0).abs() < 0.1, "half as loud at the cutoff: {low:?}");
        let high = db("high-pass", 255);
        assert!(high[0] < -100.0 && high[1] < -60.0 && high[10].abs() < 1e-3, "{high:?}");
        assert!(db("identity", 9).iter().all(|db| db.abs() < 1e-6));
        assert!(db("smooth", 5)[0].abs() < 1e-6 && db("smooth", 5)[4] < -100.0);
        assert!(db("difference", 3)[0] == -120.0 && (db("difference", 3)[10] - 6.0206).abs() < 1e-3);
        assert!((db("echo", 5)[0] - 20.0 * (13.0_f32 / 9.0).log10()).abs() < 1e-3);
        assert!(designed("loud", 3, 0.1).is_none());
    }

    /// An excerpt equals the same part of the whole filtered recording.
    #[test]
    fn excerpts_are_parts_of_the_whole() {
        let gpu = Gpu::new().unwrap();
        let (channels, length) = (2, 50);
        let samples: Vec<f32> = (0..channels * length).map(|i| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0).collect();
        let recording = Recording::checked(samples.clone(), channels).unwrap();
        let taps = [0.5, -0.25, 1.0, 0.125, -2.0];
        let reversed: Vec<f32> = taps.iter().rev().copied().collect();
        for dilation in [1, 3, 20] {
            let conv = Conv1d::new(1, 1, 5).dilation(dilation).padding(Padding::both(2 * dilation));
            let oracle = Oracle::new(conv, [channels, 1, length]).unwrap();
            let exact = oracle.forward(&samples, &reversed, None).unwrap();
            for (from, to) in [(0, 50), (0, 1), (7, 20), (49, 50), (30, 80), (20, 20)] {
                let filter = Filter { taps: &taps, dilation };
                let got = pollster::block_on(recording.excerpt(&gpu, filter, from, to)).unwrap();
                let to = to.min(length);
                assert_eq!(got.len(), channels * (to - from));
                for (i, &got) in got.iter().enumerate() {
                    let (channel, at) = (i / (to - from), i % (to - from));
                    assert!(exact[channel * length + from + at].used(got) <= 1.0, "{dilation} {from}..{to} at {i}");
                }
            }
        }
    }

    #[test]
    fn wrong_recordings_and_filters_are_errors() {
        assert!(Recording::checked(vec![0.0; 3], 2).is_err() && Recording::checked(Vec::new(), 0).is_err());
        let gpu = Gpu::new().unwrap();
        let recording = Recording::checked(vec![1.0; 4], 1).unwrap();
        let filtered = |taps: &[f32], dilation| {
            pollster::block_on(recording.excerpt(&gpu, Filter { taps, dilation }, 0, 4)).unwrap_err().to_string()
        };
        assert_eq!(filtered(&[1.0, 2.0], 1), "the number of taps must be odd, got 2");
        assert_eq!(filtered(&[], 1), "the number of taps must be odd, got 0");
        assert_eq!(filtered(&[1.0], 0), "dilation must be at least 1, got 0");
        assert!(filtered(&[1.0; 3], usize::MAX).contains("more than"));
    }
}
