//! Timing of GPU and processor: how long to measure, and the results.

use std::time::Duration;

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Most samples, as far as `total` allows.
    pub samples: usize,
    /// Fewest samples, even if they take longer than `total`.
    pub fewest: usize,
    /// Shortest duration of a sample; shorter runs are repeated.
    pub sample: Duration,
    /// Time budget of all samples.
    pub total: Duration,
}

impl Effort {
    /// Seven samples of at least 50 ms, or fewer if they exceed seven seconds, but at least three.
    pub const FULL: Effort =
        Effort { samples: 7, fewest: 3, sample: Duration::from_millis(50), total: Duration::from_secs(7) };

    /// Like [`Effort::FULL`] within a time budget, and with at least one sample.
    pub const fn within(total: Duration) -> Effort {
        Effort { total, fewest: 1, ..Effort::FULL }
    }
}

/// The samples of a measurement.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Timing {
    /// Seconds of one run: a value for each sample, in the order in which they were taken.
    pub samples: Vec<f64>,
    /// Runs of each sample, which is their mean.
    pub repeats: u32,
}

impl Timing {
    /// A timing from samples in seconds, each of one run.
    pub fn new(samples: Vec<f64>) -> Timing {
        Timing { samples, repeats: 1 }
    }

    /// Median of the samples in seconds. NaN if there are none.
    pub fn seconds(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Median in milliseconds.
    pub fn ms(&self) -> f64 {
        self.seconds() * 1e3
    }

    /// The fastest sample in seconds.
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// The slowest sample in seconds.
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Quantile of the samples in seconds, for a `share` of 0 to 1, interpolated between samples. NaN if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = place as usize;
        let above = (below + 1).min(last);
        sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
    }
}

/// Measures `run(repeats)`, which performs `repeats` runs and returns their duration, or an error. It should have run once before.
pub fn measure<E>(effort: Effort, mut run: impl FnMut(u32) -> Result<Duration, E>) -> Result<Timing, E> {
    let mut timings = measure_in_turn(effort, &mut [&mut run])?;
    Ok(timings.pop().unwrap_or_default())
}

/// Like [`measure`], for a function that waits without blocking.
pub async fn measure_async<E>(
    effort: Effort,
    mut run: impl AsyncFnMut(u32) -> Result<Duration, E>,
) -> Result<Timing, E> {
    let mut series = Series::new(effort);
    while let Some(repeats) = series.wanted() {
        series.took(run(repeats).await?);
    }
    Ok(series.timing())
}

/// A function that performs a number of runs and returns their duration.
pub type Run<'a, E> = &'a mut dyn FnMut(u32) -> Result<Duration, E>;

/// Measures several functions with this effort each. Their samples are taken in turn, so that a temporary slowdown of the
/// machine affects all of them.
pub fn measure_in_turn<E>(effort: Effort, runs: &mut [Run<'_, E>]) -> Result<Vec<Timing>, E> {
    let mut all: Vec<Series> = runs.iter().map(|_| Series::new(effort)).collect();
    for (series, run) in all.iter_mut().zip(runs.iter_mut()) {
        while let Some(repeats) = series.wanted().filter(|_| series.samples.is_empty()) {
            series.took(run(repeats)?);
        }
    }
    while all.iter().any(|series| series.wanted().is_some()) {
        for (series, run) in all.iter_mut().zip(runs.iter_mut()) {
            if let Some(repeats) = series.wanted() {
                series.took(run(repeats)?);
            }
        }
    }
    Ok(all.into_iter().map(Series::timing).collect())
}

/// Samples of one function: first the runs of a sample are raised until it takes long enough, then samples are taken within the budget.
#[derive(Debug)]
struct Series {
    effort: Effort,
    repeats: u32,
    /// Samples to take, once it is known how long one takes.
    most: usize,
    samples: Vec<f64>,
}

/// Most runs of a sample.
const MOST_REPEATS: u32 = 1 << 20;

impl Series {
    fn new(effort: Effort) -> Self {
        Series { effort, repeats: 1, most: 1, samples: Vec::new() }
    }

    /// Runs of the next sample; `None` if there are enough samples.
    fn wanted(&self) -> Option<u32> {
        (self.samples.len() < self.most).then_some(self.repeats)
    }

    /// Records the duration of the runs that `wanted` returned.
    fn took(&mut self, taken: Duration) {
        let seconds = taken.as_secs_f64();
        if self.samples.is_empty() {
            if taken < self.effort.sample && self.repeats < MOST_REPEATS {
                // The growth is bounded so that a first run that was too quick to time does not lead to a very long second.
                let wanted = self.effort.sample.as_secs_f64() * 1.2 / seconds.max(1e-9);
                self.repeats = self.repeats.saturating_mul(wanted.clamp(2.0, 16.0) as u32).min(MOST_REPEATS);
                return;
            }
            let affordable = (self.effort.total.as_secs_f64() / seconds.max(1e-9)) as usize;
            self.most = affordable.min(self.effort.samples).max(self.effort.fewest);
        }
        self.samples.push(seconds / f64::from(self.repeats));
    }

    fn timing(self) -> Timing {
        Timing { samples: self.samples, repeats: self.repeats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let timing = Timing::new(vec![3.0, 1.0, 2.0]);
        assert_eq!((timing.min(), timing.seconds(), timing.max()), (1.0, 2.0, 3.0));
        assert_eq!(Timing::new(vec![3.0, 1.0]).ms(), 2000.0);
        assert_eq!(timing.quantile(0.75), 2.5);
        assert!(Timing::default().seconds().is_nan());
    }

    #[test]
    fn short_runs_are_repeated_and_long_ones_are_not() {
        let fake = |each: Duration| measure(Effort::FULL, move |repeats| Ok::<_, ()>(each * repeats)).unwrap();
        let quick = fake(Duration::from_micros(3));
        assert!((quick.seconds() - 3e-6).abs() < 1e-12);
        assert_eq!(quick.samples.len(), 7);
        assert_eq!(fake(Duration::from_secs(20)).samples.len(), 3);
        // If `fewest` is more than `samples`, it decides.
        let odd = Effort { samples: 2, fewest: 4, ..Effort::FULL };
        let slow = measure(odd, |repeats| Ok::<_, ()>(Duration::from_secs(1) * repeats)).unwrap();
        assert_eq!(slow.samples.len(), 4);
        // A run that takes no time at all comes to an end.
        assert_eq!(measure(Effort::FULL, |_| Ok::<_, ()>(Duration::ZERO)).unwrap().seconds(), 0.0);
    }

    #[test]
    fn samples_are_taken_in_turn() {
        let order = std::cell::RefCell::new(Vec::new());
        let run = |name, seconds| {
            let order = &order;
            move |repeats: u32| {
                order.borrow_mut().push(name);
                Ok::<_, ()>(Duration::from_secs(seconds) * repeats)
            }
        };
        let (mut a, mut b) = (run('a', 1), run('b', 3));
        let timings = measure_in_turn(Effort::FULL, &mut [&mut a, &mut b]).unwrap();
        assert_eq!((timings[0].samples.len(), timings[1].samples.len()), (7, 3));
        assert_eq!(order.borrow().iter().collect::<String>(), "abababaaaa");
        // One failure ends all measurements.
        let mut fails = |_| Err("broken");
        assert_eq!(measure_in_turn(Effort::FULL, &mut [&mut fails]), Err("broken"));
    }
}
