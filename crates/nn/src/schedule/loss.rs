//! The loss: its value, and the gradient of the output.

use super::place::Box3;
use super::{Compiler, KEPT_LOSSES, Schedule};
use crate::error::{Error, Result};
use crate::launch::{Home, TensorId};
use crate::loss::Loss;
use crate::shaders::{self, Splits, shader, workgroups};

impl Compiler<'_> {
    pub(crate) fn loss(&mut self, loss: Loss, gradient: TensorId, schedule: &mut Schedule) -> Result<()> {
        let shape = self.shape(self.request.graph.output).to_vec();
        let whole = Box3::of(&shape);
        let elements = self.elements(self.request.graph.output);
        if elements == 0 {
            return Err(Error::zero("batch"));
        }
        let output = schedule.output;
        let losses = self.tensor(&[KEPT_LOSSES], Home::Own)?;
        let (target, splits, partials) = match loss {
            Loss::MeanSquaredError => {
                let splits = Splits::of(elements, 1, self.caps)?;
                let (target, partials) = (self.tensor(&shape, Home::Own)?, self.pooled(splits.count)?);
                let tensors = [
                    ("prediction", output),
                    ("target_values", target),
                    ("prediction_gradient", gradient),
                    ("partials", partials),
                ];
                let values = splits.values(elements, [0; 2]);
                self.launch(workgroups(shader(&shaders::MEAN_SQUARED_ERROR), values, splits.count, &tensors));
                (target, splits, partials)
            }
            Loss::CrossEntropy => {
                if shape.len() < 2 {
                    return Err(Error::shape("the network's output", &shape, "[N, classes] or [N, classes, L]"));
                }
                let positions = u64::from(whole.batch) * u64::from(whole.length);
                let splits = Splits::of(positions, 1 + 3 * u64::from(whole.channels), self.caps)?;
                let target: Vec<usize> = std::iter::once(shape[0]).chain(shape[2..].iter().copied()).collect();
                let (target, partials) = (self.tensor(&target, Home::Own)?, self.pooled(splits.count)?);
                let values = splits.values(positions, [whole.channels, whole.length]);
                let tensors = [
                    ("logits", output),
                    ("target_classes", target),
                    ("logits_gradient", gradient),
                    ("partials", partials),
                ];
                self.launch(workgroups(shader(&shaders::CROSS_ENTROPY), values, splits.count, &tensors));
                (target, splits, partials)
            }
        };
        let values = vec![("splits", (splits.count as u32).into()), ("kept", (KEPT_LOSSES as u32).into())];
        let tensors = [("step", self.step), ("partials", partials), ("losses", losses)];
        self.launch(workgroups(shader(&shaders::LOSS), values, 1, &tensors));
        schedule.target = Some(target);
        schedule.losses = Some(losses);
        Ok(())
    }
}
