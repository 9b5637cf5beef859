//! The forward pass.

use super::place::{Box3, Place};
use super::{Compiler, bias_and_residual, pointwise};
use crate::error::{Error, Result};
use crate::graph::{Node, Norm, Op};
use crate::launch::{Step, TensorId};
use crate::layout::Arena;
use crate::shaders::{self, each, shader, workgroups};
use conv1d::{Activation, Layer, Operation, Role};

impl Compiler<'_> {
    pub(crate) fn forward(&mut self, node: &Node, back: bool) -> Result<()> {
        let y = self.value(node.output)?;
        let inputs = node.inputs.iter().map(|&v| self.value(v)).collect::<Result<Vec<_>>>()?;
        let elements = self.elements(node.output);
        match &node.op {
            Op::Convolution { fused, flat } => {
                let shape = self.convolution_input(node, fused, *flat)?;
                let plan = (self.planner)(*fused, Operation::Forward, &shape)?;
                let (bias, residual) = bias_and_residual(fused, &inputs);
                let mut tensors = vec![(Role::Input, inputs[0]), (Role::Weight, inputs[1]), (Role::Output, y)];
                tensors.extend(bias.map(|tensor| (Role::Bias, tensor)));
                tensors.extend(residual.map(|tensor| (Role::Residual, tensor)));
                if back && fused.saves_pre_activation() {
                    let z = self.new_like(node.output, Arena::State)?;
                    self.saved.insert(node.output, z);
                    tensors.push((Role::PreActivation, z));
                }
                self.steps.push(Step::Convolution { plan: Box::new(plan), tensors });
            }
            Op::WeightNorm => {
                let (rows, length) = self.rows(node.output);
                shaders::check_row(length, 2, self.caps)?;
                let values = vec![("rows", (rows as u32).into()), ("length", (length as u32).into())];
                let tensors = [("g", inputs[0]), ("v", inputs[1]), ("weight", y)];
                self.launch(workgroups(shader(&shaders::WEIGHT_NORM), values, rows, &tensors));
            }
            Op::BatchNorm { norm, activation } => self.batch_norm(node, *norm, *activation, &inputs, y)?,
            Op::Pointwise { dropout, add, activation } => {
                let (part, slope) = activation.shader_part();
                let (drops, values) = pointwise(elements, *dropout, slope, self.request.seed);
                let addend = inputs.get(1).filter(|_| *add);
                let shader = shader(&shaders::POINTWISE)
                    .part("pointwise/dropout", drops)
                    .part("pointwise/addend", if addend.is_some() { "b" } else { "none" })
                    .part("activation", part);
                let mut tensors = vec![("a", inputs[0]), ("output", y)];
                tensors.extend(dropout.map(|_| ("step", self.step)));
                tensors.extend(addend.map(|&b| ("b", b)));
                self.launch(each(shader, values, elements, &tensors));
            }
            Op::Concat => {
                let mut first = 0;
                for (&value, &tensor) in node.inputs.iter().zip(&inputs) {
                    let part = Box3::of(self.shape(value));
                    let whole = Box3::of(self.shape(node.output));
                    let place = Place { extent: part, to: whole, to_channel: first, from: part, ..Place::default() };
                    self.launch(place.launch(tensor, y));
                    first += part.channels;
                }
            }
            Op::LastStep => {
                let (whole, last) = (Box3::of(self.shape(node.inputs[0])), Box3::of(self.shape(node.output)));
                let from_position = 1 - whole.length as i32;
                let place = Place { extent: last, to: last, from: whole, from_position, ..Place::default() };
                self.launch(place.launch(inputs[0], y));
            }
            Op::FoldWeight { layer, norm } => {
                // In the weight of a transposed convolution, the columns are the output channels.
                let (row, rows_per_group, kernel, channels_per_group) = match layer {
                    Layer::Conv(c) => (c.in_channels / c.groups * c.kernel_size, 1, c.kernel_size, 1),
                    Layer::Transposed(c) => {
                        let columns = c.out_channels / c.groups;
                        (columns * c.kernel_size, c.in_channels / c.groups, c.kernel_size, columns)
                    }
                };
                let sizes = [row, rows_per_group, kernel, channels_per_group];
                let &[weight, gamma, _, _, variance] = &inputs[..] else { return Ok(()) };
                let tensors = [("input", weight), ("gamma", gamma), ("variance", variance), ("output", y)];
                self.fold(elements, sizes, *norm, "weight", &tensors);
            }
            Op::FoldBias { norm } => {
                let &[gamma, beta, mean, variance, ..] = &inputs[..] else { return Ok(()) };
                let mut tensors =
                    vec![("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance), ("output", y)];
                let bias = inputs.get(4);
                tensors.extend(bias.map(|&bias| ("input", bias)));
                self.fold(elements, [1; 4], *norm, if bias.is_some() { "bias" } else { "no_bias" }, &tensors);
            }
        }
        Ok(())
    }

    /// Batch normalisation by running statistics, folded into a weight or a bias.
    fn fold(
        &mut self,
        elements: u64,
        [row, rows_per_group, kernel, channels_per_group]: [usize; 4],
        norm: Norm,
        part: &'static str,
        tensors: &[(&'static str, TensorId)],
    ) {
        let values = vec![
            ("count", (elements as u32).into()),
            ("row", (row as u32).into()),
            ("rows_per_group", (rows_per_group as u32).into()),
            ("kernel", (kernel as u32).into()),
            ("channels_per_group", (channels_per_group as u32).into()),
            ("epsilon", norm.epsilon.into()),
        ];
        let shader = shader(&shaders::FOLD_BATCH_NORM).part("fold_batch_norm/folded", part);
        self.launch(each(shader, values, elements, tensors));
    }

    fn batch_norm(
        &mut self,
        node: &Node,
        norm: Norm,
        activation: Activation,
        inputs: &[TensorId],
        y: TensorId,
    ) -> Result<()> {
        let &[x, gamma, beta, mean, variance, batches] = inputs else { return Ok(()) };
        let batch = self.batch_shape(node)?;
        let channels = u64::from(batch.whole.channels);
        let (part, slope) = activation.shader_part();
        let values = batch.values(norm, slope);
        let statistics = self.pooled(2 * channels)?;
        self.statistics.insert(node.output, statistics);
        let finish = shader(&shaders::BATCH_FINISH);
        let running = [("running_mean", mean), ("running_variance", variance), ("statistics", statistics)];
        if self.request.batch_statistics {
            if batch.positions < 2 {
                return Err(Error::TooFewPositions { positions: batch.positions.into() });
            }
            let count = channels * batch.splits.count;
            let partials = self.pooled(2 * count)?;
            let tensors = [("input", x), ("partials", partials)];
            self.launch(workgroups(shader(&shaders::BATCH_STATS), values.clone(), count, &tensors));
            let finish = finish.part("batch_norm/moments", "batch");
            let tensors = [&[("partials", partials), ("batches", batches)], &running[..]].concat();
            self.launch(each(finish, values.clone(), channels, &tensors));
        } else {
            let finish = finish.part("batch_norm/moments", "running");
            self.launch(each(finish, values.clone(), channels, &running));
        }
        let shader = shader(&shaders::BATCH_NORM).part("activation", part);
        let tensors = [("input", x), ("statistics", statistics), ("gamma", gamma), ("beta", beta), ("output", y)];
        self.launch(each(shader, values, self.elements(node.output), &tensors));
        Ok(())
    }
}
