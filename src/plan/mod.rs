//! Planning: which kernel and tile compute an operation, in how many dispatches, with how much workspace, and why.
//!
//! A [`Plan`] is a pure value: made from numbers, without a device, and comparable.

mod explain;
mod tuning;

pub use tuning::{TunedOn, Tuning};

use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::geometry::{Conv1d, ConvTranspose1d, Fused, Geometry, Layer, Operation, Residual, Shapes, elements};
use crate::kernels::order::Order;
use crate::kernels::program::{Builder, Program, Required, WeightLayout};
use crate::kernels::{CONTRACT, CORRELATE, Kernel, Prediction, SUM_ROWS, Sliced, Tile, Variant, emit_fold};
use crate::lowering::{Operand, Problem, Role, lower};
use std::fmt;
use std::sync::Arc;

/// Default limit of the workspace of a plan, in bytes.
pub const DEFAULT_WORKSPACE_BYTES: u64 = 256 << 20;

/// Most stride phases: their table must fit a binding of 128 MiB.
const MAX_PHASES: u64 = 1 << 22;

/// The name of a variant: a kernel in one configuration, such as `window/16x7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VariantName {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Name of the configuration.
    pub tile: Tile,
}

impl fmt::Display for VariantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kernel, self.tile)
    }
}

/// Options of the planner.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlanOptions {
    /// Only this kernel: `direct`, or `direct/4x4` for one of its variants. [`kernels`] lists them.
    pub kernel: Option<String>,
    /// Limit of the workspace, in bytes.
    pub workspace_bytes: u64,
    /// Measured times; without them, predictions decide.
    pub tuning: Option<Arc<Tuning>>,
    /// The layout of the packed weight that the operation reads in place of the weight.
    pub packed: Option<Arc<WeightLayout>>,
    /// The order in which the terms of each element are added: [`Plan::order`] of another plan.
    pub order: Option<Order>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions { kernel: None, workspace_bytes: DEFAULT_WORKSPACE_BYTES, tuning: None, packed: None, order: None }
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

    /// Chooses the fastest of the measured candidates.
    #[must_use]
    pub fn tuning(self, tuning: impl Into<Arc<Tuning>>) -> Self {
        PlanOptions { tuning: Some(tuning.into()), ..self }
    }
}

impl PlanOptions {
    /// Only variants that read a packed weight of this layout: [`PackedWeight::layout`](crate::PackedWeight::layout).
    #[must_use]
    pub fn packed(self, layout: impl Into<Arc<WeightLayout>>) -> Self {
        PlanOptions { packed: Some(layout.into()), ..self }
    }
}

impl PlanOptions {
    /// Only variants that add the terms of each element in this order, so that equal elements have equal bits.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        PlanOptions { order: Some(order), ..self }
    }
}

/// A variant that the planner considered for an operation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// Name of the variant.
    pub variant: VariantName,
    /// Predicted time.
    pub predicted: Prediction,
    /// Measured time in seconds, if the planner was given one.
    pub measured: Option<f64>,
    /// The reason, if it could not be planned.
    pub refused: Option<Error>,
}

/// How to compute one operation of one layer on one input shape, on devices with given [`Caps`].
///
/// `{plan}` is a summary in one line; `{plan:#}` explains the plan: shapes, the kernel and why it was chosen, dispatches, workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    fused: Fused,
    operation: Operation,
    shapes: Shapes,
    caps: Caps,
    variant: VariantName,
    candidates: Vec<Candidate>,
    key: String,
    /// Whether it reads a packed weight in place of the weight.
    packed: bool,
    pub(crate) program: Program,
}

impl Plan {
    /// Plans `operation` of a layer, with or without an activation and a residual, for an input `[N, C_in, L]` or
    /// `[C_in, L]`.
    pub fn new(
        layer: impl Into<Fused>,
        operation: Operation,
        input: impl AsRef<[usize]>,
        caps: &Caps,
        options: &PlanOptions,
    ) -> Result<Plan> {
        Plan::of(layer.into(), operation, input.as_ref(), caps, options)
    }

