//! The backward pass: the gradients of the inputs of an operation, from the gradient of its output.

use super::place::{Box3, Place};
use super::{Compiler, bias_and_residual, pointwise};
use crate::error::Result;
use crate::graph::{Dropped, Node, Norm, Op, Value};
use crate::launch::{Home, Step, TensorId};
use crate::layout::Arena;
use crate::shaders::{self, each, shader, workgroups};
use conv1d::{Activation, Fused, Operation, Residual, Role};

/// A contribution to the gradient of a value.
#[derive(Debug, Clone, Copy)]
struct GradientShare {
    tensor: TensorId,
    /// The gradient that it is added to, unless it is the first contribution.
    sum: Option<TensorId>,
    value: Value,
}

/// The saved tensors from which the derivative of an activation is computed.
#[derive(Debug, Clone, Copy)]
enum Saved {
    Output(TensorId),
    /// `a`, and `b` if there is one: the input of the activation is recomputed from them.
    PreActivation(TensorId, Option<TensorId>),
}

/// Gradients of `activation(dropout(a) + b)`.
struct PointwiseBack {
    /// `a` and `b`, each if its gradient is needed.
    values: [Option<Value>; 2],
    dropout: Option<Dropped>,
    activation: Activation,
    saved: Saved,
    dy: TensorId,
}

