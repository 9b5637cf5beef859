//! The summary of a network: shapes, parameters and cost of each layer.

use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, Node, Op, flat_input};
use crate::input::Input;
use crate::network::Network;
use crate::schedule::Planner;
use conv1d::{Activation, Fused, Layer, Operation, PlanOptions};
use std::fmt;

/// One operation of a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerSummary {
    /// Name of the layer: the prefix of its parameters.
    pub name: String,
    /// Kind of operation and its sizes.
    pub kind: String,
    /// Shape of the output.
    pub output: Vec<usize>,
    /// Number of learnt values. A parameter of several layers counts in the first.
    pub parameters: u64,
    /// Floating-point operations of a forward pass, two for each multiply-add. Only convolutions and linear layers
    /// count.
    pub flops: u64,
    /// Kernel variant that the planner chose for the forward pass of a convolution or linear layer.
    pub kernel: Option<String>,
}

/// The summary of a network. Its `Display` is a table of the layers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The operations of the network, in order and before fusion.
    pub layers: Vec<LayerSummary>,
    /// Number of neighbouring input samples that one output depends on; see [`Graph::receptive_field`].
    pub receptive_field: u64,
    /// Number of all learnt values.
    pub parameters: u64,
    /// Floating-point operations of a forward pass of all layers.
    pub flops: u64,
}

impl Network {
    /// Shapes, parameters and cost of every layer for an input `[N, C, L]` or `[C, L]`.
    pub fn summary(&self, input: impl AsRef<[usize]>) -> Result<Summary> {
        let input = Input::of(input.as_ref())?;
        Summary::new(self.graph(), input, &|fused, operation, shape: &[usize]| {
            Ok(self.gpu().plan(fused, operation, shape, &PlanOptions::default())?)
        })
    }
}

impl Summary {
    fn new(graph: &Graph, input: Input, planner: Planner<'_>) -> Result<Summary> {
        let shapes = graph.shapes(input.shape)?;
        let follows = graph.follows_input();
        let mut counted = std::collections::HashSet::new();
        let mut layers = Vec::new();
        for node in &graph.nodes {
            let learnt = node.inputs.iter().filter_map(|&value| graph.parameter_of(value));
            let learnt: Vec<usize> = learnt
                .filter(|&index| graph.parameters[index].kind == Kind::Trained && counted.insert(index))
                .collect();
            let (mut flops, mut kernel) = (0, None);
            if let Op::Convolution { fused, flat } = &node.op {
                let x = &shapes[node.inputs[0].0];
                let told = || {
                    let x = if *flat { flat_input(x, fused)? } else { x.clone() };
                    let plan = planner(*fused, Operation::Forward, &x)?;
                    Ok((fused.layer.cost(&x)?.flops, Some(plan.variant().to_string())))
                };
                (flops, kernel) = told().map_err(|error: Error| error.in_layer(&node.name))?;
            }
            layers.push(LayerSummary {
                name: node.name.clone(),
                kind: kind(node),
                output: input.seen(&shapes[node.output.0], follows[node.output.0]).to_vec(),
                parameters: learnt.into_iter().map(|index| graph.parameters[index].len()).sum(),
                flops,
                kernel,
            });
        }
        let flops = layers.iter().map(|layer| layer.flops).sum();
        Ok(Summary { layers, receptive_field: graph.receptive_field(), parameters: graph.parameter_count(), flops })
    }
}

impl Graph {
    /// Number of neighbouring input samples that one output depends on:
    /// `1 + sum over layers of (span - 1) * product of the strides before`, along the path with the largest result. A
    /// transposed convolution divides the product by its stride.
    ///
    /// Dependence through batch statistics in training mode is not counted.
    pub fn receptive_field(&self) -> u64 {
        let mut fields = vec![Field { samples: 1.0, step: 1.0 }; self.origins.len()];
        for node in &self.nodes {
            let field = node.inputs.iter().filter(|v| self.parameter_of(**v).is_none()).filter_map(|v| fields.get(v.0));
            let widest = field.copied().max_by(|a, b| a.samples.total_cmp(&b.samples));
            let mut field = widest.unwrap_or(Field { samples: 1.0, step: 1.0 });
            if let Op::Convolution { fused, .. } = &node.op {
                field = field.through(fused);
            }
            fields[node.output.0] = field;
        }
        fields.get(self.output.0).map_or(1, |field| field.samples.ceil() as u64)
    }
}

