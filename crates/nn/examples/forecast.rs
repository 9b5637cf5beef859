//! Trains a TCN on windows of past days to forecast the next day of a market, and compares it with the persistence
//! baseline on the last days of the file, which it never saw:
//!
//! ```sh
//! cargo run --release --example forecast -- prices.csv
//! ```
//!
//! The input is any CSV file with columns open, high, low, close and volume, oldest day first. The daily S&P 500 of
//! 1999 to 2018 is in the Python package `arch` (`arch/data/sp500/sp500.csv.gz` in its wheel).
//!
//! It forecasts two values: tomorrow's return, for which persistence predicts an unchanged price, and the logarithm of
//! tomorrow's range (high to low, a measure of volatility), for which persistence predicts today's range. A second
//! baseline for the range is the mean of the last 20 days, which is harder to beat. No forecast uses the future:
//! features of a day come from that day and the one before, scales from the training days. The network is chosen on the
//! days after the training days, and results are reported on the days after those.

mod market;

use clap::Parser;
use conv1d::Gpu;
use conv1d_nn::{AdamW, Dataset, Loss, Network, Session, Tcn, TrainerOptions};
use indicatif::{ProgressBar, ProgressStyle};
use market::{Day, FEATURES, Scale};
use std::error::Error;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::process::ExitCode;

/// Forecasts the next day of a market with a TCN.
#[derive(Debug, Parser)]
struct Arguments {
    /// A CSV file with columns open, high, low, close, volume.
    prices: PathBuf,
    /// Number of past days that a forecast sees.
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// Fraction of the days, at the end, for the reported result.
    #[arg(long, default_value_t = 0.2)]
    tail: f64,
    #[arg(long, default_value_t = 12)]
    epochs: u64,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Channels of the blocks.
    #[arg(long, default_value_t = 16)]
    hidden: usize,
    /// Number of blocks with kernel size 3.
    #[arg(long, default_value_t = 4)]
    levels: usize,
    #[arg(long, default_value_t = 0.2)]
    dropout: f32,
    #[arg(long, default_value_t = 0.001)]
    learning_rate: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CSV file for date, forecast and truth of every day of the tail.
    #[arg(long)]
    forecasts: Option<PathBuf>,
    /// File for the network's parameters, as safetensors with PyTorch's names.
    #[arg(long)]
    weights: Option<PathBuf>,
}

/// Forecast values of a day: its return and the logarithm of its range.
const TARGETS: usize = 2;

/// The days as samples: the sample of day t has the features of days up to t and the target of day t + 1.
struct Samples {
    window: usize,
    features: Vec<[f32; FEATURES.len()]>,
    targets: Vec<[f32; TARGETS]>,
    scale: Scale<TARGETS>,
    trained: usize,
}

impl Samples {
    /// The scales come from the first `trained` samples.
    fn new(days: &[Day], window: usize, trained: usize) -> Self {
        let raw = market::features(days);
        let targets: Vec<[f32; TARGETS]> = days
            .windows(2)
            .map(|pair| [(pair[1].close / pair[0].close).ln() as f32, pair[1].log_range() as f32])
            .collect();
        // Sample 0 ends with feature row window - 1; its target is that of the next row.
        let seen = ..(trained + window).min(raw.len());
        let (inputs, scale) = (Scale::of(&raw[seen]), Scale::of(&targets[seen]));
        let features = raw.iter().map(|row| inputs.apply(row)).collect();
        Samples { window, features, targets, scale, trained }
    }

    /// Number of samples that have a target.
    fn count(&self) -> usize {
        self.features.len().saturating_sub(self.window)
    }

    /// Features of the days that a sample sees, `[features, window]`.
    fn input(&self, sample: usize, input: &mut [f32]) {
        for (t, row) in self.features[sample..sample + self.window].iter().enumerate() {
            row.iter().enumerate().for_each(|(feature, value)| input[feature * self.window + t] = *value);
        }
    }

    /// Target of a sample: the values of the next day, unscaled.
    fn target(&self, sample: usize) -> [f32; TARGETS] {
        self.targets[sample + self.window]
    }
}

impl Dataset for Samples {
    type Target = f32;

    fn len(&self) -> usize {
        self.trained
    }

    fn sample(&self, index: usize, input: &mut [f32], target: &mut [f32]) {
        self.input(index, input);
        target.copy_from_slice(&self.scale.apply(&self.target(index)));
    }
}

