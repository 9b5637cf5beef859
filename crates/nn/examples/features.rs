//! Draws the feature maps of a multi-scale extractor for a market: its 3-, 5- and 21-day filters over the last days of
//! a file.
//!
//! ```sh
//! cargo run --release --example features -- prices.csv --output features.svg
//! ```
//!
//! Filters are random, or come from a state dictionary trained in PyTorch (`--weights FILE.safetensors`). For a random
//! extractor, passes in training mode over the earlier days set the statistics of the normalisation.

mod market;

use clap::Parser;
use conv1d::Gpu;
use conv1d_nn::{FeatureExtractor, Mode, Network, SessionOptions};
use market::{FEATURES, Scale};
use plotters::prelude::*;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draws the feature maps of a multi-scale extractor over daily prices.
#[derive(Debug, Parser)]
struct Arguments {
    /// A CSV file with columns open, high, low, close, volume.
    prices: PathBuf,
    /// Number of last days to draw. 252 are a year of trading.
    #[arg(long, default_value_t = 252)]
    days: usize,
    /// Number of filters per scale.
    #[arg(long, default_value_t = 8)]
    hidden: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A state dictionary of the extractor, for 5 features.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// The picture, an SVG file.
    #[arg(long, default_value = "target/features.svg")]
    output: PathBuf,
}

/// Colour of a value from 0 (white) to 1 (dark).
fn colour(share: f32) -> RGBColor {
    let mix = |from: u8, to: u8| (f32::from(from) + (f32::from(to) - f32::from(from)) * share.clamp(0.0, 1.0)) as u8;
    RGBColor(mix(250, 12), mix(250, 56), mix(252, 110))
}

/// Draws the closing prices, and below them a row for the map of each filter.
fn draw(closes: &[f64], maps: &[f32], hidden: usize, dates: [&str; 2], path: &Path) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let (days, rows) = (closes.len(), maps.len() / closes.len());
    let root = SVGBackend::new(path, (1100, 180 + 14 * rows as u32 + 60)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, bottom) = root.split_vertically(180);
    let low = closes.iter().copied().fold(f64::MAX, f64::min);
    let high = closes.iter().copied().fold(f64::MIN, f64::max);
    let mut chart = ChartBuilder::on(&top)
        .margin_right(16)
        .margin_top(8)
        .y_label_area_size(110)
        .build_cartesian_2d(0..days, low * 0.99..high * 1.01)?;
    chart.configure_mesh().disable_x_mesh().y_labels(4).y_desc("close").draw()?;
    chart.draw_series(LineSeries::new(closes.iter().copied().enumerate(), &RGBColor(30, 80, 160)))?;

    let scales = FeatureExtractor::SCALES;
    let name = |row: &usize| match scales.get(row / hidden) {
        Some((_, kernel)) if row % hidden == hidden / 2 => format!("{kernel} days"),
        _ => String::new(),
    };
    let date = |day: &usize| match day {
        0 => dates[0].to_owned(),
        _ => String::new(),
    };
    let mut chart = ChartBuilder::on(&bottom)
        .margin_right(16)
        .x_label_area_size(30)
        .y_label_area_size(110)
        .build_cartesian_2d(0..days, rows..0)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .y_labels(rows + 1)
        .y_label_formatter(&name)
        .x_label_formatter(&date)
        .x_desc(format!("{} to {}", dates[0], dates[1]))
        .draw()?;
    for (row, map) in maps.chunks(days).enumerate() {
        let most = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        chart.draw_series(
            map.iter()
                .enumerate()
                .filter(|(_, value)| **value > 0.0)
                .map(|(day, value)| Rectangle::new([(day, row), (day + 1, row + 1)], colour(value / most).filled())),
        )?;
    }
    root.present()?;
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let days = market::read(&arguments.prices)?;
    let rows = market::features(&days);
    if arguments.days < 2 || rows.len() < 2 * arguments.days {
        return Err(format!("{} days in the file, twice --days {} are needed", days.len(), arguments.days).into());
    }
    let (before, drawn) = rows.split_at(rows.len() - arguments.days);
    let scale = Scale::of(before);
    let input = |rows: &[[f32; FEATURES.len()]]| -> Vec<f32> {
        let scaled: Vec<_> = rows.iter().map(|row| scale.apply(row)).collect();
        (0..FEATURES.len()).flat_map(|feature| scaled.iter().map(move |row| row[feature]).collect::<Vec<_>>()).collect()
    };
    let gpu = Gpu::new()?;
    let extractor = FeatureExtractor::new(FEATURES.len(), arguments.hidden);
    let network = Network::new(&gpu, &extractor, arguments.seed)?;
    let shape = [1, FEATURES.len(), drawn.len()];
    match &arguments.weights {
        Some(path) => network.load(path)?,
        None => {
            let shape = [1, FEATURES.len(), before.len()];
            let session = network.session_with(shape, &SessionOptions::default().mode(Mode::Training))?;
            session.input().write(&input(before))?;
            // Each pass moves the running statistics a tenth of the way.
            (0..100).try_for_each(|_| session.forward())?;
        }
    }
    println!("{}", network.summary(shape)?);
    let session = network.session(shape)?;
    session.input().write(&input(drawn))?;
    session.forward()?;
    let maps = session.output().read()?;
    let days = &days[days.len() - drawn.len()..];
    let closes: Vec<f64> = days.iter().map(|day| day.close).collect();
    let dates = [&*days[0].date, &*days[days.len() - 1].date];
    draw(&closes, &maps, arguments.hidden, dates, &arguments.output)?;
    println!("{} maps of {} days: {}", maps.len() / drawn.len(), drawn.len(), arguments.output.display());
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
