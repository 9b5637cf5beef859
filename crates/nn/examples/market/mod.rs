//! Daily prices from a CSV file with the columns open, high, low, close and volume, in any order and case, and the
//! features for a network.

use std::path::Path;

/// Features of a day, each from that day and the one before.
pub(crate) const FEATURES: [&str; 5] = ["close", "gap", "range", "place", "volume"];

/// A trading day.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    pub(crate) date: String,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    pub(crate) volume: f64,
}

impl Day {
    /// The logarithm of the logarithmic range high to low: the measure of volatility that is closest to a normal
    /// distribution. The range of a day without movement counts as a hundredth of a percent.
    pub(crate) fn log_range(&self) -> f64 {
        (self.high / self.low).ln().max(1e-4).ln()
    }
}

/// Reads all days. The file must have the oldest first. An invalid price is an error that names the line.
pub(crate) fn read(path: &Path) -> Result<Vec<Day>, String> {
    let said = |message: String| format!("{}: {message}", path.display());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|e| said(e.to_string()))?;
    let header = reader.headers().map_err(|e| said(e.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            said(format!("no column {name}; there are: {}", header.iter().collect::<Vec<_>>().join(", ")))
        })
    };
    let date = column("date");
    let [open, high, low, close, volume] =
        [needed("open")?, needed("high")?, needed("low")?, needed("close")?, needed("volume")?];
    let mut days: Vec<Day> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| said(e.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |column: usize| {
            let text = record.get(column).unwrap_or_default();
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| said(format!("line {line}: {text:?} is not a number")))
        };
        let day = Day {
            date: date.and_then(|column| record.get(column)).unwrap_or_default().to_owned(),
            open: number(open)?,
            high: number(high)?,
            low: number(low)?,
            close: number(close)?,
            volume: number(volume)?,
        };
        if [day.open, day.low, day.close].iter().any(|&price| price <= 0.0 || price > day.high) || day.volume < 0.0 {
            return Err(said(format!("line {line}: these are not the prices of a day: {day:?}")));
        }
        if day.low > day.open.min(day.close) {
            return Err(said(format!("line {line}: the low is above open or close: {day:?}")));
        }
        days.push(day);
    }
    Ok(days)
}

/// Features of every day from the second on: logarithms of close to close, of close to open, of the range and of the
/// change of volume, and the position of the close in the range.
pub(crate) fn features(days: &[Day]) -> Vec<[f32; FEATURES.len()]> {
    let pairs = days.windows(2).map(|pair| {
        let (before, day) = (&pair[0], &pair[1]);
        let place = if day.high > day.low { (day.close - day.low) / (day.high - day.low) - 0.5 } else { 0.0 };
        [
            (day.close / before.close).ln() as f32,
            (day.open / before.close).ln() as f32,
            day.log_range() as f32,
            place as f32,
            ((day.volume + 1.0) / (before.volume + 1.0)).ln() as f32,
        ]
    });
    pairs.collect()
}

/// Mean and standard deviation of columns.
#[derive(Debug, Clone)]
pub(crate) struct Scale<const N: usize> {
    pub(crate) mean: [f32; N],
    pub(crate) deviation: [f32; N],
}

impl<const N: usize> Scale<N> {
    /// From these rows, which must be the training rows only.
    pub(crate) fn of(rows: &[[f32; N]]) -> Self {
        let count = rows.len().max(1) as f64;
        let mean: [f64; N] = std::array::from_fn(|i| rows.iter().map(|row| f64::from(row[i])).sum::<f64>() / count);
        let deviation = std::array::from_fn(|i| {
            let squares = rows.iter().map(|row| (f64::from(row[i]) - mean[i]).powi(2)).sum::<f64>();
            // Avoids a division by zero for a constant column.
            ((squares / count).sqrt() as f32).max(1e-6)
        });
        Scale { mean: mean.map(|mean| mean as f32), deviation }
    }

    /// Scales a row to standard deviations from the mean.
    pub(crate) fn apply(&self, row: &[f32; N]) -> [f32; N] {
        std::array::from_fn(|i| (row[i] - self.mean[i]) / self.deviation[i])
    }
}
