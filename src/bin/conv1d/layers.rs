//! Layers as the benchmark's files describe them.

use clap::{Args, ValueEnum};
use conv1d::{Conv1d, ConvTranspose1d, Layer, Operation, Padding, PaddingMode, Role, Shapes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Layers of published models, with where each was read.
const BUILT_IN: &str = include_str!("layers.json");

/// Positions below which a layer is not shrunk.
const FEWEST_POSITIONS: usize = 32;

/// An operation by the name that frameworks give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Fwd,
    Dgrad,
    Wgrad,
}

impl Op {
    pub(crate) const ALL: [Op; 3] = [Op::Fwd, Op::Dgrad, Op::Wgrad];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Fwd => "fwd",
            Op::Dgrad => "dgrad",
            Op::Wgrad => "wgrad",
        }
    }

    pub(crate) fn operation(self) -> Operation {
        match self {
            Op::Fwd => Operation::Forward,
            Op::Dgrad => Operation::InputGradient,
            Op::Wgrad => Operation::WeightGradient,
        }
    }

    /// What it writes.
    pub(crate) fn output(self) -> Role {
        match self {
            Op::Fwd => Role::Output,
            Op::Dgrad => Role::InputGradient,
            Op::Wgrad => Role::WeightGradient,
        }
    }
}

/// A layer on an input shape.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct LayerSpec {
    pub(crate) name: String,
    pub(crate) n: usize,
    pub(crate) c_in: usize,
    pub(crate) l: usize,
    pub(crate) c_out: usize,
    pub(crate) k: usize,
    pub(crate) stride: usize,
    pub(crate) pad_left: usize,
    pub(crate) pad_right: usize,
    pub(crate) dilation: usize,
    pub(crate) groups: usize,
    #[serde(default)]
    pub(crate) transposed: bool,
    #[serde(default)]
    pub(crate) output_padding: usize,
    #[serde(default = "zeros")]
    pub(crate) padding_mode: String,
}

fn zeros() -> String {
    "zeros".to_owned()
}

/// Which layers to run.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Layers to run, exactly as they are, instead of the built-in suite
    #[arg(long, value_name = "FILE")]
    pub(crate) layers_file: Option<PathBuf>,
    /// Only layers whose name contains one of these
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
}

impl Selection {
    /// Whether nothing was left out of the built-in suite.
    pub(crate) fn is_everything(&self) -> bool {
        self.layers_file.is_none() && self.only.is_empty()
    }

    /// Whether a layer of this name is among those to run.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    pub(crate) fn layers(&self) -> Result<Vec<LayerSpec>, String> {
        let mut specs = match &self.layers_file {
            Some(path) => from_file(path)?,
            None => built_in()?,
        };
        if specs.is_empty() {
            return Err("there are no layers in the file".into());
        }
        if self.only.iter().any(String::is_empty) {
            return Err("a name in --only is empty".into());
        }
        for (index, spec) in specs.iter().enumerate() {
            if spec.name.chars().any(char::is_control) {
                return Err(format!("the name {:?} cannot be printed", spec.name));
            }
            if specs[..index].iter().any(|other| other.name == spec.name) {
                return Err(format!("two layers are called {}", spec.name));
            }
        }
        specs.retain(|spec| self.names(&spec.name));
        if specs.is_empty() {
            return Err(format!("no layer's name contains {}", self.only.join(" or ")));
        }
        Ok(specs)
    }
}

/// The built-in suite.
fn built_in() -> Result<Vec<LayerSpec>, String> {
    parse(BUILT_IN, "the built-in suite")
}

/// A suite from a file.
fn from_file(path: &Path) -> Result<Vec<LayerSpec>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, source: &str) -> Result<Vec<LayerSpec>, String> {
    serde_json::from_str(text).map_err(|e| format!("{source}: {e}"))
}

/// A padding mode by its name.
pub(crate) fn padding_mode(name: &str) -> Result<PaddingMode, String> {
    Ok(match name {
        "zeros" => PaddingMode::Zeros,
        "reflect" => PaddingMode::Reflect,
        "symmetric" => PaddingMode::Symmetric,
        "replicate" => PaddingMode::Replicate,
        "circular" => PaddingMode::Circular,
        _ => match name.strip_prefix("constant=").map(str::parse) {
            Some(Ok(value)) => PaddingMode::Constant(value),
            _ => {
                let known = "zeros, constant=VALUE, reflect, symmetric, replicate, circular";
                return Err(format!("padding mode {name:?} is none of {known}"));
            }
        },
    })
}

impl LayerSpec {
    /// The layer, checked against its input shape.
    pub(crate) fn layer(&self) -> Result<(Layer, Shapes), String> {
        let padding = Padding::Explicit { left: self.pad_left, right: self.pad_right };
        let mode = padding_mode(&self.padding_mode)?;
        let layer: Layer = if self.transposed {
            if mode != PaddingMode::Zeros {
                return Err(format!("a transposed convolution has no padding mode {}", self.padding_mode));
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
                .padding_mode(mode)
                .into()
        };
        let shapes = layer.shapes(self.input()).map_err(|e| e.to_string())?;
        Ok((layer, shapes))
    }

    pub(crate) fn input(&self) -> [usize; 3] {
        [self.n, self.c_in, self.l]
    }

    /// Nominal FLOPs of the forward pass, taps on padding included.
    pub(crate) fn flops(&self) -> f64 {
        self.layer().ok().and_then(|(l, _)| l.cost(self.input()).ok()).map_or(0.0, |cost| cost.flops as f64)
    }

    /// The same layer on less input: fewer batch items, then fewer samples, until it does at most `flops` or would have
    /// fewer than 32 positions, which tell nothing of a kernel. The layer itself stays what it is.
    pub(crate) fn shrunk(&self, flops: f64) -> LayerSpec {
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
        let layers = built_in().unwrap();
        assert_eq!(layers.len(), 61);
        for layer in &layers {
            assert!(layer.layer().is_ok(), "{}: {:?}", layer.name, layer.layer());
        }
    }

    #[test]
    fn shrinking_keeps_the_layer() {
        for layer in built_in().unwrap() {
            let small = layer.shrunk(1e8);
            assert!(small.layer().is_ok());
            assert!(small.flops() <= layer.flops());
            assert_eq!(LayerSpec { n: layer.n, l: layer.l, ..small }, layer);
        }
    }

    #[test]
    fn modes_by_name() {
        assert_eq!(padding_mode("constant=-1.5"), Ok(PaddingMode::Constant(-1.5)));
        assert!(padding_mode("constant=").is_err());
        assert!(padding_mode("mirror").is_err());
    }
}
