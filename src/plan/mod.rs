//! Which kernel computes an operation, in which tile, in how many dispatches, with how much workspace, and why.
//!
//! A [`Plan`] is a pure value: made from numbers, without a device, and comparable.

mod explain;
mod tuning;

pub use tuning::{TunedOn, Tuning};

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Conv1d, ConvTranspose1d, Fused, Geometry, Layer, Operation, Residual, Shapes, elements};
use crate::kernels::program::{Builder, Program};
use crate::kernels::{KERNELS, Kernel, Prediction, Tile, emit_fold, parts};
use crate::lowering::{Operand, Role, Stage, lower};
use std::fmt;
use std::sync::Arc;

/// Bytes of workspace that a plan may use unless told otherwise.
pub const DEFAULT_WORKSPACE_BYTES: u64 = 256 << 20;

/// Most stride phases: their table must fit a binding of 128 MiB.
const MAX_PHASES: u64 = 1 << 22;

/// A kernel and the tile that it is run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Choice {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Its tile.
    pub tile: Tile,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kernel, self.tile)
    }
}

/// What the planner may decide.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Only this kernel: `direct`, or `direct/4x4` for one of its tiles. [`kernels`] lists them.
    pub kernel: Option<String>,
    /// Bytes of workspace that may be used.
    pub workspace_bytes: u64,
    /// What was measured; without it, predictions decide.
    pub tuning: Option<Arc<Tuning>>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions { kernel: None, workspace_bytes: DEFAULT_WORKSPACE_BYTES, tuning: None }
    }
}

impl PlanOptions {
    /// Only this kernel.
    #[must_use]
    pub fn kernel(self, kernel: impl Into<String>) -> Self {
        PlanOptions { kernel: Some(kernel.into()), ..self }
    }

    /// At most these bytes of workspace.
    #[must_use]
    pub fn workspace_bytes(self, workspace_bytes: u64) -> Self {
        PlanOptions { workspace_bytes, ..self }
    }

    /// Of candidates that were measured, the fastest is chosen.
    #[must_use]
    pub fn tuning(self, tuning: impl Into<Arc<Tuning>>) -> Self {
        PlanOptions { tuning: Some(tuning.into()), ..self }
    }
}

/// One of the ways to compute an operation that the planner looked at.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Kernel and tile.
    pub choice: Choice,
    /// What it is predicted to take.
    pub predicted: Prediction,
    /// Measured time in seconds, where the planner was given one.
    pub measured: Option<f64>,
    /// Why it could not be planned, where it could not.
    pub refused: Option<Error>,
}

/// How one operation of one layer on one input shape is computed on devices of certain limits.
///
/// `{plan}` says in a line what it does; `{plan:#}` explains it: shapes, the kernel and why it was chosen, dispatches, workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    fused: Fused,
    operation: Operation,
    shapes: Shapes,
    caps: Caps,
    choice: Choice,
    candidates: Vec<Candidate>,
    key: String,
    pub(crate) program: Program,
}

impl Plan {
    /// Plans `operation` of a layer, with an activation and a residual or without, for an input `[N, C_in, L]` or
    /// `[C_in, L]`.
    pub fn new(
        layer: impl Into<Fused>,
        operation: Operation,
        input: impl AsRef<[usize]>,
        caps: &Caps,
        options: &PlanOptions,
    ) -> Result<Plan> {
        let fused = layer.into();
        fused.check()?;
        let (shapes, geometry) = fused.layer.resolve(input.as_ref())?;
        check_derived_sizes(&geometry)?;
        let allowed = allowed(options.kernel.as_deref())?;
        let stages = lower(&fused, &geometry, operation);
        let key = tuning::key(fused.layer.is_transposed(), &geometry, operation);
        let mut candidates = candidates(&stages, &allowed, caps)?;
        if let Some(tuning) = &options.tuning {
            candidates.iter_mut().for_each(|c| c.measured = tuning.seconds(&key, c.choice));
        }
        // What was measured first; a stable sort leaves the rest by prediction.
        candidates.sort_by(|a, b| {
            let time = |c: &Candidate| c.measured.unwrap_or(f64::INFINITY);
            time(a).total_cmp(&time(b))
        });
        let mut planned = None;
        for candidate in &mut candidates {
            match emit(&stages, candidate.choice, caps, options) {
                Ok(program) => {
                    planned = Some((candidate.choice, program));
                    break;
                }
                Err(error) => candidate.refused = Some(error),
            }
        }
        // Where nothing can be planned, what the best candidate met is the reason.
        let (choice, program) = match planned {
            Some(planned) => planned,
            None => return Err(candidates.into_iter().find_map(|c| c.refused).unwrap_or_else(no_kernel)),
        };
        Ok(Plan { fused, operation, shapes, caps: *caps, choice, candidates, key, program })
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.fused.layer
    }