impl Compiler<'_> {
    pub(crate) fn backward(&mut self, node: &Node, needs: &[bool]) -> Result<()> {
        let dy = self.gradients[&node.output];
        let needed = |index: usize| node.inputs.get(index).is_some_and(|input| needs[input.0]);
        let inputs = node.inputs.iter().map(|&v| self.value(v)).collect::<Result<Vec<_>>>()?;
        match &node.op {
            Op::Convolution { fused, flat } => self.convolution_backward(node, fused, *flat, needs)?,
            Op::WeightNorm => {
                let (rows, length) = self.rows(node.output);
                shaders::check_row(length, 2, self.caps)?;
                let (dg, dv) = (self.share_if(needed(0), node.inputs[0])?, self.share_if(needed(1), node.inputs[1])?);
                let values = vec![("rows", (rows as u32).into()), ("length", (length as u32).into())];
                let tensors = [
                    ("g", inputs[0]),
                    ("v", inputs[1]),
                    ("weight_gradient", dy),
                    ("g_gradient", dg.tensor),
                    ("v_gradient", dv.tensor),
                ];
                self.launch(workgroups(shader(&shaders::WEIGHT_NORM_BACK), values, rows, &tensors));
                self.settle(dg);
                self.settle(dv);
            }
            Op::BatchNorm { norm, activation } => {
                self.batch_norm_backward(node, *norm, *activation, &inputs, needs)?;
            }
            Op::Pointwise { dropout, add, activation } => {
                // Use the output if that is enough: then the inputs need not be kept for it.
                let before = activation.derivative_needs_input();
                let y = self.value(node.output)?;
                let b = inputs.get(1).copied().filter(|_| *add);
                let saved = if before { Saved::PreActivation(inputs[0], b) } else { Saved::Output(y) };
                let back = |values| PointwiseBack { values, dropout: *dropout, activation: *activation, saved, dy };
                let wanted = [0, 1].map(|index| node.inputs.get(index).copied().filter(|_| needed(index)));
                if wanted[0] == wanted[1] {
                    // Both terms of the sum are one value: one dispatch cannot add both contributions to its gradient.
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
            // These occur only without gradients.
            Op::FoldWeight { .. } | Op::FoldBias { .. } => {}
        }
        Ok(())
    }

    /// The tensor for a contribution to the gradient of a value: the gradient itself for the first contribution,
    /// otherwise a temporary tensor that [`Compiler::settle`] adds to the gradient.
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

    /// As [`Compiler::share`]. If the gradient is not needed, but a shader writes it beside another one, it goes to
    /// memory that is not read: the gradient of a frozen parameter stays zero.
    fn share_if(&mut self, needed: bool, value: Value) -> Result<GradientShare> {
        if needed {
            return self.share(value);
        }
        let tensor = self.tensor(&self.shapes[value.0].clone(), Home::Pool)?;
        Ok(GradientShare { tensor, sum: None, value })
    }

    fn settle(&mut self, share: GradientShare) {
        if let Some(sum) = share.sum {
            let all = Box3::of(self.shape(share.value));
            let place = Place { extent: all, to: all, from: all, accumulate: true, ..Place::default() };
            self.launch(place.launch(share.tensor, sum));
        }
    }

    /// The gradient tensor of a value, and whether it already holds a contribution to add to.
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
        let (activate, slope) = activation.shader_part();
        let (drops, params) = pointwise(elements, dropout, slope, self.request.seed);
        let [a, b] = values.map(|value| value.map(|value| self.sum(value)));
        let (a, b) = (a.transpose()?, b.transpose()?);

        let mut shader = shader(&shaders::POINTWISE_BACK);
        let mut tensors = vec![("output_gradient", dy)];
        for (folder, added, variable, gradient) in
            [("pointwise/a_gradient", "A_ADDED", "a_gradient", a), ("pointwise/b_gradient", "B_ADDED", "b_gradient", b)]
        {
            match gradient {
                Some((tensor, held)) => {
                    shader = shader.part(folder, "wanted").constant(added, held.into());
                    tensors.push((variable, tensor));
                }
                None => shader = shader.part(folder, "unwanted"),
            }
        }
        // The derivative of the identity is 1 and needs no saved tensor, so none is kept for it.
        let saved = Some(saved).filter(|_| activation != Activation::Identity);
        let part = match saved {
            None => "none",
            Some(Saved::Output(y)) => {
                tensors.push(("output", y));
                "output"
            }
            Some(Saved::PreActivation(a, b)) => {
                shader = shader.part("pointwise/addend", if b.is_some() { "b" } else { "none" });
                tensors.push(("a", a));
                tensors.extend(b.map(|b| ("b", b)));
                "input"
            }
        };
        shader = shader.part("pointwise/activation_gradient", part);
        if saved.is_some() {
            shader = shader.part("activation", activate);
        }
        if a.is_some() || part == "input" {
            shader = shader.part("pointwise/dropout", drops);
            tensors.extend(dropout.map(|_| ("step", self.step)));
        }
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
        let (part, slope) = activation.shader_part();
        let values = batch.values(norm, slope);
        let activated = activation != Activation::Identity;
        let normalised = |source| {
            let shader = shader(source);
            match activated {
                true => shader.part("batch_norm/activation_gradient", "input").part("activation", part),
                false => shader.part("batch_norm/activation_gradient", "none"),
            }
        };

        let count = channels * batch.splits.count;
        let partials = self.pooled(2 * count)?;
        let mut tensors =
            vec![("input", x), ("statistics", statistics), ("output_gradient", dy), ("partials", partials)];
        if activated {
            tensors.extend([("gamma", gamma), ("beta", beta)]);
        }
        self.launch(workgroups(normalised(&shaders::BATCH_SUMS), values.clone(), count, &tensors));

        let sums = self.pooled(2 * channels)?;
        let [scale, shift] = [1, 2].map(|index| needs[node.inputs[index].0]);
        let mut tensors = vec![("partials", partials), ("sums", sums)];
        let mut shares = Vec::new();
        if scale || shift {
            for (variable, index, needed) in [("gamma_gradient", 1, scale), ("beta_gradient", 2, shift)] {
                let share = self.share_if(needed, node.inputs[index])?;
                tensors.push((variable, share.tensor));
                shares.push(share);
            }
        }
        let wanted = if shares.is_empty() { "unwanted" } else { "wanted" };
        let gradients = shader(&shaders::BATCH_GRADIENTS).part("batch_norm/parameter_gradients", wanted);
        self.launch(each(gradients, values.clone(), channels, &tensors));
        shares.into_iter().for_each(|share| self.settle(share));

        if needs[node.inputs[0].0] {
            let dx = self.share(node.inputs[0])?;
            let corrects = self.request.batch_statistics;
            let shader =
                normalised(&shaders::BATCH_BACK).part("batch_norm/correction", if corrects { "batch" } else { "none" });
            let mut tensors = vec![
                ("statistics", statistics),
                ("gamma", gamma),
                ("output_gradient", dy),
                ("input_gradient", dx.tensor),
            ];
            tensors.extend(Some(("input", x)).filter(|_| corrects || activated));
            tensors.extend(Some(("beta", beta)).filter(|_| activated));
            tensors.extend(Some(("sums", sums)).filter(|_| corrects));
            self.launch(each(shader, values, self.elements(node.output), &tensors));
            self.settle(dx);
        }
        Ok(())
    }
}
