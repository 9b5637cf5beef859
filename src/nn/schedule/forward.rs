//! The forward pass.

use super::place::{Box3, Place};
use super::{Compiler, Step, TensorId, bias_and_residual, pointwise};
use crate::error::{Error, Result};
use crate::geometry::{Activation, Layer, Operation};
use crate::kernels::activation_part;
use crate::kernels::program::Shader;
use crate::lowering::Role;
use crate::nn::graph::{Node, Norm, Op};
use crate::nn::layout::Arena;
use crate::nn::shaders::{self, each, workgroups};

impl Compiler<'_> {
    pub(super) fn forward(&mut self, node: &Node, back: bool) -> Result<()> {
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
                let params = shaders::WeightNormParams { rows: rows as u32, length: length as u32 };
                let shader = Shader::new(&shaders::WEIGHT_NORM);
                self.launch(workgroups(shader, params, rows, &[inputs[0], inputs[1], y]));
            }
            Op::BatchNorm { norm, activation } => self.batch_norm(node, *norm, *activation, &inputs, y)?,
            Op::Pointwise { dropout, add, activation } => {
                let (part, slope) = activation_part(*activation);
                let (drops, params) = pointwise(elements, *dropout, slope, self.request.seed);
                let addend = inputs.get(1).filter(|_| *add);
                let adds = ("pointwise/addend", if addend.is_some() { "b" } else { "none" });
                let shader = Shader::new(&shaders::POINTWISE).parts(&[drops, adds, ("activation", part)]);
                let mut tensors = Vec::new();
                tensors.extend(dropout.map(|_| self.control));
                tensors.push(inputs[0]);
                tensors.extend(addend);
                tensors.push(y);
                self.launch(each(shader, params, elements, &tensors));
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
                // Of the weight of a transposed convolution the output channels are the columns.
                let (row, rows_per_group, kernel, channels_per_group) = match layer {
                    Layer::Conv(c) => (c.in_channels / c.groups * c.kernel_size, 1, c.kernel_size, 1),
                    Layer::Transposed(c) => {
                        let columns = c.out_channels / c.groups;
                        (columns * c.kernel_size, c.in_channels / c.groups, c.kernel_size, columns)
                    }
                };
                let [row, rows_per_group, kernel, channels_per_group] =
                    [row, rows_per_group, kernel, channels_per_group].map(|n| n as u32);
                let epsilon = norm.epsilon;
                let count = elements as u32;
                let params =
                    shaders::FoldBatchNormParams { count, row, rows_per_group, kernel, channels_per_group, epsilon };
                let &[weight, gamma, _, _, variance] = &inputs[..] else { return Ok(()) };
                let shader = Shader::new(&shaders::FOLD_BATCH_NORM).parts(&[("fold_batch_norm/folded", "weight")]);
                self.launch(each(shader, params, elements, &[weight, gamma, variance, y]));
            }
            Op::FoldBias { norm } => {
                let params = shaders::FoldBatchNormParams {
                    count: elements as u32,
                    row: 1,
                    rows_per_group: 1,
                    kernel: 1,
                    channels_per_group: 1,
                    epsilon: norm.epsilon,
                };
                let part = if inputs.len() > 4 { "bias" } else { "no_bias" };
                let mut tensors: Vec<TensorId> = inputs.get(4).copied().into_iter().collect();
                tensors.extend(&inputs[..4]);
                tensors.push(y);
                let shader = Shader::new(&shaders::FOLD_BATCH_NORM).parts(&[("fold_batch_norm/folded", part)]);
                self.launch(each(shader, params, elements, &tensors));
            }
        }
        Ok(())
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
        let (part, slope) = activation_part(activation);
        let params = batch.params(norm, slope);
        let statistics = self.pooled(2 * channels)?;
        self.statistics.insert(node.output, statistics);
        let finish = Shader::new(&shaders::BATCH_FINISH);
        if self.request.batch_statistics {
            if batch.positions < 2 {
                return Err(Error::TooFewPositions { positions: batch.positions.into() });
            }
            let count = channels * batch.splits.count;
            let partials = self.pooled(2 * count)?;
            self.launch(workgroups(Shader::new(&shaders::BATCH_STATS), params, count, &[x, partials]));
            let finish = finish.parts(&[("batch_norm/moments", "batch")]);
            self.launch(each(finish, params, channels, &[partials, mean, variance, batches, statistics]));
        } else {
            let finish = finish.parts(&[("batch_norm/moments", "running")]);
            self.launch(each(finish, params, channels, &[mean, variance, statistics]));
        }
        let shader = Shader::new(&shaders::BATCH_NORM).parts(&[("activation", part)]);
        let count = self.elements(node.output);
        self.launch(each(shader, params, count, &[x, statistics, gamma, beta, y]));
        Ok(())
    }
}
