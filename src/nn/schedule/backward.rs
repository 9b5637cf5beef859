//! The backward pass: the gradients of what an operation reads, from that of what it gave.

use super::place::{Box3, Place};
use super::{Compiler, Home, Step, TensorId, bias_and_residual, pointwise};
use crate::error::Result;
use crate::geometry::{Activation, Fused, Operation, Residual};
use crate::kernels::activation_part;
use crate::kernels::program::Shader;
use crate::lowering::Role;
use crate::nn::graph::{Dropped, Node, Norm, Op, Value};
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
    /// `a`, and `b` where there is one: the activation's input is computed from them again.
    PreActivation(TensorId, Option<TensorId>),
}

/// Gradients of `activation(dropout(a) + b)`.
struct PointwiseBack {
    /// Those of `a` and `b` that are wanted.
    values: [Option<Value>; 2],
    dropout: Option<Dropped>,
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
                self.launch(workgroups(Shader::new(&shaders::WEIGHT_NORM_BACK), params, rows, &tensors));
                self.settle(dg);
                self.settle(dv);
            }
            Op::BatchNorm { norm, activation } => {
                self.batch_norm_backward(node, *norm, *activation, &inputs, needs)?;
            }
            Op::Pointwise { dropout, add, activation } => {
                // From the output where that is enough; then the inputs need not be kept for it.
                let before = Fused::from(crate::Conv1d::new(1, 1, 1)).activation(*activation).saves_pre_activation();
                let y = self.value(node.output)?;
                let b = inputs.get(1).copied().filter(|_| *add);
                let saved = if before { Saved::PreActivation(inputs[0], b) } else { Saved::Output(y) };
                let back = |values| PointwiseBack { values, dropout: *dropout, activation: *activation, saved, dy };
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
            let saved = z.map_or(Saved::Output(y), |z| Saved::PreActivation(z, None));
            let values = [Some(value), None];
            let back = PointwiseBack { values, dropout: None, activation, saved, dy };
            self.pointwise_backward(back)?;
        }
        Ok(())
    }

    fn pointwise_backward(&mut self, back: PointwiseBack) -> Result<()> {
        let PointwiseBack { values, dropout, activation, saved, dy } = back;
        let Some(value) = values.into_iter().flatten().next() else { return Ok(()) };
        let elements = self.elements(value);
        let (activate, slope) = activation_part(activation);
        let (drops, params) = pointwise(elements, dropout, slope, self.request.seed);
        let [a, b] = values.map(|value| value.map(|value| self.sum(value)));
        let (a, b) = (a.transpose()?, b.transpose()?);

        let mut parts = Vec::new();
        let mut constants = Vec::new();
        for (folder, added, gradient) in
            [("pointwise/a_gradient", "A_ADDED", a), ("pointwise/b_gradient", "B_ADDED", b)]
        {
            parts.push((folder, if gradient.is_some() { "wanted" } else { "unwanted" }));
            constants.extend(gradient.map(|(_, held)| (added, held.into())));
        }
        // What the derivative is taken at. A derivative of 1 needs nothing, which then need not be kept.
        let saved = Some(saved).filter(|_| activation != Activation::Identity);
        let (part, read) = match saved {
            None => ("none", Vec::new()),
            Some(Saved::Output(y)) => ("output", vec![y]),
            Some(Saved::PreActivation(a, b)) => {
                parts.push(("pointwise/addend", if b.is_some() { "b" } else { "none" }));
                ("input", std::iter::once(a).chain(b).collect())
            }
        };
        parts.push(("pointwise/activation_gradient", part));
        parts.extend(saved.map(|_| ("activation", activate)));
        let masks = a.is_some() || part == "input";
        parts.extend(Some(drops).filter(|_| masks));

        let mut tensors = Vec::new();
        tensors.extend(dropout.filter(|_| masks).map(|_| self.control));
        tensors.extend(read);
        tensors.push(dy);
        tensors.extend([a, b].into_iter().flatten().map(|(tensor, _)| tensor));
        let shader = Shader::new(&shaders::POINTWISE_BACK).parts(&parts).constants(&constants);
        self.launch(each(shader, params, elements, &tensors));
        Ok(())
    }

    fn batch_norm_backward(
        &mut self,
        node: &Node,
        norm: Norm,
        activation: Activation,
        inputs: &[TensorId],
        needs: &[bool],
    ) -> Result<()> {
        let &[x, gamma, beta, ..] = inputs else { return Ok(()) };
        let (dy, statistics) = (self.gradients[&node.output], self.statistics[&node.output]);
        let batch = self.batch_shape(node)?;
        let channels = u64::from(batch.whole.channels);
        let (part, slope) = activation_part(activation);
        let params = batch.params(norm, slope);
        let activated = activation != Activation::Identity;
        let mut parts = vec![("batch_norm/activation_gradient", if activated { "input" } else { "none" })];
        parts.extend(Some(("activation", part)).filter(|_| activated));

        let count = channels * batch.splits.count;
        let partials = self.pooled(2 * count)?;
        let mut tensors = vec![x, statistics];
        tensors.extend([gamma, beta].iter().filter(|_| activated));
        tensors.extend([dy, partials]);
        self.launch(workgroups(Shader::new(&shaders::BATCH_SUMS).parts(&parts), params, count, &tensors));

        let sums = self.pooled(2 * channels)?;
        // Gamma and beta are both trained, or neither is.
        let shares = [node.inputs[1], node.inputs[2]].into_iter().filter(|value| needs[value.0]);
        let shares = shares.map(|value| self.share(value)).collect::<Result<Vec<_>>>()?;
        let wanted = if shares.is_empty() { "unwanted" } else { "wanted" };
        let mut tensors = vec![partials];
        tensors.extend(shares.iter().map(|share| share.tensor));
        tensors.push(sums);
        let shader = Shader::new(&shaders::BATCH_GRADIENTS).parts(&[("batch_norm/parameter_gradients", wanted)]);
        self.launch(each(shader, params, channels, &tensors));
        shares.into_iter().for_each(|share| self.settle(share));

        if needs[node.inputs[0].0] {
            let dx = self.share(node.inputs[0])?;
            let corrects = self.request.batch_statistics;
            parts.push(("batch_norm/correction", if corrects { "batch" } else { "none" }));
            let mut tensors = Vec::new();
            tensors.extend(Some(x).filter(|_| corrects || activated));
            tensors.extend([statistics, gamma]);
            tensors.extend(Some(beta).filter(|_| activated));
            tensors.push(dy);
            tensors.extend(Some(sums).filter(|_| corrects));
            tensors.push(dx.tensor);
            let count = self.elements(node.output);
            self.launch(each(Shader::new(&shaders::BATCH_BACK).parts(&parts), params, count, &tensors));
            self.settle(dx);
        }
        Ok(())
    }
}