/// Number of input samples that an element depends on, and their shift from one element to the next.
#[derive(Debug, Clone, Copy)]
struct Field {
    samples: f64,
    step: f64,
}

impl Field {
    fn through(self, fused: &Fused) -> Field {
        match fused.layer {
            Layer::Conv(conv) => Field {
                samples: self.samples + (conv.span().saturating_sub(1)) as f64 * self.step,
                step: self.step * conv.stride as f64,
            },
            Layer::Transposed(conv) => {
                // An output depends on the inputs within the span, which are `stride` apart.
                let reached = conv.span().div_ceil(conv.stride.max(1) as u64);
                Field {
                    samples: self.samples + reached.saturating_sub(1) as f64 * self.step,
                    step: self.step / conv.stride.max(1) as f64,
                }
            }
        }
    }
}

fn kind(node: &Node) -> String {
    match &node.op {
        Op::Convolution { fused, flat: false } => match fused.layer {
            Layer::Conv(c) => {
                let groups = if c.groups == 1 { String::new() } else { format!(", groups {}", c.groups) };
                format!(
                    "conv {} -> {}, kernel {}, stride {}, dilation {}{groups}",
                    c.in_channels, c.out_channels, c.kernel_size, c.stride, c.dilation
                )
            }
            Layer::Transposed(c) => {
                format!(
                    "transposed conv {} -> {}, kernel {}, stride {}",
                    c.in_channels, c.out_channels, c.kernel_size, c.stride
                )
            }
        },
        Op::Convolution { .. } => "linear".into(),
        Op::WeightNorm | Op::FoldWeight { .. } | Op::FoldBias { .. } => "weight norm".into(),
        Op::BatchNorm { .. } => "batch norm".into(),
        Op::Pointwise { dropout: Some(dropped), .. } => format!("dropout {}", dropped.probability),
        Op::Pointwise { add: true, .. } => "sum".into(),
        Op::Pointwise { activation, .. } => match activation {
            Activation::LeakyRelu(slope) => format!("leaky relu {slope}"),
            other => format!("{other:?}").to_lowercase(),
        },
        Op::Concat => "concat".into(),
        Op::LastStep => "last step".into(),
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "operation", "output", "parameters", "FLOPs", "kernel"].map(str::to_owned);
        let row = |layer: &LayerSummary| {
            [
                layer.name.clone(),
                layer.kind.clone(),
                format!("{:?}", layer.output),
                if layer.parameters > 0 { grouped(layer.parameters) } else { String::new() },
                if layer.flops > 0 { grouped(layer.flops) } else { String::new() },
                layer.kernel.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.layers.iter().map(row)).collect();
        let widths: [usize; 6] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default());
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Numbers are right-aligned.
                line +=
                    &if column == 3 || column == 4 { format!("{cell:>width$}  ") } else { format!("{cell:width$}  ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(
            f,
            "{} parameters, {} FLOPs forward, receptive field {}",
            grouped(self.parameters),
            grouped(self.flops),
            grouped(self.receptive_field)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FeatureExtractor, Module, Sequential, Tcn, WaveNetStack};
    use conv1d::{Conv1d, ConvTranspose1d};

    #[test]
    fn receptive_fields_are_counted_along_the_widest_path() {
        let field = |network: &dyn Module| Graph::of(network).receptive_field();
        assert_eq!(field(&WaveNetStack::new(4)), 1024);
        // Two convolutions per block: 1 + 2 * 2 * (1 + 2 + ... + 128).
        assert_eq!(field(&Tcn::new(8, 64, 1).layers(8)), 1021);
        assert_eq!(field(&FeatureExtractor::new(6, 9)), 21);
        let strided = Sequential::new().then(Conv1d::new(1, 1, 5).stride(4)).then(Conv1d::new(1, 1, 3));
        assert_eq!(field(&strided), 5 + 2 * 4);
        // Upsampled by 4: the five taps of the second layer span four quarters of an input sample.
        let up = Sequential::new().then(ConvTranspose1d::new(1, 1, 8).stride(4)).then(Conv1d::new(1, 1, 5));
        assert_eq!(field(&up), 2 + 1);
        assert_eq!(field(&Sequential::new()), 1);
    }
}
