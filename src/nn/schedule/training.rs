//! What training adds: a loss, and the step of an optimiser.

use super::place::Box3;
use super::{Compiler, Home, KEPT_LOSSES, Schedule, TensorId, Training};
use crate::error::{Error, Result};
use crate::kernels::program::Shader;
use crate::nn::layout::Arena;
use crate::nn::optimizer::Rule;
use crate::nn::shaders::{self, Splits, each, workgroups};
use crate::nn::train::Loss;

impl Compiler<'_> {
    pub(super) fn loss(&mut self, loss: Loss, gradient: TensorId, schedule: &mut Schedule) -> Result<()> {
        let shape = self.shape(self.request.graph.output).to_vec();
        let whole = Box3::of(&shape);
        let elements = self.elements(self.request.graph.output);
        if elements == 0 {
            return Err(Error::Zero { argument: "batch" });
        }
        let output = schedule.output;
        let losses = self.tensor(&[KEPT_LOSSES], Home::Own)?;
        let (target, splits, partials) = match loss {
            Loss::MeanSquaredError => {
                let splits = Splits::of(elements, 1, self.caps)?;
                let (target, partials) = (self.tensor(&shape, Home::Own)?, self.pooled(splits.count)?);
                let shader = Shader::new(&shaders::MEAN_SQUARED_ERROR);
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(shader, splits.params(elements), splits.count, &tensors));
                (target, splits, partials)
            }
            Loss::CrossEntropy => {
                if shape.len() < 2 {
                    let expected = "[N, classes] or [N, classes, L]".into();
                    return Err(Error::Shape { tensor: "the network's output", got: shape, expected });
                }
                let positions = u64::from(whole.batch) * u64::from(whole.length);
                let splits = Splits::of(positions, 1 + 3 * u64::from(whole.channels), self.caps)?;
                let target: Vec<usize> = std::iter::once(shape[0]).chain(shape[2..].iter().copied()).collect();
                let (target, partials) = (self.tensor(&target, Home::Own)?, self.pooled(splits.count)?);
                let params =
                    shaders::SplitsParams { classes: whole.channels, length: whole.length, ..splits.params(positions) };
                let tensors = [output, target, gradient, partials];
                self.launch(workgroups(Shader::new(&shaders::CROSS_ENTROPY), params, splits.count, &tensors));
                (target, splits, partials)
            }
        };
        let params = shaders::LossParams { splits: splits.count as u32, kept: KEPT_LOSSES as u32 };
        let tensors = [self.control, partials, losses];
        self.launch(workgroups(Shader::new(&shaders::LOSS), params, 1, &tensors));
        schedule.target = Some(target);
        schedule.losses = Some(losses);
        Ok(())
    }

    pub(super) fn update(&mut self, training: &Training, schedule: &mut Schedule) -> Result<()> {
        let trained = self.layout.trained;
        let arena = |compiler: &mut Self, arena| compiler.tensor(&[trained as usize], Home::Arena(arena, 0));
        let (parameters, gradients) = (arena(self, Arena::State)?, arena(self, Arena::Gradients)?);
        let mut tensors = vec![self.control];
        let mut parts = vec![("optimizer/clipping", if training.clip.is_some() { "scaled" } else { "none" })];
        if let Some(limit) = training.clip {
            let clipping = self.tensor(&[2], Home::Own)?;
            schedule.clipping = Some(clipping);
            tensors.push(clipping);
            let splits = Splits::of(trained, 1, self.caps)?;
            let partials = self.pooled(splits.count)?;
            let shader = Shader::new(&shaders::SUM_SQUARES);
            self.launch(workgroups(shader, splits.params(trained), splits.count, &[gradients, partials]));
            let params = shaders::ClipParams { splits: splits.count as u32, limit };
            self.launch(workgroups(Shader::new(&shaders::CLIP), params, 1, &[partials, clipping]));
        }
        tensors.extend([gradients, parameters]);
        for index in 0..training.optimizer.memory() {
            tensors.push(arena(self, Arena::Memory(index))?);
        }
        let count = trained as u32;
        self.launch(match training.optimizer.rule() {
            Rule::Sgd(sgd) => {
                let params = shaders::SgdParams { count, momentum: sgd.momentum, weight_decay: sgd.weight_decay };
                let mut shader = Shader::new(&shaders::SGD);
                let momentum = if sgd.momentum == 0.0 {
                    "none"
                } else {
                    shader = shader.constants(&[("NESTEROV", sgd.nesterov.into())]);
                    "velocity"
                };
                parts.push(("optimizer/momentum", momentum));
                each(shader.parts(&parts), params, trained, &tensors)
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
                let shader = Shader::new(&shaders::ADAM).parts(&parts).constants(&[("DECOUPLED", decoupled.into())]);
                each(shader, params, trained, &tensors)
            }
        });
        Ok(())
    }
}
