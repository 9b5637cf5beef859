//! What training adds: a loss, and the step of an optimiser.

use super::place::Box3;
use super::{Compiler, Home, KEPT_LOSSES, Program, TensorId, Training};
use crate::error::{Error, Result};
use crate::nn::layout::Arena;
use crate::nn::optimizer::Rule;
use crate::nn::shaders::{self, Shares, each, workgroups};
use crate::nn::train::Loss;

impl Compiler<'_> {
    pub(super) fn loss(&mut self, loss: Loss, gradient: TensorId, program: &mut Program) -> Result<()> {
        let shape = self.shape(self.request.graph.output).to_vec();
        let whole = Box3::of(&shape);
        let elements = self.elements(self.request.graph.output);
        if elements == 0 {
            return Err(Error::Zero { argument: "batch" });
        }
        let output = program.output;
        let losses = self.tensor(&[KEPT_LOSSES], Home::Own)?;
        let (target, shares, partials) = match loss {
            Loss::MeanSquaredError => {
                let shares = Shares::of(elements, 1, self.caps)?;
                let (target, partials) = (self.tensor(&shape, Home::Own)?, self.pooled(shares.count)?);
                let params = shaders::SharesParams {
                    workgroups: shares.count as u32,
                    count: elements as u32,
                    share: shares.share as u32,
                };
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(&shaders::MEAN_SQUARED_ERROR, &[], params, shares.count, &tensors));
                (target, shares, partials)
            }
            Loss::CrossEntropy => {
                if shape.len() < 2 {
                    let expected = "[N, classes] or [N, classes, L]".into();
                    return Err(Error::Shape { tensor: "the network's output", got: shape, expected });
                }
                let positions = u64::from(whole.batch) * u64::from(whole.length);
                let shares = Shares::of(positions, 1 + 3 * u64::from(whole.channels), self.caps)?;
                let target: Vec<usize> = std::iter::once(shape[0]).chain(shape[2..].iter().copied()).collect();
                let (target, partials) = (self.tensor(&target, Home::Own)?, self.pooled(shares.count)?);
                let params = shaders::CrossEntropyParams {
                    workgroups: shares.count as u32,
                    count: positions as u32,
                    share: shares.share as u32,
                    classes: whole.channels,
                    length: whole.length,
                };
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(&shaders::CROSS_ENTROPY, &[], params, shares.count, &tensors));
                (target, shares, partials)
            }
        };
        let params = shaders::LossParams { count: shares.count as u32, kept: KEPT_LOSSES as u32 };
        self.launch(workgroups(&shaders::LOSS, &[], params, 1, &[partials, self.control, losses]));
        program.target = Some(target);
        program.losses = Some(losses);
        Ok(())
    }

    pub(super) fn update(&mut self, training: &Training, program: &mut Program) -> Result<()> {
        let trained = self.layout.trained;
        let arena = |compiler: &mut Self, arena| compiler.tensor(&[trained as usize], Home::Arena(arena, 0));
        let (parameters, gradients) = (arena(self, Arena::State)?, arena(self, Arena::Gradients)?);
        // What is not clipped is not looked at, but something must be bound there.
        let mut clipping = self.control;
        if let Some(limit) = training.clip {
            clipping = self.tensor(&[2], Home::Own)?;
            program.clipping = Some(clipping);
            let shares = Shares::of(trained, 1, self.caps)?;
            let partials = self.pooled(shares.count)?;
            let params = shaders::SharesParams {
                workgroups: shares.count as u32,
                count: trained as u32,
                share: shares.share as u32,
            };
            self.launch(workgroups(&shaders::SUM_SQUARES, &[], params, shares.count, &[gradients, partials]));
            let params = shaders::ClipParams { count: shares.count as u32, limit };
            self.launch(workgroups(&shaders::CLIP, &[], params, 1, &[partials, clipping]));
        }
        let clipped = ("CLIPPED", training.clip.is_some().into());
        let memory = (0..training.optimizer.memory())
            .map(|index| arena(self, Arena::Memory(index)))
            .collect::<Result<Vec<_>>>()?;
        let mut tensors = vec![self.control, clipping, gradients, parameters];
        tensors.extend(memory);
        if training.optimizer.memory() == 0 {
            tensors.push(self.pooled(1)?);
        }
        let count = trained as u32;
        self.launch(match training.optimizer.rule() {
            Rule::Sgd(sgd) => {
                let params = shaders::SgdParams { count, momentum: sgd.momentum, weight_decay: sgd.weight_decay };
                let momentum = ("MOMENTUM", (sgd.momentum != 0.0).into());
                let constants = [clipped, momentum, ("NESTEROV", sgd.nesterov.into())];
                each(&shaders::SGD, &constants, params, trained, &tensors)
            }
            Rule::Adam { adam, decoupled } => {
                let [beta1, beta2] = [adam.beta1, adam.beta2];
                let params = shaders::AdamParams {
                    count,
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    rest1: (1.0 - beta1) as f32,
                    rest2: (1.0 - beta2) as f32,
                    epsilon: adam.epsilon,
                    weight_decay: adam.weight_decay,
                };
                each(&shaders::ADAM, &[clipped, ("DECOUPLED", decoupled.into())], params, trained, &tensors)
            }
        });
        Ok(())
    }
}
