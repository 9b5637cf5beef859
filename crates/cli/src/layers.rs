//! Selection of the layers and operations that a command runs.

use crate::operations;
use clap::Args;
use clap::builder::TypedValueParser;
use conv1d::suite::{self, LayerSpec};
use conv1d::{Operation, Role};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An operation that the benchmark times, named as in frameworks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Fwd,
    Dgrad,
    Wgrad,
}

impl Op {
    pub(crate) const ALL: [Op; 3] = [Op::Fwd, Op::Dgrad, Op::Wgrad];

    /// Parser of an operation by its long or short name.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Op> {
        const TIMED: [Operation; 3] = [Operation::Forward, Operation::InputGradient, Operation::WeightGradient];
        operations::parser(&TIMED).try_map(|operation| {
            Op::ALL.into_iter().find(|op| op.operation() == operation).ok_or("the benchmark does not time it")
        })
    }

    pub(crate) fn name(self) -> &'static str {
        operations::short(self.operation())
    }

    pub(crate) fn operation(self) -> Operation {
        match self {
            Op::Fwd => Operation::Forward,
            Op::Dgrad => Operation::InputGradient,
            Op::Wgrad => Operation::WeightGradient,
        }
    }

    /// The tensor that the operation writes.
    pub(crate) fn output(self) -> Role {
        match self {
            Op::Fwd => Role::Output,
            Op::Dgrad => Role::InputGradient,
            Op::Wgrad => Role::WeightGradient,
        }
    }
}

/// Selection of the layers to run.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// JSON file with the layers to run, at full size, instead of the built-in suite
    #[arg(long, value_name = "FILE")]
    pub(crate) layers_file: Option<PathBuf>,
    /// Only layers whose name contains one of these
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    only: Vec<String>,
}

impl Selection {
    /// Whether the selection is the whole built-in suite.
    pub(crate) fn is_everything(&self) -> bool {
        self.layers_file.is_none() && self.only.is_empty()
    }

    /// Whether `--only` selects a layer of this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    pub(crate) fn layers(&self) -> Result<Vec<LayerSpec>, String> {
        let mut specs = match &self.layers_file {
            Some(path) => from_file(path)?,
            None => suite::layers(),
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

/// Reads layers from a JSON file.
fn from_file(path: &Path) -> Result<Vec<LayerSpec>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}