    /// The layer with its activation and residual.
    pub fn fused(&self) -> &Fused {
        &self.fused
    }

    /// The operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Shapes of all tensors of the layer.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The caps it was made for.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The kernel and tile that do nearly all of the work.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// What measured times of this operation are filed under.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Everything that was looked at: what was measured, the fastest first, and then the fastest by prediction.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.program.steps.len()
    }

    /// Multiply-adds of all dispatches, those with padding that the kernel multiplies out included. The empty parts of tiles
    /// do not count.
    pub fn multiply_adds(&self) -> u64 {
        self.program.multiply_adds
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> u64 {
        self.program.workspace_bytes()
    }

    /// Tensors that the operation reads. [`Role::Bias`] may be left out.
    ///
    /// Gradients through an activation read what the forward pass saved: [`Role::Output`], or [`Role::PreActivation`] where
    /// [`Fused::saves_pre_activation`].
    pub fn inputs(&self) -> Vec<Role> {
        let mut roles = match self.operation {
            Operation::Forward => vec![Role::Input, Role::Weight, Role::Bias],
            Operation::InputGradient => vec![Role::Weight, Role::OutputGradient],
            Operation::WeightGradient => vec![Role::Input, Role::OutputGradient],
            Operation::BiasGradient => vec![Role::OutputGradient],
        };
        match self.operation {
            Operation::Forward if self.fused.residual != Residual::None => roles.push(Role::Residual),
            Operation::Forward => {}
            _ => roles.extend(self.fused.saved()),
        }
        roles
    }

    /// The tensor that the operation writes as well, where it is given: [`Role::PreActivation`] of a forward pass whose gradients
    /// need it ([`Fused::saves_pre_activation`]).
    pub fn optional_output(&self) -> Option<Role> {
        let saves = self.operation == Operation::Forward && self.fused.saves_pre_activation();
        saves.then_some(Role::PreActivation)
    }

    /// The tensor that the operation writes.
    pub fn output(&self) -> Role {
        match self.operation {
            Operation::Forward => Role::Output,
            Operation::InputGradient => Role::InputGradient,
            Operation::WeightGradient => Role::WeightGradient,
            Operation::BiasGradient => Role::BiasGradient,
        }
    }

    /// Whether another plan runs the same shaders over the same parts of the same tensors.
    pub fn same_dispatches(&self, other: &Plan) -> bool {
        self.program == other.program
    }

    /// Names and WGSL texts of the shaders, specialised, each once.
    pub fn shaders(&self) -> Result<Vec<(&'static str, String)>> {
        let mut shaders: Vec<(&'static str, String)> = Vec::new();
        for step in &self.program.steps {
            let text = crate::shader::specialise(&step.shader)?;
            if !shaders.iter().any(|(_, known)| *known == text) {
                shaders.push((step.shader.source.name, text));
            }
        }
        Ok(shaders)
    }
}

impl Conv1d {
    /// Plans an operation for an input `[N, C_in, L]` or `[C_in, L]`.
    pub fn plan(&self, operation: Operation, input: impl AsRef<[usize]>, caps: &Caps) -> Result<Plan> {
        Plan::new(self, operation, input, caps, &PlanOptions::default())
    }
}

impl Fused {
    /// Plans an operation for an input `[N, C_in, L]` or `[C_in, L]`.
    pub fn plan(&self, operation: Operation, input: impl AsRef<[usize]>, caps: &Caps) -> Result<Plan> {
        Plan::new(self, operation, input, caps, &PlanOptions::default())
    }
}

impl ConvTranspose1d {
    /// Plans an operation for an input `[N, C_in, L]` or `[C_in, L]`.
    pub fn plan(&self, operation: Operation, input: impl AsRef<[usize]>, caps: &Caps) -> Result<Plan> {
        Plan::new(self, operation, input, caps, &PlanOptions::default())
    }
}

/// Names of the kernels.
pub fn kernels() -> Vec<&'static str> {
    KERNELS.iter().map(|k| k.name()).collect()
}

