//! The backward pass: the gradients of what an operation reads, from that of what it gave.

use super::place::{Box3, Place};
use super::{Batch, Compiler, Home, Step, TensorId, bias_and_residual, pointwise};
use crate::error::Result;
use crate::geometry::{Activation, Fused, Operation, Residual};
use crate::lowering::Role;
use crate::nn::graph::{Dropped, Node, Op, Value};
use crate::nn::layout::Arena;
use crate::nn::shaders::{self, each, workgroups};

/// A share of the gradient of a value.
#[derive(Debug, Clone, Copy)]
struct GradientShare {
    tensor: TensorId,
    /// What it is to be added to.
    sum: Option<TensorId>,
    value: Value,
}

/// What the derivative of an activation is taken at.
#[derive(Debug, Clone, Copy)]
enum Saved {
    Output(TensorId),
    /// The two inputs, from which it is computed again.
    PreActivation(TensorId, TensorId),
}

/// Gradients of `activation(dropout(a) + b)`.
struct PointwiseBack {
    /// Those of `a` and `b` that are wanted.
    values: [Option<Value>; 2],
    dropout: Option<Dropped>,
    add: bool,
    activation: Activation,
    saved: Saved,
    dy: TensorId,
}

impl Compiler<'_> {
    pub(super) fn backward(&mut self, node: &Node, needs: &[bool]) -> Result<()> {
        let dy = self.gradients[&node.output];
        let needed = |index: usize| node.inputs.get(index).is_some_and(|input| needs[input.0]);
        let inputs = node.inputs.iter().map(|&v| self.value(v)).collect::<Result<Vec<_>>>()?;
        match &node.op {
            Op::Convolution { fused, flat } => self.convolution_backward(node, fused, *flat, needs)?,
            Op::WeightNorm => {
                let (rows, length) = self.rows(node.output);
                shaders::check_row(length, 2, self.caps)?;
                let (dg, dv) = (self.share(node.inputs[0])?, self.share(node.inputs[1])?);
                let params = shaders::WeightNormParams { rows: rows as u32, length: length as u32 };
                let tensors = [inputs[0], inputs[1], dy, dg.tensor, dv.tensor];
                self.launch(workgroups(&shaders::WEIGHT_NORM_BACK, &[], params, rows, &tensors));
                self.settle(dg);
                self.settle(dv);
            }
            Op::BatchNorm { activation, .. } => self.batch_norm_backward(node, *activation, &inputs, needs)?,
            Op::Pointwise { dropout, add, activation } => {
                // From the output where that is enough; then the inputs need not be kept for it.
                let before = Fused::from(crate::Conv1d::new(1, 1, 1)).activation(*activation).saves_pre_activation();
                let y = self.value(node.output)?;
                let (a, b) = (inputs[0], inputs.get(1).copied().unwrap_or(inputs[0]));
                let saved = if before { Saved::PreActivation(a, b) } else { Saved::Output(y) };
                let back =
                    |values| PointwiseBack { values, dropout: *dropout, add: *add, activation: *activation, saved, dy };
                let wanted = [0, 1].map(|index| node.inputs.get(index).copied().filter(|_| needed(index)));
                if wanted[0] == wanted[1] {
                    // Both sides of the sum are one value, whose shares cannot be added to in one dispatch.
                    self.pointwise_backward(back([wanted[0], None]))?;
                    self.pointwise_backward(back([None, wanted[1]]))?;
                } else {
                    self.pointwise_backward(back(wanted))?;
                }
            }
            Op::Concat => {
                let mut first = 0;
                for &value in &node.inputs {
                    let (part, whole) = (Box3::of(self.shape(value)), Box3::of(self.shape(node.output)));
                    if needs[value.0] {
                        let (tensor, accumulate) = self.sum(value)?;
                        let from_channel = -(first as i32);
                        let place =
                            Place { extent: part, to: part, from: whole, from_channel, accumulate, ..Place::default() };
                        self.launch(place.launch(dy, tensor));
                    }
                    first += part.channels;
                }
            }
            Op::LastStep => {
                let (whole, last) = (Box3::of(self.shape(node.inputs[0])), Box3::of(self.shape(node.output)));
                let (tensor, accumulate) = self.sum(node.inputs[0])?;
                let from_position = whole.length as i32 - 1;
                let place =
                    Place { extent: whole, to: whole, from: last, from_position, accumulate, ..Place::default() };
                self.launch(place.launch(dy, tensor));
            }
            // Only where no gradient is wanted.
            Op::FoldWeight { .. } | Op::FoldBias { .. } => {}
        }
        Ok(())
    }

    /// Where a share of the gradient of a value is written: into its tensor if it is the first share, otherwise into another that
    /// [`Compiler::settle`] adds to it.
    fn share(&mut self, value: Value) -> Result<GradientShare> {
        match self.gradients.get(&value) {
            Some(&sum) => {
                let tensor = self.tensor(&self.shapes[value.0].clone(), Home::Pool)?;
                Ok(GradientShare { tensor, sum: Some(sum), value })
            }
            None => {
                let tensor = self.new_like(value, Arena::Gradients)?;
                self.gradients.insert(value, tensor);
                Ok(GradientShare { tensor, sum: None, value })
            }
        }
    }

    fn settle(&mut self, share: GradientShare) {
        if let Some(sum) = share.sum {
            let all = Box3::of(self.shape(share.value));
            let place = Place { extent: all, to: all, from: all, accumulate: true, ..Place::default() };
            self.launch(place.launch(share.tensor, sum));
        }
    }

    /// The tensor of the gradient of a value, and whether it already holds something that is to be added to.
    fn sum(&mut self, value: Value) -> Result<(TensorId, bool)> {
        let held = self.gradients.contains_key(&value);
        let tensor = if held { self.gradients[&value] } else { self.share(value)?.tensor };
        Ok((tensor, held))
    }

    fn convolution_backward(&mut self, node: &Node, fused: &Fused, flat: bool, needs: &[bool]) -> Result<()> {
        let (dy, y) = (self.gradients[&node.output], self.value(node.output)?);
        let shape = self.convolution_input(node, fused, flat)?;
        let (bias, residual) = bias_and_residual(fused, &node.inputs);
        let z = self.saved.get(&node.output).copied();
        for (operation, value) in [
            (Operation::WeightGradient, Some(node.inputs[1])),
            (Operation::BiasGradient, bias),
            (Operation::InputGradient, Some(node.inputs[0])),
        ] {
            let Some(value) = value.filter(|value| needs[value.0]) else { continue };
            let plan = (self.planner)(*fused, operation, &shape)?;
            let share = self.share(value)?;
            let mut tensors = vec![(plan.output(), share.tensor)];
            for role in plan.inputs() {
                let tensor = match role {
                    Role::Input => Some(self.value(node.inputs[0])?),
                    Role::Weight => Some(self.value(node.inputs[1])?),
                    Role::Output => Some(y),
                    Role::OutputGradient => Some(dy),
                    Role::PreActivation => z,
                    _ => None,
                };
                tensors.extend(tensor.map(|tensor| (role, tensor)));
            }
            self.steps.push(Step::Convolution { plan: Box::new(plan), tensors });
            self.settle(share);
        }
        if let Some(value) = residual.filter(|value| needs[value.0]) {
            let before = fused.residual == Residual::BeforeActivation;
            let activation = if before { fused.activation } else { Activation::Identity };
            let saved = z.map_or(Saved::Output(y), |z| Saved::PreActivation(z, z));
            let values = [Some(value), None];
            let back = PointwiseBack { values, dropout: None, add: false, activation, saved, dy };
            self.pointwise_backward(back)?;
        }
        Ok(())
    }

    fn pointwise_backward(&mut self, back: PointwiseBack) -> Result<()> {
        let PointwiseBack { values, dropout, add, activation, saved, dy } = back;
        let Some(value) = values.into_iter().flatten().next() else { return Ok(()) };
        let (elements, (code, slope)) = (self.elements(value), shaders::code(activation));
        let mut gradients = [(None, 0); 2];
        for (place, value) in gradients.iter_mut().zip(values) {
            if let Some(value) = value {
                let (tensor, held) = self.sum(value)?;
                *place = (Some(tensor), if held { 2 } else { 1 });
            }
        }
        let (output, a, b, saved_input) = match saved {
            // A derivative of 1 needs nothing, which then need not be kept.
            _ if activation == Activation::Identity => (dy, dy, dy, 0),
            Saved::Output(y) => (y, y, y, 0),
            Saved::PreActivation(a, b) => (a, a, b, 1),
        };
        let (drops, params) = pointwise(elements, dropout, slope, self.request.seed);
        let constants = [
            drops,
            ("ADD", add.into()),
            ("DERIVATIVE", code),
            ("SAVED_INPUT", saved_input),
            ("GRADIENT_A", gradients[0].1),
            ("GRADIENT_B", gradients[1].1),
        ];
        // What is not wanted is not written, but something must be bound there.
        let mut tensor = |gradient: Option<TensorId>| gradient.map_or_else(|| self.pooled(1), Ok);
        let (da, db) = (tensor(gradients[0].0)?, tensor(gradients[1].0)?);
        let tensors = [dy, output, a, b, self.control, da, db];
        self.launch(each(&shaders::POINTWISE_BACK, &constants, params, elements, &tensors));
        Ok(())
    }

    fn batch_norm_backward(
        &mut self,
        node: &Node,
        activation: Activation,
        inputs: &[TensorId],
        needs: &[bool],
    ) -> Result<()> {
        let &[x, gamma, beta, ..] = inputs else { return Ok(()) };
        let (dy, statistics) = (self.gradients[&node.output], self.statistics[&node.output]);
        let Batch { whole, positions, shares } = self.batch_shape(node)?;
        let channels = u64::from(whole.channels);
        let (code, slope) = shaders::code(activation);
        let partials = self.pooled(2 * channels * shares.count)?;
        let params = shaders::BatchSumsParams {
            workgroups: (channels * shares.count) as u32,
            channels: whole.channels,
            length: whole.length,
            positions,
            split: shares.share as u32,
            slope,
        };
        let tensors = [dy, x, statistics, gamma, beta, partials];
        let count = channels * shares.count;
        self.launch(workgroups(&shaders::BATCH_SUMS, &[("DERIVATIVE", code)], params, count, &tensors));

        let sums = self.pooled(2 * channels)?;
        let shares_of = [node.inputs[1], node.inputs[2]]
            .map(|value| if needs[value.0] { self.share(value).map(Some) } else { Ok(None) });
        let [dgamma, dbeta] = shares_of;
        let (dgamma, dbeta) = (dgamma?, dbeta?);
        let tensor = |compiler: &mut Self, share: &Option<GradientShare>| match share {
            Some(share) => Ok(share.tensor),
            None => compiler.pooled(channels),
        };
        let tensors = [partials, tensor(self, &dgamma)?, tensor(self, &dbeta)?, sums];
        let params = shaders::BatchGradientsParams { count: whole.channels, splits: shares.count as u32 };
        self.launch(each(&shaders::BATCH_GRADIENTS, &[], params, channels, &tensors));
        [dgamma, dbeta].into_iter().flatten().for_each(|share| self.settle(share));

        if needs[node.inputs[0].0] {
            let dx = self.share(node.inputs[0])?;
            let count = self.elements(node.output);
            let params = shaders::BatchBackParams {
                count: count as u32,
                channels: whole.channels,
                length: whole.length,
                positions,
                slope,
            };
            let frozen = (!self.request.batch_statistics).into();
            let constants = [("DERIVATIVE", code), ("FROZEN", frozen)];
            let tensors = [dy, x, statistics, gamma, beta, sums, dx.tensor];
            self.launch(each(&shaders::BATCH_BACK, &constants, params, count, &tensors));
            self.settle(dx);
        }
        Ok(())
    }
}