impl<const N: usize> Scale<N> {
    /// The inverse of `apply`.
    fn restore(&self, row: &[f32; N]) -> [f32; N] {
        std::array::from_fn(|i| row[i] * self.deviation[i] + self.mean[i])
    }
}

/// Forecasts of samples, in the units of the targets.
fn forecast(session: &Session, samples: &Samples, range: Range<usize>) -> conv1d_nn::Result<Vec<[f32; TARGETS]>> {
    let [batch, features, window] = session.input().shape()[..] else { return Ok(Vec::new()) };
    let mut forecasts = Vec::new();
    for first in range.clone().step_by(batch) {
        let mut x = vec![0.0; batch * features * window];
        let some = first..(first + batch).min(range.end);
        x.chunks_mut(features * window).zip(some.clone()).for_each(|(x, sample)| samples.input(sample, x));
        session.input().write(&x)?;
        session.forward()?;
        let y = session.output().read()?;
        forecasts.extend(y.as_chunks::<TARGETS>().0.iter().take(some.len()).map(|row| samples.scale.restore(row)));
    }
    Ok(forecasts)
}

/// Root mean squared error of a forecast of one target.
fn error(samples: &Samples, range: Range<usize>, target: usize, forecast: impl Fn(usize) -> f32) -> f64 {
    let count = range.len().max(1) as f64;
    let squares = range.map(|sample| f64::from(forecast(sample) - samples.target(sample)[target]).powi(2));
    (squares.sum::<f64>() / count).sqrt()
}

