//! Timing: medians of samples that are long enough to be told from noise.

use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Samples, and the fewest that will do where a sample takes too long.
    pub(crate) samples: usize,
    pub(crate) fewest: usize,
    /// Shortest sample.
    pub(crate) sample: Duration,
    /// Time for all samples.
    pub(crate) total: Duration,
}

impl Effort {
    /// At least seven samples of at least 50 ms. A sample longer than a second is taken three times.
    pub(crate) const FULL: Effort =
        Effort { samples: 7, fewest: 3, sample: Duration::from_millis(50), total: Duration::from_secs(7) };

    /// The same within a budget, which may leave fewer samples.
    pub(crate) fn within(total: Duration) -> Effort {
        Effort { total, fewest: 1, ..Effort::FULL }
    }
}

/// What was measured, per run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timing {
    pub(crate) median: Duration,
    pub(crate) min: Duration,
    pub(crate) samples: usize,
}

impl Timing {
    pub(crate) fn ms(&self) -> f64 {
        self.median.as_secs_f64() * 1e3
    }

    pub(crate) fn min_ms(&self) -> f64 {
        self.min.as_secs_f64() * 1e3
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.median.as_secs_f64()
    }
}

/// Measures `run(repeats)`, which says how long so many runs took. It has run once before.
pub(crate) fn measure<E>(effort: Effort, mut run: impl FnMut(u32) -> Result<Duration, E>) -> Result<Timing, E> {
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
    let samples = affordable.clamp(effort.fewest, effort.samples);
    let mut times = vec![taken];
    while times.len() < samples {
        times.push(run(repeats)?);
    }
    Ok(summary(times, repeats))
}

fn summary(mut times: Vec<Duration>, repeats: u32) -> Timing {
    times.sort_unstable();
    let middle = times.len() / 2;
    let median = if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 };
    Timing { median: median / repeats, min: times[0] / repeats, samples: times.len() }
}

/// Time that a call takes.
pub(crate) fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = call();
    (value, start.elapsed())
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
    }
}
