//! Layers of published models to measure, with reproducible data and checks of the results (feature `suite`).
//!
//! ```
//! use conv1d::{Operation, suite};
//!
//! let gpu = conv1d::Gpu::new()?;
//! let layers = suite::layers();
//! let spec = layers.iter().find(|layer| layer.name == "financial_k21").unwrap();
//! let (layer, shapes) = spec.layer()?;
//! let plan = gpu.plan(layer, Operation::Forward, spec.input(), &Default::default())?;
//! let data = suite::Data::new(&shapes);
//! let y = data.run(&gpu, &plan)?.read()?;
//! let answers = suite::Answers::new(layer, spec.input(), Operation::Forward, &data)?;
//! assert!(answers.largest_share(&y, 100)? <= 1.0); // fraction of the error bound, over 100 elements
//! # Ok::<(), conv1d::Error>(())
//! ```

mod trial;

pub use trial::{Answers, Data, Runner};

use crate::error::{Error, Result};
use crate::geometry::{Conv1d, ConvTranspose1d, Layer, Padding, PaddingMode, Shapes};
use serde::{Deserialize, Deserializer};

/// Layers of published models, with their sources.
const LAYERS: &str = include_str!("layers.json");

/// Fewest positions of a shrunk layer.
const FEWEST_POSITIONS: usize = 32;

/// Layers of published models.
pub fn layers() -> Vec<LayerSpec> {
    serde_json::from_str(LAYERS).unwrap_or_default()
}

/// A layer on an input shape, as the benchmark's files describe it (`serde`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LayerSpec {
    /// Its name in tables.
    pub name: String,
    /// Batch.
    pub n: usize,
    /// `C_in`.
    pub c_in: usize,
    /// L.
    pub l: usize,
    /// `C_out`.
    pub c_out: usize,
    /// K.
    pub k: usize,
    /// Distance between the windows of neighbouring outputs, in samples.
    pub stride: usize,
    /// Samples added (transposed: cropped) on the left.
    pub pad_left: usize,
    /// Samples added (transposed: cropped) on the right.
    pub pad_right: usize,
    /// Distance between neighbouring taps, in samples.
    pub dilation: usize,
    /// Number of groups.
    pub groups: usize,
    /// Whether it is a transposed convolution.
    #[serde(default)]
    pub transposed: bool,
    /// Samples added to the output of a transposed convolution on the right.
    #[serde(default)]
    pub output_padding: usize,
    /// Padding mode; in files, its name.
    #[serde(default, deserialize_with = "padding_mode")]
    pub padding_mode: PaddingMode,
}

fn padding_mode<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<PaddingMode, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl LayerSpec {
    /// The layer, checked against its input shape.
    pub fn layer(&self) -> Result<(Layer, Shapes)> {
        let padding = Padding::Explicit { left: self.pad_left, right: self.pad_right };
        let layer: Layer = if self.transposed {
            if self.padding_mode != PaddingMode::Zeros {
                return Err(Error::TransposedPaddingMode { mode: self.padding_mode.name() });
            }
            ConvTranspose1d::new(self.c_in, self.c_out, self.k)
                .stride(self.stride)
                .dilation(self.dilation)
                .groups(self.groups)
                .padding(padding)
                .output_padding(self.output_padding)
                .into()
        } else {
            Conv1d::new(self.c_in, self.c_out, self.k)
                .stride(self.stride)
                .dilation(self.dilation)
                .groups(self.groups)
                .padding(padding)
                .padding_mode(self.padding_mode)
                .into()
        };
        Ok((layer, layer.shapes(self.input())?))
    }

    /// `[N, C_in, L]`.
    pub fn input(&self) -> [usize; 3] {
        [self.n, self.c_in, self.l]
    }

    /// Nominal FLOPs of the forward pass, taps on padding included.
    pub fn flops(&self) -> f64 {
        self.layer().ok().and_then(|(l, _)| l.cost(self.input()).ok()).map_or(0.0, |cost| cost.flops as f64)
    }

    /// The same layer on a smaller input: fewer batch items, then fewer samples, until it needs at most `flops` operations or
    /// would have fewer than 32 positions, too few to judge a kernel by. Channels, taps and groups stay the same.
    pub fn shrunk(&self, flops: f64) -> LayerSpec {
        let positions = |spec: &LayerSpec| {
            let length = spec.layer().map_or(0, |(_, shapes)| shapes.output[2]);
            spec.n * length.min(spec.l)
        };
        let mut small = self.clone();
        while small.flops() > flops {
            let mut next = small.clone();
            if next.n > 1 {
                next.n = next.n.div_ceil(2);
            } else {
                next.l = next.l.div_ceil(2);
            }
            if next == small || positions(&next) < FEWEST_POSITIONS {
                break;
            }
            small = next;
        }
        small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_suite_exists() {
        let layers = layers();
        assert_eq!(layers.len(), 61);
        for layer in &layers {
            assert!(layer.layer().is_ok(), "{}: {:?}", layer.name, layer.layer());
        }
    }

    #[test]
    fn shrinking_keeps_the_layer() {
        for layer in layers() {
            let small = layer.shrunk(1e8);
            assert!(small.layer().is_ok());
            assert!(small.flops() <= layer.flops());
            assert_eq!(LayerSpec { n: layer.n, l: layer.l, ..small }, layer);
        }
    }
}
