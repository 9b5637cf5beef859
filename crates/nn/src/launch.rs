//! The steps of a schedule and the tensors that they are bound to. Plain values.

use crate::layout::Arena;
use conv1d::{Plan, Role, Scalar, Shader};

/// A tensor of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TensorId(pub(crate) usize);

/// The memory that holds a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// Memory that other tensors reuse before and after.
    Pool,
    /// Its own memory, which the caller can access.
    Own,
    /// A part of an arena, from this element on.
    Arena(Arena, u64),
}

/// Shape and memory of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TensorInfo {
    pub(crate) shape: Vec<usize>,
    pub(crate) home: Home,
}

impl TensorInfo {
    /// Number of elements; at least 1, the minimum for a binding.
    pub(crate) fn elements(&self) -> u64 {
        elements(&self.shape).max(1)
    }
}

/// Number of elements of a checked shape.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    if shape.contains(&0) { 0 } else { shape.iter().map(|&d| d as u64).product() }
}

/// Parameters of a shader, by name.
pub(crate) type Values = Vec<(&'static str, Scalar)>;

/// A dispatch of one of this crate's shaders.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Launch {
    pub(crate) shader: Shader,
    pub(crate) values: Values,
    pub(crate) workgroups: u64,
    /// The tensor bound to each variable.
    pub(crate) tensors: Vec<(&'static str, TensorId)>,
}

/// A step of a pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Convolution { plan: Box<Plan>, tensors: Vec<(Role, TensorId)> },
    Shader(Launch),
}

impl Step {
    pub(crate) fn tensors(&self) -> Vec<TensorId> {
        match self {
            Step::Convolution { tensors, .. } => tensors.iter().map(|(_, tensor)| *tensor).collect(),
            Step::Shader(launch) => launch.tensors.iter().map(|(_, tensor)| *tensor).collect(),
        }
    }
}