/// Sizes that follow from the geometry and are not the size of any tensor.
fn check_derived_sizes(g: &Geometry) -> Result<()> {
    let phases = u64::from(g.stride.min(g.wide.length));
    if phases > MAX_PHASES {
        return Err(Error::TooLarge { what: "number of stride phases", value: phases, limit: MAX_PHASES });
    }
    if g.extension.mode.reads_input() {
        let border = (g.pad_left + g.pad_right) as usize;
        elements("elements of the padding", &[g.batch.max(1) as usize, g.wide.channels as usize, border])?;
    }
    Ok(())
}

fn no_kernel() -> Error {
    Error::Unsupported { kernel: "none", reason: "no kernel supports this operation".into() }
}

/// The kernels, and the tile where one is named, that a choice such as `direct` or `direct/4x4` leaves.
fn allowed(choice: Option<&str>) -> Result<(Vec<&'static dyn Kernel>, Option<String>)> {
    let Some(choice) = choice else { return Ok((KERNELS.to_vec(), None)) };
    let (name, tile) = match choice.split_once('/') {
        Some((name, tile)) => (name, Some(tile.to_owned())),
        None => (choice, None),
    };
    match KERNELS.iter().find(|k| k.name() == name) {
        Some(&kernel) => Ok((vec![kernel], tile)),
        None => Err(Error::UnknownKernel { name: choice.into(), known: kernels().join(", ") }),
    }
}

/// All ways to compute the stage that does the work, the fastest by prediction first.
fn candidates(
    stages: &[Stage],
    (kernels, tile): &(Vec<&'static dyn Kernel>, Option<String>),
    caps: &Caps,
) -> Result<Vec<Candidate>> {
    let Some(main) = stages.first() else { return Err(no_kernel()) };
    // What cannot be cut cannot be planned either, and is told there.
    let parts = parts(main, caps.max_window()).unwrap_or_else(|_| vec![(main.clone(), 1)]);
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for kernel in kernels {
        match kernel.tiles(main, caps) {
            Ok(tiles) => {
                let known: Vec<String> = tiles.iter().map(Tile::to_string).collect();
                for t in tiles.into_iter().filter(|t| tile.as_ref().is_none_or(|name| *name == t.to_string())) {
                    let choice = Choice { kernel: kernel.name(), tile: t };
                    let predicted = parts.iter().map(|(part, count)| (kernel.predict(part, t, caps), *count));
                    let predicted = Prediction::of_all(predicted);
                    candidates.push(Candidate { choice, predicted, measured: None, refused: None });
                }
                reasons.push((kernel.name(), format!("its tiles are {}", known.join(", "))));
            }
            Err(reason) => reasons.push((kernel.name(), reason)),
        }
    }
    if candidates.is_empty() {
        return Err(match reasons.into_iter().next() {
            Some((kernel, reason)) => Error::Unsupported { kernel, reason },
            None => no_kernel(),
        });
    }
    candidates.sort_by(|a, b| a.predicted.seconds().total_cmp(&b.predicted.seconds()));
    Ok(candidates)
}

/// The program of all stages with the chosen kernel; stages after the first in the kernel's own fastest tile.
fn emit(stages: &[Stage], choice: Choice, caps: &Caps, options: &PlanOptions) -> Result<Program> {
    let kernel = KERNELS.iter().find(|k| k.name() == choice.kernel).ok_or_else(no_kernel)?;
    let mut builder = Builder::new(caps, options.workspace_bytes);
    reserve_border(stages, &mut builder)?;
    for (index, stage) in stages.iter().enumerate() {
        if let Stage::Fold(fold) = stage {
            emit_fold(fold, &mut builder)?;
            continue;
        }
        let tile = if index == 0 {
            choice.tile
        } else {
            let tiles =
                kernel.tiles(stage, caps).map_err(|reason| Error::Unsupported { kernel: choice.kernel, reason })?;
            let seconds = |tile: Tile| kernel.predict(stage, tile, caps).seconds();
            let fastest = tiles.into_iter().min_by(|&a, &b| seconds(a).total_cmp(&seconds(b)));
            fastest.unwrap_or(choice.tile)
        };
        kernel.emit(stage, tile, &mut builder)?;
    }
    Ok(builder.program)
}

/// The gradient of the padding lives across stages; kernels share what it leaves of the workspace.
fn reserve_border(stages: &[Stage], builder: &mut Builder<'_>) -> Result<()> {
    for stage in stages {
        if let Stage::Correlate(c) = stage
            && let Operand::Slot(slot) = c.output
        {
            let elements = u64::from(c.batch) * u64::from(c.groups) * u64::from(c.rows) * u64::from(c.out_length);
            builder.reserve(slot, elements)?;
        }
    }
    Ok(())
}
