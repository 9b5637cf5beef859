//! The oracle's networks: defined on the tape as in their PyTorch classes.

use super::tape::{Balls, Geometry, Tape, Var};
use conv1d_nn::{StateDict, Values};

/// A network that the oracle defines.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Causal { kernel: usize, stride: usize, dilation: usize, groups: usize },
    WaveNet { kernel: usize, layers: usize },
    TcnBlock { kernel: usize, dilation: usize },
    Tcn { kernel: usize, layers: usize },
    Features { training: bool },
    Separable { kernel: usize, stride: usize, dilation: usize },
}

/// A network on the tape with its parameters.
pub(super) struct Oracle<'a> {
    pub(super) tape: Tape,
    pub(super) y: Var,
    state: &'a StateDict,
    /// Running statistics after the pass, by their names.
    pub(super) after: Vec<(String, Vec<f64>)>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(kind: Kind, state: &'a StateDict, input: &[usize], x: &[f32]) -> Self {
        let mut tape = Tape::default();
        let x = tape.leaf("x", Balls::exact(input, x));
        let mut oracle = Oracle { tape, y: x, state, after: Vec::new() };
        oracle.y = match kind {
            Kind::Causal { kernel, stride, dilation, groups } => {
                oracle.conv("conv", Geometry { stride, groups, ..Geometry::causal(kernel, dilation) }, x)
            }
            Kind::WaveNet { kernel, layers } => (0..layers)
                .fold(x, |x, layer| oracle.conv(&format!("{layer}.conv"), Geometry::causal(kernel, 1 << layer), x)),
            Kind::TcnBlock { kernel, dilation } => oracle.block("", kernel, dilation, x),
            Kind::Tcn { kernel, layers } => {
                let y =
                    (0..layers).fold(x, |x, layer| oracle.block(&format!("network.{layer}."), kernel, 1 << layer, x));
                let last = oracle.tape.last_step(y);
                oracle.conv("output_layer", Geometry::same(1, 1), last)
            }
            Kind::Features { training } => {
                let scales = [("short_conv", 3), ("medium_conv", 5), ("long_conv", 21)];
                let outputs = scales.map(|(name, kernel)| {
                    let y = oracle.conv(&format!("{name}.0"), Geometry::same(kernel, 1), x);
                    let y = oracle.batch_norm(&format!("{name}.1"), training, y);
                    oracle.tape.relu(y)
                });
                oracle.tape.concat(&outputs)
            }
            Kind::Separable { kernel, stride, dilation } => {
                let y = oracle.conv("depthwise", Geometry::halved([kernel, stride, dilation], input), x);
                oracle.conv("pointwise", Geometry::same(1, 1), y)
            }
        };
        oracle
    }

    fn parameter(&mut self, name: &str) -> Option<Var> {
        let entry = self.state.entries.get(name)?;
        let Values::Floats(values) = &entry.values else { panic!("{name} holds no numbers") };
        // A linear layer is a convolution with kernel size 1.
        let mut shape = entry.shape.clone();
        if shape.len() == 2 {
            shape.push(1);
        }
        Some(self.tape.leaf(name, Balls::exact(&shape, values)))
    }

    fn conv(&mut self, name: &str, geometry: Geometry, x: Var) -> Var {
        let weight = match self.parameter(&format!("{name}.weight")) {
            Some(weight) => weight,
            None => {
                let of = |n| format!("{name}.parametrizations.weight.original{n}");
                let (g, v) = (self.parameter(&of(0)).unwrap(), self.parameter(&of(1)).unwrap());
                self.tape.weight_norm(g, v)
            }
        };
        let bias = self.parameter(&format!("{name}.bias"));
        self.tape.conv(geometry, x, weight, bias)
    }

    fn block(&mut self, prefix: &str, kernel: usize, dilation: usize, x: Var) -> Var {
        let mut y = x;
        for name in ["conv1", "conv2"] {
            y = self.conv(&format!("{prefix}{name}"), Geometry::causal(kernel, dilation), y);
            y = self.tape.relu(y);
        }
        let residual = if self.state.entries.contains_key(&format!("{prefix}residual.weight")) {
            self.conv(&format!("{prefix}residual"), Geometry::same(1, 1), x)
        } else {
            x
        };
        let sum = self.tape.add(y, residual);
        self.tape.relu(sum)
    }

    fn batch_norm(&mut self, name: &str, training: bool, x: Var) -> Var {
        let parameters = ["weight", "bias"].map(|p| self.parameter(&format!("{name}.{p}")).unwrap());
        let running = ["running_mean", "running_var"].map(|statistic| {
            let Values::Floats(values) = &self.state.entries[&format!("{name}.{statistic}")].values else { panic!() };
            values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>()
        });
        let given = (!training).then(|| (running[0].clone(), running[1].clone()));
        let (y, mean, variance) = self.tape.batch_norm(x, parameters, given);
        if training {
            for (statistic, old, new) in [("running_mean", &running[0], mean), ("running_var", &running[1], variance)] {
                let after = old.iter().zip(new).map(|(old, new)| 0.9 * old + 0.1 * new).collect();
                self.after.push((format!("{name}.{statistic}"), after));
            }
        }
        y
    }
}
