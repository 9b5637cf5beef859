//! Measured times of candidates and the adapter that they were measured on, as plain data.

use super::VariantName;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Operation};
use std::collections::BTreeMap;

/// The adapter that times were measured on, as it names itself, and the version of this library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "tune", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TunedOn {
    /// Version of this library: kernels change between versions.
    pub library: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Graphics API.
    pub backend: String,
    /// Name and version of the driver.
    pub driver: String,
}

impl TunedOn {
    /// Checks that `device` is the same; the error names the first difference.
    pub(crate) fn check(&self, device: &TunedOn) -> Result<()> {
        let pairs = [
            ("library version", &self.library, &device.library),
            ("adapter", &self.adapter, &device.adapter),
            ("backend", &self.backend, &device.backend),
            ("driver", &self.driver, &device.driver),
        ];
        match pairs.into_iter().find(|(_, tuned, have)| tuned != have) {
            Some((what, tuned, have)) => Err(Error::TunedElsewhere { what, tuned: tuned.clone(), have: have.clone() }),
            None => Ok(()),
        }
    }
}

/// Measured times of candidates, by operation and geometry, on one adapter.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "tune", derive(serde::Serialize, serde::Deserialize))]
pub struct Tuning {
    on: TunedOn,
    /// Seconds of each candidate, by its name.
    seconds: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Tuning {
    /// An empty tuning for this adapter.
    pub(crate) fn empty(on: TunedOn) -> Self {
        Tuning { on, seconds: BTreeMap::new() }
    }

    /// Adds the seconds of each candidate of an operation, if there are any.
    pub(crate) fn insert(&mut self, key: &str, seconds: BTreeMap<String, f64>) {
        if !seconds.is_empty() {
            self.seconds.insert(key.to_owned(), seconds);
        }
    }

    /// The adapter and library that it was measured with.
    pub fn on(&self) -> &TunedOn {
        &self.on
    }

    /// Number of measured operations of layers.
    pub fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Measured seconds of a candidate, if there is a valid time.
    pub(crate) fn seconds(&self, key: &str, variant: VariantName) -> Option<f64> {
        self.seconds.get(key)?.get(&variant.to_string()).copied().filter(|s| s.is_finite() && *s >= 0.0)
    }

    /// Reads what [`Tuning::save`] wrote.
    #[cfg(feature = "tune")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        serde_json::from_slice(&crate::files::read(path)?).map_err(|e| Error::file(path, e))
    }

    /// Writes the file atomically: an interrupted call leaves the earlier file. If two programs save to one file, the times of
    /// the last one remain.
    #[cfg(feature = "tune")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::file(path, e))?;
        crate::files::write(path, text.as_bytes())
    }
}

/// Key of an operation of a layer on an input shape. An activation or a residual does not change it.
pub(super) fn key(transposed: bool, g: &Geometry, operation: Operation) -> String {
    let mode = g.extension.mode.name();
    let kind = if transposed { "transposed convolution" } else { "convolution" };
    format!(
        "{} of a {kind}, batch {}, {}x{} to {}x{}, kernel {}, stride {}, dilation {}, groups {}, padding {} {} of {mode}",
        operation.name(),
        g.batch,
        g.wide.channels,
        g.wide.length,
        g.narrow.channels,
        g.narrow.length,
        g.kernel,
        g.stride,
        g.dilation,
        g.groups,
        g.pad_left,
        g.pad_right,
    )
}