fn report(samples: &Samples, tail: Range<usize>, days: &[Day], forecasts: &[[f32; TARGETS]]) {
    let first = tail.start;
    let model = |target: usize| error(samples, tail.clone(), target, |sample| forecasts[sample - first][target]);
    // The last day that a sample sees is the one before its target.
    let range_of = |sample: usize, back: usize| samples.targets[sample + samples.window - back][1];
    let stays = error(samples, tail.clone(), 0, |_| 0.0);
    let as_today = error(samples, tail.clone(), 1, |sample| range_of(sample, 1));
    let days_back = 20.min(samples.window);
    let mean = |sample: usize| (1..=days_back).map(|back| range_of(sample, back)).sum::<f32>() / days_back as f32;
    let as_lately = error(samples, tail.clone(), 1, mean);
    let right = tail.clone().filter(|&s| (forecasts[s - first][0] > 0.0) == (samples.target(s)[0] > 0.0)).count();
    let up = tail.clone().filter(|&s| samples.target(s)[0] > 0.0).count();
    let percent = |count: usize| 100.0 * count as f64 / tail.len() as f64;
    let (from, to) = (&days[first + samples.window + 1].date, &days[tail.end + samples.window].date);
    println!("held out: {} days, {from} to {to}; root mean squared errors, and their ratio to persistence", tail.len());
    println!("  return of a day     TCN {:.5}   persistence (it stays) {stays:.5}   {:.3}", model(0), model(0) / stays);
    println!(
        "  log range of a day  TCN {:.4}    persistence (as today) {as_today:.4}    {:.3}",
        model(1),
        model(1) / as_today
    );
    println!(
        "                                 mean of {days_back} days       {as_lately:.4}    {:.3}",
        as_lately / as_today
    );
    println!(
        "  direction right on {:.1} % of the days; {:.1} % of the days went up; the standard deviation of chance is {:.1} %",
        percent(right),
        percent(up),
        50.0 / (tail.len() as f64).sqrt()
    );
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let days = market::read(&arguments.prices)?;
    let window = arguments.window;
    let count = days.len().saturating_sub(window.saturating_add(1));
    if !(0.05..=0.5).contains(&arguments.tail) || window == 0 {
        return Err("--tail must be from 0.05 to 0.5, --window at least 1".into());
    }
    let test = count - (count as f64 * arguments.tail) as usize;
    let trained = test - test / 8;
    if trained < arguments.batch || test == count || trained == test {
        return Err(format!(
            "{} days are too few for windows of {window} and batches of {}",
            days.len(),
            arguments.batch
        )
        .into());
    }
    let samples = Samples::new(&days, window, trained);
    debug_assert_eq!(samples.count(), count);

    // Checks that the output files can be written before the training.
    for path in [&arguments.forecasts, &arguments.weights].into_iter().flatten() {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let gpu = Gpu::new()?;
    println!("{}; {} days, trained on {trained} windows of {window}", gpu.adapter_info().name, days.len());
    let tcn = Tcn::new(FEATURES.len(), arguments.hidden, TARGETS).layers(arguments.levels).dropout(arguments.dropout);
    let network = Network::new(&gpu, &tcn, arguments.seed)?;
    let shape = [arguments.batch, FEATURES.len(), window];
    println!(
        "{} parameters, receptive field {} days",
        network.graph().parameter_count(),
        network.graph().receptive_field()
    );
    let options = TrainerOptions::default().clip_norm(1.0).seed(arguments.seed);
    let optimizer = AdamW::new(arguments.learning_rate);
    let mut trainer = network.trainer_with(shape, Loss::MeanSquaredError, optimizer, &options)?;
    let session = network.session(shape)?;

    let batches = (trained / arguments.batch) as u64;
    let bar = ProgressBar::new(arguments.epochs * batches);
    let style = "{elapsed_precise} {bar:40} {pos}/{len} steps, {per_sec}, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut best, mut best_error) = (network.state_dict()?, f64::INFINITY);
    for epoch in 1..=arguments.epochs {
        trainer.fit(&samples, epoch * batches, None, |progress| {
            bar.set_position(progress.step);
            ControlFlow::Continue(())
        })?;
        // The network is chosen on the days between the training days and the tail.
        let forecasts = forecast(&session, &samples, trained..test)?;
        let scaled = |target: usize| {
            let of = |row: [f32; TARGETS]| f64::from(samples.scale.apply(&row)[target]);
            let squares = forecasts.iter().zip(trained..test).map(|(f, s)| (of(*f) - of(samples.target(s))).powi(2));
            squares.sum::<f64>() / forecasts.len() as f64
        };
        let chosen = (scaled(0) + scaled(1)) / 2.0;
        bar.set_message(format!("epoch {epoch}: {chosen:.4} on the days after"));
        if chosen < best_error {
            (best, best_error) = (network.state_dict()?, chosen);
        }
    }
    bar.finish();
    network.load_state_dict(&best)?;
    let forecasts = forecast(&session, &samples, test..count)?;
    report(&samples, test..count, &days, &forecasts);
    if let Some(path) = &arguments.weights {
        network.save(path)?;
    }
    if let Some(path) = &arguments.forecasts {
        let mut file = csv::Writer::from_path(path)?;
        file.write_record(["date", "return forecast", "return", "log range forecast", "log range"])?;
        for (row, sample) in forecasts.iter().zip(test..count) {
            let truth = samples.target(sample);
            let numbers = [row[0], truth[0], row[1], truth[1]].map(|number| number.to_string());
            file.write_record(std::iter::once(&days[sample + window + 1].date).chain(&numbers))?;
        }
        file.flush()?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(count: usize) -> Vec<Day> {
        let day = |t: usize| {
            let close = 100.0 + (t as f64 * 0.7).sin();
            Day {
                date: t.to_string(),
                open: close - 0.2,
                high: close + 1.0,
                low: close - 1.0,
                close,
                volume: 1e6 + t as f64,
            }
        };
        (0..count).map(day).collect()
    }

    /// Changes after day t do not change the input of the sample of day t.
    #[test]
    fn samples_see_no_future() {
        let (window, trained) = (8, 20);
        let before = Samples::new(&days(60), window, trained);
        let mut later = days(60);
        // Sample s sees feature rows up to s + window - 1, which belongs to day s + window.
        let (sample, last_seen) = (30, 30 + window);
        for day in &mut later[last_seen + 1..] {
            (day.open, day.high, day.low, day.close, day.volume) = (1.0, 9.0, 0.5, 5.0, 1.0);
        }
        let after = Samples::new(&later, window, trained);
        let input = |samples: &Samples, sample: usize| {
            let mut input = vec![0.0; FEATURES.len() * window];
            samples.input(sample, &mut input);
            input
        };
        assert_eq!(input(&before, sample), input(&after, sample));
        assert_ne!(input(&before, sample + 1), input(&after, sample + 1));
        // Its target is that of the first day that it does not see.
        assert_ne!(before.target(sample), after.target(sample));
        assert_eq!(before.target(sample - 1), after.target(sample - 1));
    }
}