    fn of(fused: Fused, operation: Operation, input: &[usize], caps: &Caps, options: &PlanOptions) -> Result<Plan> {
        fused.check()?;
        let (shapes, geometry) = fused.layer.resolve(input)?;
        check_derived_sizes(&geometry)?;
        let name = KernelName::new(options.kernel.as_deref())?;
        let problems = lower(&fused, &geometry, operation);
        let key = tuning::key(fused.layer.is_transposed(), &geometry, operation);
        let mut candidates = candidates(&problems, &name, caps)?;
        if let Some(tuning) = &options.tuning {
            candidates.iter_mut().for_each(|c| c.measured = tuning.seconds(&key, c.variant));
        }
        // Measured candidates come first; the stable sort leaves the others in the order of their predictions.
        candidates.sort_by(|a, b| {
            let time = |c: &Candidate| c.measured.unwrap_or(f64::INFINITY);
            time(a).total_cmp(&time(b))
        });
        let weight = shapes.weight.to_vec();
        if options.packed.is_some() && !operation.reads_weight() {
            return Err(Error::NoWeight { operation: operation.name() });
        }
        let mut planned = None;
        for candidate in &mut candidates {
            let program = emit(&problems, candidate.variant, caps, options).and_then(|program| {
                program.check_packed(options.packed.as_deref(), &weight)?;
                Ok(program)
            });
            match program {
                Ok(program) => {
                    planned = Some((candidate.variant, program));
                    break;
                }
                Err(error) => candidate.refused = Some(error),
            }
        }
        // If nothing can be planned, the error of the best candidate is returned.
        let Some((variant, program)) = planned else {
            return Err(candidates.into_iter().find_map(|c| c.refused).unwrap_or_else(no_kernel));
        };
        Ok(Plan {
            fused,
            operation,
            shapes,
            caps: *caps,
            variant,
            candidates,
            key,
            packed: options.packed.is_some(),
            program,
        })
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

    /// The variant that does nearly all of the work.
    pub fn variant(&self) -> VariantName {
        self.variant
    }

    /// Key of the measured times of this operation in a [`Tuning`].
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// All candidates: the measured ones first, by measured time, then the others by predicted time; the fastest first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Number of dispatches.
    pub fn dispatches(&self) -> usize {
        self.program.dispatches.len()
    }

    /// Multiply-adds of all dispatches, including those with padding that the kernel multiplies out. The empty parts of tiles
    /// do not count.
    pub fn multiply_adds(&self) -> u64 {
        self.program.multiply_adds
    }

    /// The order in which the terms of each element of the output are added. Plans of equal order give equal bits for equal
    /// elements. `None` if the order differs between elements: if terms that meet no sample are left out, if elements are cut
    /// into different parts, and for the input gradient of padding that copies samples.
    pub fn order(&self) -> Option<&Order> {
        self.program.order.as_ref()
    }

    /// The chain of the sums: the most additions that a term passes through. Results keep the bound
    /// `gamma(chain + 1) * (sum of the magnitudes of the terms)`, see [`reference`](crate::reference). In a gradient through an activation
    /// each term is rounded twice more: `gamma(chain + 3)`.
    ///
    /// The chain of a weight or bias gradient is at most `longest_chain` of the number of positions
    /// ([`reference::longest_chain`](crate::reference::longest_chain)). The chain of an output or input gradient is the number of its
    /// terms.
    pub fn chain(&self) -> u64 {
        self.program.chain
    }

    /// Bytes of workspace.
    pub fn workspace_bytes(&self) -> u64 {
        self.program.workspace_bytes()
    }

    /// The layout of the weight that the kernel reads, whether it is packed on each run or once
    /// ([`PackedWeight`](crate::PackedWeight)). `None` for an operation that reads no weight.
    pub fn weight_layout(&self) -> Option<WeightLayout> {
        let layout = || WeightLayout { shape: self.shapes.weight.to_vec(), parts: self.program.packed.clone() };
        self.operation.reads_weight().then(layout)
    }

    /// Whether it reads a packed weight in place of the weight: [`PlanOptions::packed`].
    pub fn reads_packed_weight(&self) -> bool {
        self.packed
    }

    /// Roles of the tensors that the operation reads. [`Role::Bias`] is optional. A packed weight is not among them.
    ///
    /// Gradients through an activation read the tensor that the forward pass saved: [`Role::PreActivation`] if
    /// [`Fused::saves_pre_activation`], else [`Role::Output`].
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
        roles.retain(|&role| role != Role::Weight || !self.packed);
        roles
    }

    /// A second tensor, which the operation writes if a buffer is given for it: [`Role::PreActivation`] of a forward pass whose
    /// gradients need it ([`Fused::saves_pre_activation`]).
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

/// Names of all kernels.
pub fn kernels() -> Vec<&'static str> {
    crate::kernels::names()
}

/// Checks sizes that follow from the geometry but are not the size of any tensor.
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

/// A parsed name such as `direct` (a kernel) or `direct/4x4` (one of its variants).
struct KernelName<'a> {
    kernel: Option<&'a str>,
    tile: Option<&'a str>,
}

