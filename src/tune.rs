//! Measured choices: which variant is fastest for a layer on one adapter, kept in a file.
//!
//! The planner predicts; [`Gpu::tune`] measures. Nothing is measured unless requested, and measured times are used only if they
//! are given to [`Gpu::use_tuning`] or [`PlanOptions::tuning`]. They change which candidate is chosen; all candidates keep the
//! same promises.

use crate::error::Result;
use crate::geometry::{Fused, Operation};
use crate::gpu::{Buffers, Gpu, Timer};
use crate::plan::{Plan, PlanOptions};
pub use crate::plan::{TunedOn, Tuning};
use crate::timing::Effort;
use std::collections::BTreeMap;

/// Candidates predicted to take more than this many times as long as the chosen one are not measured: the predictions are
/// rough, but not that rough.
const MOST_PREDICTED: f64 = 8.0;
/// A candidate whose first timed run takes more than this many times as long as the best so far is not run again.
const HOPELESS: f64 = 3.0;

impl Tuning {
    /// An empty tuning, for measuring on this device.
    pub fn new(gpu: &Gpu) -> Self {
        Tuning::empty(gpu.tuned_on())
    }

    /// Checks that it was measured on this device, with this driver and this version of the library; the error names a difference.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        gpu.check_tuning(self)
    }
}

impl Gpu {
    /// Measures the candidates for an operation of a layer on an input `[N, C_in, L]`, adds their times to `tuning`, and
    /// returns the plan that they lead to.
    ///
    /// Each candidate is compiled and timed with this effort, on zeros in tensors of its own. Candidates that are far behind, by
    /// prediction or in their first timed run, are not measured further.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(
        &self,
        tuning: &mut Tuning,
        layer: impl Into<Fused>,
        operation: Operation,
        input: impl AsRef<[usize]>,
        effort: Effort,
    ) -> Result<Plan> {
        crate::gpu::block_on(self.tune_async(tuning, layer, operation, input, effort))
    }

    /// Like `tune`, without blocking.
    pub async fn tune_async(
        &self,
        tuning: &mut Tuning,
        layer: impl Into<Fused>,
        operation: Operation,
        input: impl AsRef<[usize]>,
        effort: Effort,
    ) -> Result<Plan> {
        let (fused, input) = (layer.into(), input.as_ref());
        tuning.check(self)?;
        let plan = Plan::new(fused, operation, input, self.caps(), &PlanOptions::default())?;
        let tensors = plan.inputs().into_iter().chain([plan.output()]);
        let tensors =
            tensors.map(|role| Ok((role, self.zeros(role.shape(plan.shapes()))?))).collect::<Result<Vec<_>>>()?;
        let buffers = tensors.iter().fold(Buffers::new(), |all, (role, t)| all.with(*role, t.slice()));

        let timer = Timer::new(self);
        // The chosen one is the first that can be planned.
        let chosen = plan.candidates().iter().find(|c| c.variant == plan.variant());
        let most = chosen.map_or(0.0, |fastest| fastest.predicted.seconds() * MOST_PREDICTED);
        let mut seconds = BTreeMap::new();
        let mut best = f64::INFINITY;
        for candidate in plan.candidates().iter().filter(|c| c.predicted.seconds() <= most) {
            let choice = candidate.variant.to_string();
            let options = PlanOptions::default().kernel(choice.clone());
            // Skip candidates that cannot be planned.
            let Ok(forced) = Plan::new(fused, operation, input, self.caps(), &options) else { continue };
            // Skip candidates that do not fit this device.
            let Ok(bound) = self.prepare_for(&forced, &buffers.roles()).and_then(|prepared| prepared.bind(&buffers))
            else {
                continue;
            };
            // The first run includes compilation that the driver put off; it is awaited, but not counted.
            timer.run_async(&bound, 1).await?;
            let once = timer.run_async(&bound, 1).await?.as_secs_f64();
            if once > best * HOPELESS {
                seconds.insert(choice, once);
                continue;
            }
            let median = timer.measure_async(&bound, effort).await?.seconds();
            best = best.min(median);
            seconds.insert(choice, median);
        }
        tuning.insert(plan.key(), seconds);
        Plan::new(fused, operation, input, self.caps(), &PlanOptions::default().tuning(tuning.clone()))
    }
}
