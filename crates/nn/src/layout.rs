//! The memory layout and the initial values of a network's parameters.

use crate::error::{Error, Result};
use crate::graph::{Graph, Init, Kind};
use crate::random;
use conv1d::Caps;

/// Memory that persists between steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arena {
    /// Parameters and statistics, in the [`ArenaLayout`].
    State,
    /// Gradients of the parameters, in the same layout.
    Gradients,
}

/// Memory layout of a graph's parameters: learnt ones first, each at a multiple of [`ArenaLayout::ALIGNMENT`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArenaLayout {
    /// First element of each parameter.
    pub(crate) offsets: Vec<u64>,
    /// Elements of the learnt parameters.
    pub(crate) trained: u64,
    /// Elements of all parameters.
    pub(crate) total: u64,
}

impl ArenaLayout {
    /// Alignment in elements: 256 bytes, the most that a WebGPU device requires, so that the layout is the same on all
    /// devices.
    pub(crate) const ALIGNMENT: u64 = 64;

    pub(crate) fn of(graph: &Graph) -> ArenaLayout {
        let mut offsets = vec![0; graph.parameters.len()];
        let mut end = 0_u64;
        let mut trained = 0;
        for learnt in [true, false] {
            for (parameter, offset) in graph.parameters.iter().zip(&mut offsets) {
                if (parameter.kind == Kind::Trained) == learnt {
                    *offset = end;
                    let aligned = parameter.len().checked_next_multiple_of(Self::ALIGNMENT);
                    end = end.saturating_add(aligned.unwrap_or(u64::MAX));
                }
            }
            if learnt {
                trained = end;
            }
        }
        ArenaLayout { offsets, trained, total: end }
    }

    /// Checks that all parameters together fit one binding.
    pub(crate) fn check(&self, caps: &Caps) -> Result<()> {
        let (value, limit) = (self.total, caps.max_range());
        if value > limit { Err(Error::too_large("elements of all parameters", value, limit)) } else { Ok(()) }
    }
}

impl Graph {
    /// Initial values of the parameters, in the layout.
    pub(crate) fn initial(&self, layout: &ArenaLayout, seed: u64) -> Vec<f32> {
        let mut state = vec![0.0; layout.total as usize];
        // Norms come last: they depend on other parameters.
        for dependent in [false, true] {
            for (index, parameter) in self.parameters.iter().enumerate() {
                let range = |index: usize| {
                    let first = layout.offsets[index] as usize;
                    first..first + self.parameters[index].len() as usize
                };
                match parameter.init {
                    Init::Constant(value) if !dependent => state[range(index)].fill(value),
                    Init::FanIn(fan_in) if !dependent => {
                        let bound = if fan_in > 0 { 1.0 / (fan_in as f32).sqrt() } else { 0.0 };
                        let key = random::key(seed, index as u32);
                        for (i, value) in state[range(index)].iter_mut().enumerate() {
                            *value = (2.0 * random::unit(i as u64, key) - 1.0) * bound;
                        }
                    }
                    Init::NormsOf(of) if dependent => {
                        let Some(of) = self.parameter_of(of) else { continue };
                        let rows = parameter.len().max(1) as usize;
                        let directions = state[range(of)].to_vec();
                        let length = (directions.len() / rows).max(1);
                        for (norm, row) in state[range(index)].iter_mut().zip(directions.chunks(length)) {
                            let squares: f64 = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
                            *norm = squares.sqrt() as f32;
                        }
                    }
                    _ => {}
                }
            }
        }
        state
    }
}