impl<'a> KernelName<'a> {
    fn new(name: Option<&'a str>) -> Result<Self> {
        let Some(name) = name else { return Ok(KernelName { kernel: None, tile: None }) };
        let (kernel, tile) = match name.split_once('/') {
            Some((kernel, tile)) => (kernel, Some(tile)),
            None => (name, None),
        };
        if !kernels().contains(&kernel) {
            return Err(Error::UnknownKernel { name: name.into(), known: kernels().join(", ") });
        }
        Ok(KernelName { kernel: Some(kernel), tile })
    }
}

/// The variants that a kernel has for a problem, with their predictions; or why it has none.
type Offer = (&'static str, Result<Vec<(Tile, Prediction)>, String>);

/// All variants that can compute the first problem, which does nearly all of the work; the fastest by prediction first.
fn candidates(problems: &[Problem], name: &KernelName<'_>, caps: &Caps) -> Result<Vec<Candidate>> {
    let (offers, outputs) = match problems.first() {
        Some(Problem::Correlate(c)) => (offers(CORRELATE, c, name, caps), "outputs and input gradients"),
        Some(Problem::Contract(c)) => (offers(CONTRACT, c, name, caps), "weight gradients"),
        Some(Problem::SumRows(s)) => (offers(SUM_ROWS, s, name, caps), "bias gradients"),
        Some(Problem::Fold(_)) | None => return Err(no_kernel()),
    };
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for (kernel, offer) in offers {
        let variants = match offer {
            Ok(variants) => variants,
            Err(reason) => {
                reasons.push((kernel, reason));
                continue;
            }
        };
        let known: Vec<String> = variants.iter().map(|(tile, _)| tile.to_string()).collect();
        for ((tile, predicted), known) in variants.into_iter().zip(&known) {
            if name.tile.is_none_or(|tile| tile == known) {
                let variant = VariantName { kernel, tile };
                candidates.push(Candidate { variant, predicted, measured: None, refused: None });
            }
        }
        reasons.push((kernel, format!("its variants are {}", known.join(", "))));
    }
    if candidates.is_empty() {
        let known = |kernel| crate::kernels::names().into_iter().find(|known| *known == kernel);
        return Err(match (reasons.into_iter().next(), name.kernel.and_then(known)) {
            (Some((kernel, reason)), _) => Error::Unsupported { kernel, reason },
            (None, Some(kernel)) => Error::Unsupported { kernel, reason: format!("it does not compute {outputs}") },
            (None, None) => no_kernel(),
        });
    }
    add_others(&mut candidates, problems, caps);
    candidates.sort_by(|a, b| a.predicted.seconds().total_cmp(&b.predicted.seconds()));
    Ok(candidates)
}

fn offers<P: Sliced>(
    kernels: &[&'static dyn Kernel<P>],
    problem: &P,
    name: &KernelName<'_>,
    caps: &Caps,
) -> Vec<Offer> {
    let predict = |variant: &dyn Variant<P>| predicted(problem, variant, caps);
    let named = kernels.iter().filter(|k| name.kernel.is_none_or(|kernel| k.name() == kernel));
    let offer = |kernel: &&'static dyn Kernel<P>| {
        let variants = kernel.variants(problem, caps);
        (kernel.name(), variants.map(|all| all.iter().map(|v| (v.tile(), predict(&**v))).collect()))
    };
    named.map(offer).collect()
}

/// The predicted time of a variant for a problem, in the slices that fit the device's bindings.
fn predicted<P: Sliced>(problem: &P, variant: &dyn Variant<P>, caps: &Caps) -> Prediction {
    // A problem that cannot be sliced cannot be planned either; emitting it returns the reason.
    let parts = problem.parts(caps.max_range()).unwrap_or_else(|_| vec![(problem.clone(), 1)]);
    Prediction::of_all(parts.iter().map(|(part, count)| (variant.predict(part, caps), *count)).collect())
}

/// Adds to each candidate the time of the other correlations, which its kernel computes in its fastest variant: the input gradient of
/// padding that copies samples has one for the border.
fn add_others(candidates: &mut [Candidate], problems: &[Problem], caps: &Caps) {
    for problem in problems.iter().skip(1) {
        let Problem::Correlate(c) = problem else { continue };
        for kernel in CORRELATE {
            let Ok(variants) = kernel.variants(c, caps) else { continue };
            let times = variants.iter().map(|variant| predicted(c, &**variant, caps));
            let Some(fastest) = times.min_by(|a, b| a.seconds().total_cmp(&b.seconds())) else { continue };
            for candidate in candidates.iter_mut().filter(|candidate| candidate.variant.kernel == kernel.name()) {
                candidate.predicted.packing += fastest.seconds() - fastest.launches;
                candidate.predicted.launches += fastest.launches;
            }
        }
    }
}

/// The program of all problems with the chosen kernel: the first in the chosen variant, the others in the fastest by prediction.
fn emit(problems: &[Problem], chosen: VariantName, caps: &Caps, options: &PlanOptions) -> Result<Program> {
    let required = Required { packed: options.packed.as_deref(), order: options.order.as_ref() };
    let mut builder = Builder::new(caps, options.workspace_bytes, required);
    reserve_border(problems, &mut builder)?;
    for (index, problem) in problems.iter().enumerate() {
        let tile = (index == 0).then_some(chosen.tile);
        match problem {
            Problem::Correlate(c) => emit_problem(CORRELATE, c, chosen.kernel, tile, &mut builder)?,
            Problem::Contract(c) => emit_problem(CONTRACT, c, chosen.kernel, tile, &mut builder)?,
            Problem::SumRows(s) => emit_problem(SUM_ROWS, s, chosen.kernel, tile, &mut builder)?,
            Problem::Fold(fold) => emit_fold(fold, &mut builder)?,
        }
    }
    let mut program = builder.program;
    program.chain += problems.iter().map(plain_chain).sum::<u64>();
    // No order covers a fold: it adds the gradient of copied padding to some elements only.
    let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
    let covered = |order: &Order| match problems {
        [Problem::Correlate(c)] => order.covers(product(c.depth, c.max_taps())),
        [Problem::Contract(c)] => order.covers(product(c.batch, c.positions)),
        [Problem::SumRows(s)] => order.covers(product(s.batch, s.length)),
        _ => false,
    };
    let unordered = program.unordered;
    program.order = program.order.filter(|order| !unordered && covered(order));
    match &options.order {
        Some(wanted) if program.order.as_ref() != Some(wanted) => Err(Error::Order {
            wanted: wanted.to_string(),
            got: program.order.map_or_else(|| "no common order of all elements".to_owned(), |order| order.to_string()),
        }),
        _ => Ok(program),
    }
}

/// The chain of a problem whose terms are added in any order. Sums over positions count their own.
fn plain_chain(problem: &Problem) -> u64 {
    match problem {
        Problem::Correlate(c) => {
            u64::from(c.depth) * u64::from(c.max_taps()) + u64::from(c.epilogue.residual == Residual::BeforeActivation)
        }
        Problem::Fold(fold) => fold.terms.into(),
        Problem::Contract(_) | Problem::SumRows(_) => 0,
    }
}

/// Emits a problem with the variant of a kernel that has this tile or, without a tile, the fastest by prediction.
fn emit_problem<P: Sliced>(
    kernels: &[&'static dyn Kernel<P>],
    problem: &P,
    kernel: &'static str,
    tile: Option<Tile>,
    builder: &mut Builder<'_>,
) -> Result<()> {
    let found = kernels.iter().find(|k| k.name() == kernel).ok_or_else(no_kernel)?;
    let caps = builder.caps;
    let variants = found.variants(problem, caps).map_err(|reason| Error::Unsupported { kernel, reason })?;
    let seconds = |v: &dyn Variant<P>| v.predict(problem, caps).seconds();
    let mut all = variants.iter().map(|v| &**v);
    let variant = match tile {
        Some(tile) => all.find(|v| v.tile() == tile),
        None => all.min_by(|&a, &b| seconds(a).total_cmp(&seconds(b))),
    };
    let variant = variant.ok_or_else(no_kernel)?;
    if let Some(one) = problem.with_an_item() {
        // An empty batch has no dispatch, but the same packed weight and order as any other batch.
        let mut scratch = builder.scratch();
        if variant.emit(&one, &mut scratch).is_ok() {
            builder.program.packed = scratch.program.packed;
            builder.program.order = scratch.program.order;
        }
        return Ok(());
    }
    let before = builder.program.dispatches.len();
    variant.emit(problem, builder)?;
    if builder.program.dispatches.len() == before {
        return Err(Error::Unsupported { kernel, reason: "it has no dispatch for this problem".into() });
    }
    Ok(())
}

/// Reserves workspace for the gradient of the padding, which several problems share; kernels use the rest.
fn reserve_border(problems: &[Problem], builder: &mut Builder<'_>) -> Result<()> {
    for problem in problems {
        if let Problem::Correlate(c) = problem
            && let Operand::Slot(slot) = c.output
        {
            let elements = u64::from(c.batch) * u64::from(c.groups) * u64::from(c.rows) * u64::from(c.out_length);
            builder.reserve(slot, elements)?;
        }
    }
    Ok(())
}
