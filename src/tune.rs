//! Measured choices: which kernel and tile is fastest for a layer on one adapter, kept in a file.
//!
//! The planner predicts; [`Gpu::tune`] measures. Nothing is measured unless it is asked for, and nothing measured is used
//! unless it is given to [`Gpu::use_tuning`] or [`PlanOptions::tuning`]. It changes which of the candidates is chosen, all of
//! which keep the same promises.

use crate::error::{Error, Result};
use crate::geometry::{Fused, Geometry, Operation};
use crate::gpu::{Buffers, Gpu, Timer};
use crate::plan::{Choice, Plan, PlanOptions};
use crate::timing::Effort;
use std::collections::BTreeMap;

/// Candidates that the planner predicts to take so many times as long as its first are not measured: the predictions are
/// rough, but not that rough.
const MOST_PREDICTED: f64 = 8.0;
/// A candidate whose first run takes so many times as long as the best so far is not run again.
const HOPELESS: f64 = 3.0;

/// The adapter that something was measured on, as it calls itself, and the version of this library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "tune", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TunedOn {
    /// Version of this library: kernels change.
    pub library: String,
    /// Name of the adapter.
    pub adapter: String,
    /// Graphics API.
    pub backend: String,
    /// Name and version of the driver.
    pub driver: String,
}

impl TunedOn {
    fn new(gpu: &Gpu) -> Self {
        let info = gpu.adapter_info();
        TunedOn {
            library: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: info.name,
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        }
    }

    fn check(&self, device: &TunedOn) -> Result<()> {
        let pairs = [
            ("library version", &self.library, &device.library),
            ("adapter", &self.adapter, &device.adapter),
            ("backend", &self.backend, &device.backend),
            ("driver", &self.driver, &device.driver),
        ];
        match pairs.into_iter().find(|(_, tuned, have)| tuned != have) {
            Some((what, tuned, have)) => Err(Error::TunedElsewhere { what, tuned: tuned.clone(), have: have.clone() }),
            None => Ok(()),
        }
    }
}

/// Measured times of candidates, by operation and geometry, on one adapter.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "tune", derive(serde::Serialize, serde::Deserialize))]
pub struct Tuning {
    on: TunedOn,
    /// Seconds of each candidate, by its name.
    seconds: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Tuning {
    /// Nothing yet, for measuring on this device.
    pub fn new(gpu: &Gpu) -> Self {
        Tuning { on: TunedOn::new(gpu), seconds: BTreeMap::new() }
    }

    /// What it was measured on.
    pub fn on(&self) -> &TunedOn {
        &self.on
    }

    /// Number of operations of layers that were measured.
    pub fn len(&self) -> usize {
        self.seconds.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.seconds.is_empty()
    }

    /// Whether it was measured on this device, with this driver and by this version of the library; otherwise what differs.
    pub fn check(&self, gpu: &Gpu) -> Result<()> {
        self.on.check(&TunedOn::new(gpu))
    }

    /// Seconds that a candidate took.
    pub(crate) fn seconds(&self, key: &str, choice: Choice) -> Option<f64> {
        self.seconds.get(key)?.get(&choice.to_string()).copied().filter(|s| s.is_finite() && *s >= 0.0)
    }

    /// Reads what [`Tuning::save`] wrote.
    #[cfg(feature = "tune")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        serde_json::from_slice(&crate::gpu::read_whole(path)?).map_err(|e| Error::file(path, e))
    }

    /// Writes a file that is whole at any time: an interrupted call leaves the earlier one. Of two programs that tune into one
    /// file, the one that saves last has its times in it.
    #[cfg(feature = "tune")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::file(path, e))?;
        crate::gpu::write_whole(path, text.as_bytes())
    }
}

/// What a layer on an input shape is to the planner; an activation or a residual changes nothing of it.
pub(crate) fn key(transposed: bool, g: &Geometry, operation: Operation) -> String {
    let mode = g.mode.name();
    let kind = if transposed { "transposed convolution" } else { "convolution" };
    format!(
        "{} of a {kind}, batch {}, {}x{} to {}x{}, kernel {}, stride {}, dilation {}, groups {}, padding {} {} of {mode}",
        operation.name(),
        g.batch,
        g.wide.channels,
        g.wide.length,
        g.narrow.channels,
        g.narrow.length,
        g.kernel,
        g.stride,
        g.dilation,
        g.groups,
        g.pad_left,
        g.pad_right,
    )
}

impl Gpu {
    /// Measures the candidates for an operation of a layer on an input `[N, C_in, L]`, adds their times to `tuning`, and
    /// returns the plan that they lead to.
    ///
    /// Each candidate is compiled and timed over tensors of its own, with as much effort as given; those that are predicted or
    /// seen to be far behind are left out.
    pub fn tune(
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
        let buffers = tensors.iter().fold(Buffers::new(), |all, (role, t)| all.with(*role, t.buffer().slice(..)));

        let timer = Timer::new(self);
        // The chosen one is the first that can be planned.
        let chosen = plan.candidates().iter().find(|c| c.choice == plan.choice());
        let most = chosen.map_or(0.0, |fastest| fastest.predicted.seconds() * MOST_PREDICTED);
        let mut seconds = BTreeMap::new();
        let mut best = f64::INFINITY;
        for candidate in plan.candidates().iter().filter(|c| c.predicted.seconds() <= most) {
            let choice = candidate.choice.to_string();
            let options = PlanOptions::default().kernel(choice.clone());
            // What cannot be planned is no candidate.
            let Ok(forced) = Plan::new(fused, operation, input, self.caps(), &options) else { continue };
            // What this device cannot hold is none either.
            let Ok(bound) = self.prepare(&forced).and_then(|prepared| prepared.bind(&buffers)) else { continue };
            // The first run compiles what the driver left to do, and is waited for.
            timer.run(&bound, 1)?;
            let once = timer.run(&bound, 1)?.as_secs_f64();
            if once > best * HOPELESS {
                seconds.insert(choice, once);
                continue;
            }
            let median = timer.measure(&bound, effort)?.seconds();
            best = best.min(median);
            seconds.insert(choice, median);
        }
        if !seconds.is_empty() {
            tuning.seconds.insert(plan.key().to_owned(), seconds);
        }
        Plan::new(fused, operation, input, self.caps(), &PlanOptions::default().tuning(tuning.clone()))
    }
}
