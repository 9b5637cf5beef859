//! The forward pass.

use super::place::{Box3, Place};
use super::{Batch, Compiler, Step, TensorId, bias_and_residual, pointwise};
use crate::error::{Error, Result};
use crate::geometry::{Activation, Layer, Operation};
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
                self.launch(workgroups(&shaders::WEIGHT_NORM, &[], params, rows, &[inputs[0], inputs[1], y]));
            }
            Op::BatchNorm { norm, activation } => self.batch_norm(node, *norm, *activation, &inputs, y)?,
            Op::Pointwise { dropout, add, activation } => {
                let (code, slope) = shaders::code(*activation);
                let (drops, params) = pointwise(elements, *dropout, slope, self.request.seed);
                let constants = [drops, ("ADD", (*add).into()), ("ACTIVATION", code)];
                let b = inputs.get(1).copied().unwrap_or(inputs[0]);
                let tensors = [inputs[0], b, self.control, y];
                self.launch(each(&shaders::POINTWISE, &constants, params, elements, &tensors));
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
                let tensors = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], y];
                self.launch(each(&shaders::FOLD_BATCH_NORM, &[("FOLDED", 0)], params, elements, &tensors));
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
                let folded = if inputs.len() > 4 { 1 } else { 2 };
                let bias = inputs.get(4).copied().unwrap_or(inputs[0]);
                let tensors = [bias, inputs[0], inputs[1], inputs[2], inputs[3], y];
                self.launch(each(&shaders::FOLD_BATCH_NORM, &[("FOLDED", folded)], params, elements, &tensors));
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
        let Batch { whole, positions, shares } = self.batch_shape(node)?;
        let channels = u64::from(whole.channels);
        let statistics = self.pooled(2 * channels)?;
        self.statistics.insert(node.output, statistics);
        let frozen = !self.request.batch_statistics;
        let partials = if frozen {
            // The variances of splits that nobody computed are not looked at.
            self.pooled(1)?
        } else {
            if positions < 2 {
                return Err(Error::TooFewPositions { positions: positions.into() });
            }
            let partials = self.pooled(2 * channels * shares.count)?;
            let params = shaders::BatchStatsParams {
                workgroups: (channels * shares.count) as u32,
                channels: whole.channels,
                length: whole.length,
                positions,
                split: shares.share as u32,
            };
            let count = channels * shares.count;
            self.launch(workgroups(&shaders::BATCH_STATS, &[], params, count, &[x, partials]));
            partials
        };
        let params = shaders::BatchFinishParams {
            count: whole.channels,
            splits: shares.count as u32,
            positions,
            split: shares.share as u32,
            epsilon: norm.epsilon,
            momentum: norm.momentum,
        };
        let tensors = [partials, mean, variance, batches, statistics];
        self.launch(each(&shaders::BATCH_FINISH, &[("FROZEN", frozen.into())], params, channels, &tensors));
        let (code, slope) = shaders::code(activation);
        let count = self.elements(node.output);
        let params =
            shaders::BatchNormParams { count: count as u32, channels: whole.channels, length: whole.length, slope };
        let tensors = [x, statistics, gamma, beta, y];
        self.launch(each(&shaders::BATCH_NORM, &[("ACTIVATION", code)], params, count, &tensors));
        Ok(())
    }
}
