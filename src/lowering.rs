//! Lowers an operation to problems: contractions in which every operand index is an affine function.
//!
//! Six operations become two contractions. *Correlate* is the forward pass and, by stride phases, the input gradient, which is
//! also the transposed convolution. *Contract over positions* is the weight gradient. The bias gradient is a plain sum. Padding
//! that copies input samples adds a fold of the border to the input gradient.

use crate::geometry::{Activation, Extension, Fused, Geometry, Operation, PaddingMode, Residual, Shapes};

/// A tensor of an operation, by its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// The input `x`.
    Input,
    /// The weight `w`.
    Weight,
    /// The bias `b`.
    Bias,
    /// The output `y`.
    Output,
    /// The gradient `dy` with respect to the output.
    OutputGradient,
    /// The gradient `dx` with respect to the input.
    InputGradient,
    /// The gradient `dw` with respect to the weight.
    WeightGradient,
    /// The gradient `db` with respect to the bias.
    BiasGradient,
    /// The residual, which is added before or after the activation; shape of the output.
    Residual,
    /// The input of the activation: the sum, plus a residual that is added before the activation; shape of the output.
    PreActivation,
}

impl Role {
    /// Name in lower case with the article, such as `the input`.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Input => "the input",
            Role::Weight => "the weight",
            Role::Bias => "the bias",
            Role::Output => "the output",
            Role::OutputGradient => "the output gradient",
            Role::InputGradient => "the input gradient",
            Role::WeightGradient => "the weight gradient",
            Role::BiasGradient => "the bias gradient",
            Role::Residual => "the residual",
            Role::PreActivation => "the pre-activation",
        }
    }

    /// Shape of the tensor in `shapes`.
    pub fn shape(self, shapes: &Shapes) -> &[usize] {
        match self {
            Role::Input | Role::InputGradient => &shapes.input,
            Role::Weight | Role::WeightGradient => &shapes.weight,
            Role::Bias | Role::BiasGradient => &shapes.bias,
            Role::Output | Role::OutputGradient | Role::Residual | Role::PreActivation => &shapes.output,
        }
    }
}

/// A part of a plan's workspace: a buffer of elements, or a texture of four elements a texel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// Input gradient of the padding: `[N, C_in, pad_left + pad_right]`.
    Border,
    /// Columns of a slice (im2col).
    Columns,
    /// The weight in the order in which a kernel reads it.
    Packed,
    /// Partial sums of a reduction.
    Partials,
    /// A texture of the input or the wide side, extended by its padding.
    InputTexels,
    /// A texture of the other factor: the weight or the narrow side.
    FactorTexels,
}

impl Slot {
    pub(crate) const ALL: [Slot; 6] =
        [Slot::Border, Slot::Columns, Slot::Packed, Slot::Partials, Slot::InputTexels, Slot::FactorTexels];

    /// Whether the slot is a texture; otherwise it is a buffer.
    pub(crate) const fn is_texture(self) -> bool {
        matches!(self, Slot::InputTexels | Slot::FactorTexels)
    }

    /// Bytes of an element of the buffer, or of a texel.
    pub(crate) const fn element_bytes(self) -> u64 {
        if self.is_texture() { 16 } else { 4 }
    }
}

/// The memory of an operand: a tensor of the caller, or a slot of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    Role(Role),
    Slot(Slot),
}

/// The weight, which every correlation reads.
pub(crate) const WEIGHT: Operand = Operand::Role(Role::Weight);

/// A tensor that is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Read {
    pub(crate) operand: Operand,
    /// The activation by whose derivative each element is multiplied.
    pub(crate) activated: Option<Activated>,
}

impl From<Role> for Read {
    fn from(role: Role) -> Self {
        Read { operand: Operand::Role(role), activated: None }
    }
}

/// An activation through which a gradient is propagated back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Activated {
    pub(crate) activation: Activation,
    /// The tensor at which the derivative is taken: [`Role::Output`] or [`Role::PreActivation`].
    pub(crate) saved: Role,
}

/// The operations on a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Epilogue {
    pub(crate) activation: Activation,
    pub(crate) residual: Residual,
    /// Whether the caller may have the pre-activation stored.
    pub(crate) pre_activation: bool,
}

/// Outputs that use the same taps: every `out_step`-th position of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Position of the first output in its row.
    pub(crate) out_first: u32,
    /// Number of outputs.
    pub(crate) count: u32,
    /// Input position that the first output reads at the first tap.
    pub(crate) in_first: i32,
    /// Index of the first tap in the kernel.
    pub(crate) tap_first: u32,
    /// Number of taps; may be 0.
    pub(crate) taps: u32,
}

/// `out[n, g*rows + r, out_first + j*out_step] = bias[g*rows + r] + sum over q < depth, t < taps of
/// w[g*w_group + r*w_row + q*w_depth + tap_first + t*tap_stride] * in[n, g*depth + q, in_first + j*in_step + t*tap_step]`
/// for every phase.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Correlate {
    pub(crate) input: Read,
    pub(crate) output: Operand,
    /// Whether the operation takes a bias (the caller may still leave it out).
    pub(crate) bias: bool,
    pub(crate) batch: u32,
    pub(crate) groups: u32,
    pub(crate) rows: u32,
    pub(crate) depth: u32,
    pub(crate) in_length: u32,
    pub(crate) out_length: u32,
    pub(crate) out_step: u32,
    pub(crate) in_step: i32,
    pub(crate) tap_step: i32,
    pub(crate) tap_stride: u32,
    pub(crate) w_group: u32,
    pub(crate) w_row: u32,
    pub(crate) w_depth: u32,
    pub(crate) kernel: u32,
    pub(crate) phases: Vec<Phase>,
    /// The samples beyond the ends of an input row.
    pub(crate) extension: Extension,
    pub(crate) epilogue: Epilogue,
}

impl Correlate {
    /// First element of an input row.
    pub(crate) fn input_row(&self, n: u32, g: u32, q: u32) -> u64 {
        row_at([self.groups, self.depth, self.in_length], n, g, q)
    }

    /// First element of an output row.
    pub(crate) fn output_row(&self, n: u32, g: u32, r: u32) -> u64 {
        row_at([self.groups, self.rows, self.out_length], n, g, r)
    }

    /// Index of the first weight of a group, an output row and an input row.
    pub(crate) fn weight_at(&self, g: u32, r: u32, q: u32) -> u64 {
        u64::from(g) * u64::from(self.w_group)
            + u64::from(r) * u64::from(self.w_row)
            + u64::from(q) * u64::from(self.w_depth)
    }

    /// Number of outputs of the longest phase.
    pub(crate) fn positions(&self) -> u32 {
        self.phases.iter().map(|p| p.count).max().unwrap_or(0)
    }

    /// Number of taps of the phase with the most taps.
    pub(crate) fn max_taps(&self) -> u32 {
        self.phases.iter().map(|p| p.taps).max().unwrap_or(0)
    }

    /// Maximum number of taps of a phase that read a sample inside the input row, for at least one of a set of outputs. `reach` is the
    /// distance between the first and last position that these outputs read at one tap. All taps of the phase unless that omits at least
    /// half of them and the padding is zeros.
    pub(crate) fn meeting_taps(&self, phase: &Phase, reach: u64) -> u32 {
        let span = u64::from(self.in_length.saturating_sub(1)) + reach;
        self.extension.meeting(span, self.tap_step.unsigned_abs(), phase.taps)
    }

    /// The problem with a range of the taps of each phase, counted from the phase's first tap.
    pub(crate) fn with_taps(&self, taps: std::ops::Range<u32>) -> Correlate {
        let cut = |phase: &Phase| {
            let first = taps.start.min(phase.taps);
            Phase {
                in_first: phase.in_first + first as i32 * self.tap_step,
                tap_first: phase.tap_first + first * self.tap_stride,
                taps: phase.taps.min(taps.end) - first,
                ..*phase
            }
        };
        Correlate { phases: self.phases.iter().map(cut).collect(), ..self.clone() }
    }

    /// Elements of the input, the weight and the output.
    pub(crate) fn elements(&self) -> [f64; 3] {
        let count = |numbers: &[u32]| numbers.iter().map(|&number| f64::from(number)).product::<f64>();
        let outputs: f64 = self.phases.iter().map(|p| f64::from(p.count)).sum();
        [
            count(&[self.batch, self.groups, self.depth, self.in_length]),
            count(&[self.groups, self.rows, self.depth, self.kernel]),
            count(&[self.batch, self.groups, self.rows]) * outputs,
        ]
    }

    /// Samples of an input channel that `positions` neighbouring positions read. Positions beyond a row are those of the next batch item.
    pub(crate) fn samples_of(&self, positions: f64) -> f64 {
        let row = f64::from(self.positions().max(1));
        if positions > row {
            return positions / row * self.samples_of(row);
        }
        let taps = self.mean_taps();
        let reach = (taps - 1.0).max(0.0) * f64::from(self.tap_step.unsigned_abs());
        let covered = positions * f64::from(self.in_step.unsigned_abs()) + reach;
        covered.min(positions * taps).min(f64::from(self.in_length))
    }

    /// Elements of the weight in the sectors of 8 elements that hold the weights of an output row, for each of these weights.
    pub(crate) fn weight_spread(&self) -> f64 {
        let taps = self.mean_taps().max(1.0);
        // The taps of an input row are adjacent, or `tap_stride` apart; those of the next follow where the kernel is a row.
        let adjacent = self.tap_stride == 1 && self.w_depth == self.kernel;
        match adjacent {
            true => 1.0,
            false => (taps * f64::from(self.tap_stride) / 8.0).ceil().min(taps) * 8.0 / taps,
        }
    }

    /// Mean taps of a phase.
    pub(crate) fn mean_taps(&self) -> f64 {
        let taps: f64 = self.phases.iter().map(|p| f64::from(p.taps)).sum();
        taps / self.phases.len().max(1) as f64
    }

    /// Multiply-adds.
    pub(crate) fn work(&self) -> f64 {
        let taps: f64 = self.phases.iter().map(|p| f64::from(p.count) * f64::from(p.taps)).sum();
        taps * f64::from(self.batch) * f64::from(self.groups) * f64::from(self.rows) * f64::from(self.depth)
    }
}

/// `out[g, r, q, t] = sum over n, j < positions of narrow[n, g*rows + r, j] * wide[n, g*depth + q, first + j*stride +
/// t*dilation]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contract {
    pub(crate) narrow: Read,
    pub(crate) wide: Read,
    pub(crate) batch: u32,
    pub(crate) groups: u32,
    pub(crate) rows: u32,
    pub(crate) depth: u32,
    pub(crate) taps: u32,
    /// Length of a row of `narrow`.
    pub(crate) positions: u32,
    pub(crate) wide_length: u32,
    pub(crate) first: i32,
    pub(crate) stride: u32,
    pub(crate) dilation: u32,
    /// The samples beyond the ends of a wide row.
    pub(crate) extension: Extension,
}

impl Contract {
    /// First element of a narrow row.
    pub(crate) fn narrow_row(&self, n: u32, g: u32, r: u32) -> u64 {
        row_at([self.groups, self.rows, self.positions], n, g, r)
    }

    /// First element of a wide row.
    pub(crate) fn wide_row(&self, n: u32, g: u32, q: u32) -> u64 {
        row_at([self.groups, self.depth, self.wide_length], n, g, q)
    }

    /// Maximum number of positions at which at least one of `taps` neighbouring taps reads a sample inside a wide row. All positions
    /// unless that omits at least half of them and the padding is zeros.
    pub(crate) fn meeting_positions(&self, taps: u32) -> u32 {
        let reach = u64::from(taps.max(1) - 1) * u64::from(self.dilation);
        self.extension.meeting(u64::from(self.wide_length.saturating_sub(1)) + reach, self.stride, self.positions)
    }

    /// Terms of an output.
    pub(crate) fn terms(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.positions)
    }

    /// Elements of the narrow side, the wide side and the output.
    pub(crate) fn elements(&self) -> [f64; 3] {
        let count = |numbers: &[u32]| numbers.iter().map(|&number| f64::from(number)).product::<f64>();
        [
            count(&[self.batch, self.groups, self.rows, self.positions]),
            count(&[self.batch, self.groups, self.depth, self.wide_length]),
            count(&[self.groups, self.rows, self.depth, self.taps]),
        ]
    }

    /// Multiply-adds.
    pub(crate) fn work(&self) -> f64 {
        self.terms() as f64
            * f64::from(self.groups)
            * f64::from(self.rows)
            * f64::from(self.depth)
            * f64::from(self.taps)
    }
}

/// `out[c] = sum over n, i of rows[n, c, i]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SumRows {
    pub(crate) input: Read,
    pub(crate) batch: u32,
    pub(crate) channels: u32,
    pub(crate) length: u32,
}

/// `dx[n, c, first + i] += sum over e < terms of border[n, c, border_first + i*border_step + e*term_step]` for `i < count`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fold {
    pub(crate) rows: u32,
    pub(crate) length: u32,
    pub(crate) border_length: u32,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) border_first: u32,
    pub(crate) border_step: i32,
    pub(crate) terms: u32,
    pub(crate) term_step: u32,
}

/// A problem of an operation. The problems of an operation run one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    Correlate(Correlate),
    Contract(Contract),
    SumRows(SumRows),
    Fold(Fold),
}

impl Fused {
    /// The tensor of the forward pass that the gradients need, if any.
    pub(crate) fn saved(&self) -> Option<Role> {
        match self.activation {
            Activation::Identity => None,
            _ if self.saves_pre_activation() => Some(Role::PreActivation),
            _ => Some(Role::Output),
        }
    }

    /// `dy` times the derivative of the activation: the gradient with respect to the input of the activation.
    fn output_gradient(&self) -> Read {
        let activated = self.saved().map(|saved| Activated { activation: self.activation, saved });
        Read { operand: Operand::Role(Role::OutputGradient), activated }
    }

    fn epilogue(&self) -> Epilogue {
        let Fused { activation, residual, .. } = *self;
        Epilogue { activation, residual, pre_activation: self.saves_pre_activation() }
    }
}

/// The problems of an operation, in the order in which they run. The first does nearly all the work.
pub(crate) fn lower(fused: &Fused, geometry: &Geometry, operation: Operation) -> Vec<Problem> {
    let g = geometry;
    let (x, dy) = (Read::from(Role::Input), fused.output_gradient());
    let forward = |correlate| Correlate { bias: true, epilogue: fused.epilogue(), ..correlate };
    match (operation, fused.layer.is_transposed()) {
        (Operation::Forward, false) => vec![Problem::Correlate(forward(gather(g, x, Role::Output)))],
        (Operation::Forward, true) => vec![Problem::Correlate(forward(spread(g, x, Role::Output)))],
        (Operation::InputGradient, true) => vec![Problem::Correlate(gather(g, dy, Role::InputGradient))],
        (Operation::InputGradient, false) => {
            let mut problems = vec![Problem::Correlate(spread(g, dy, Role::InputGradient))];
            if g.extension.mode.reads_input() && g.pad_left + g.pad_right > 0 && g.batch > 0 {
                problems.extend(spread_to_border(g, dy).into_iter().map(Problem::Correlate));
                problems.extend(folds(g).into_iter().map(Problem::Fold));
            }
            problems
        }
        (Operation::WeightGradient, false) => vec![Problem::Contract(contract(g, dy, x))],
        (Operation::WeightGradient, true) => vec![Problem::Contract(contract(g, x, dy))],
        (Operation::BiasGradient, transposed) => {
            let side = if transposed { g.wide } else { g.narrow };
            vec![Problem::SumRows(SumRows { input: dy, batch: g.batch, channels: side.channels, length: side.length })]
        }
    }
}

/// Wide to narrow: one phase, every tap.
fn gather(g: &Geometry, input: Read, output: Role) -> Correlate {
    let (rows, depth) = (g.narrow.channels / g.groups, g.wide.channels / g.groups);
    Correlate {
        input,
        output: Operand::Role(output),
        bias: false,
        batch: g.batch,
        groups: g.groups,
        rows,
        depth,
        in_length: g.wide.length,
        out_length: g.narrow.length,
        out_step: 1,
        in_step: g.stride as i32,
        tap_step: g.dilation as i32,
        tap_stride: 1,
        w_group: rows * depth * g.kernel,
        w_row: depth * g.kernel,
        w_depth: g.kernel,
        kernel: g.kernel,
        phases: vec![Phase {
            out_first: 0,
            count: g.narrow.length,
            in_first: -(g.pad_left as i32),
            tap_first: 0,
            taps: g.kernel,
        }],
        extension: g.extension,
        epilogue: Epilogue::default(),
    }
}

/// Narrow to wide: wide samples with the same residue of `position + pad_left` modulo the stride are one phase.
fn spread(g: &Geometry, input: Read, output: Role) -> Correlate {
    let phases = spread_phases(g, 0, g.wide.length, 0);
    spread_over(g, input, Operand::Role(output), g.wide.length, phases)
}

/// The input gradient of the padding, as if the padding were input: one correlation for each side with padding. The two sides read
/// distant parts of the gradient, so a common correlation could not be cut to fit one binding.
fn spread_to_border(g: &Geometry, input: Read) -> Vec<Correlate> {
    let output = Operand::Slot(Slot::Border);
    let sides = [(-i64::from(g.pad_left), g.pad_left, 0), (i64::from(g.wide.length), g.pad_right, g.pad_left)];
    let side = |(start, length, out_first)| {
        let phases = spread_phases(g, start, length, out_first);
        spread_over(g, input, output, g.pad_left + g.pad_right, phases)
    };
    sides.into_iter().filter(|&(_, length, _)| length > 0).map(side).collect()
}

fn spread_over(g: &Geometry, input: Read, output: Operand, out_length: u32, phases: Vec<Phase>) -> Correlate {
    let common = gcd(g.stride, g.dilation);
    let (rows, depth) = (g.wide.channels / g.groups, g.narrow.channels / g.groups);
    Correlate {
        input,
        output,
        bias: false,
        batch: g.batch,
        groups: g.groups,
        rows,
        depth,
        in_length: g.narrow.length,
        out_length,
        out_step: g.stride,
        in_step: 1,
        tap_step: -((g.dilation / common) as i32),
        tap_stride: g.stride / common,
        w_group: rows * depth * g.kernel,
        w_row: g.kernel,
        w_depth: rows * g.kernel,
        kernel: g.kernel,
        phases,
        extension: Extension::ZEROS,
        epilogue: Epilogue::default(),
    }
}

/// Phases of the wide positions `start .. start + length`, which are written to an output row from position `out_first`.
///
/// Tap `k` contributes narrow sample `i` to position `m` if `i*stride + k*dilation = m + pad_left`, which requires
/// `k*dilation = m + pad_left` modulo the stride. With `c = gcd(stride, dilation)`, no tap satisfies this if `c` does not divide
/// the residue. Otherwise every `stride/c`-th tap does, and each of them reads `dilation/c` narrow samples earlier than the one before.
fn spread_phases(g: &Geometry, start: i64, length: u32, out_first: u32) -> Vec<Phase> {
    let (stride, dilation, pad) = (i64::from(g.stride), i64::from(g.dilation), i64::from(g.pad_left));
    let common = i64::from(gcd(g.stride, g.dilation));
    let tap_stride = stride / common;
    let inverse = inverse(dilation / common % tap_stride, tap_stride);
    (0..length.min(g.stride))
        .map(|offset| {
            let padded = start + i64::from(offset) + pad;
            let residue = padded % stride;
            let tap_first = (residue / common) * inverse % tap_stride;
            let taps = if residue % common != 0 || tap_first >= i64::from(g.kernel) {
                0
            } else {
                (i64::from(g.kernel) - 1 - tap_first) / tap_stride + 1
            };
            let reached = taps > 0;
            Phase {
                out_first: out_first + offset,
                count: (length - 1 - offset) / g.stride + 1,
                in_first: if reached { ((padded - tap_first * dilation) / stride) as i32 } else { 0 },
                tap_first: if reached { tap_first as u32 } else { 0 },
                taps: taps as u32,
            }
        })
        .collect()
}

fn contract(g: &Geometry, narrow: Read, wide: Read) -> Contract {
    Contract {
        narrow,
        wide,
        batch: g.batch,
        groups: g.groups,
        rows: g.narrow.channels / g.groups,
        depth: g.wide.channels / g.groups,
        taps: g.kernel,
        positions: g.narrow.length,
        wide_length: g.wide.length,
        first: -(g.pad_left as i32),
        stride: g.stride,
        dilation: g.dilation,
        extension: g.extension,
    }
}

/// The folds that add the gradient of each border sample to its input sample. Border samples are numbered from the far end of the left
/// border, so that number `pad_left` is the first of the right border.
fn folds(g: &Geometry) -> Vec<Fold> {
    let left = Border { start: -i64::from(g.pad_left), length: g.pad_left, number: 0 };
    let right = Border { start: g.wide.length.into(), length: g.pad_right, number: g.pad_left };
    [left, right].into_iter().filter(|border| border.length > 0).flat_map(|border| border.folds(g)).collect()
}

/// The padding on one side of a row.
struct Border {
    /// Position of its first sample in the padded row.
    start: i64,
    length: u32,
    /// Number of its first sample.
    number: u32,
}

/// A range of places within a period whose samples are consecutive in the row, forwards or backwards.
struct PeriodRange {
    start: i64,
    end: i64,
    /// The sample at the first place, and the sample distance from one place to the next (1 or -1).
    first: i64,
    step: i64,
}

impl Border {
    fn folds(&self, g: &Geometry) -> Vec<Fold> {
        let length = i64::from(g.wide.length);
        let Some(period) = g.extension.period(length) else {
            let sample = if self.start < 0 { 0 } else { g.wide.length - 1 };
            let replicated = g.extension.mode == PaddingMode::Replicate;
            return replicated
                .then(|| self.fold(g, [sample, 1], self.number, 0, [self.length, 1]))
                .into_iter()
                .collect();
        };
        let (start, end) = (self.start, self.start + i64::from(self.length));
        let mut folds = Vec::new();
        for ranges in self.ranges(g.extension.mode, length, period) {
            // The number of repetitions changes at the places where the border begins and ends.
            let within = |position: i64| ranges.start + (position - ranges.start).rem_euclid(period);
            let mut bounds = [ranges.start, within(start), within(end), ranges.end].map(|p| p.min(ranges.end));
            bounds.sort_unstable();
            for part in bounds.windows(2).filter(|part| part[0] < part[1]) {
                let (from, to) = (part[0], part[1]);
                // The first repetition of place `from` inside the border, in periods.
                let first = (start - from).div_euclid(period) + i64::from((start - from).rem_euclid(period) > 0);
                let terms = (end - 1 - from).div_euclid(period) + 1 - first;
                if terms <= 0 {
                    continue;
                }
                let nearest = if ranges.step > 0 { from } else { to - 1 };
                let sample = ranges.first + (nearest - ranges.start) * ranges.step;
                let number = i64::from(self.number) + nearest + first * period - start;
                let samples = [sample as u32, (to - from) as u32];
                folds.push(self.fold(g, samples, number as u32, ranges.step as i32, [terms as u32, period as u32]));
            }
        }
        folds
    }

    fn fold(
        &self,
        g: &Geometry,
        [first, count]: [u32; 2],
        border_first: u32,
        border_step: i32,
        [terms, term_step]: [u32; 2],
    ) -> Fold {
        Fold {
            rows: g.batch * g.wide.channels,
            length: g.wide.length,
            border_length: g.pad_left + g.pad_right,
            first,
            count,
            border_first,
            border_step,
            terms,
            term_step,
        }
    }

    /// The ranges of a period. In reflect mode the ends of the row are at the start and in the middle of the period. Each belongs to the
    /// direction in which the border begins, so that a border of `length - 1` samples is one fold.
    fn ranges(&self, mode: PaddingMode, length: i64, period: i64) -> Vec<PeriodRange> {
        let forwards = |start, end, first| PeriodRange { start, end, first, step: 1 };
        let backwards = |start, end, first| PeriodRange { start, end, first, step: -1 };
        match mode {
            PaddingMode::Reflect if length > 1 && self.start < 0 => {
                vec![forwards(0, length - 1, 0), backwards(length - 1, period, length - 1)]
            }
            PaddingMode::Reflect if length > 1 => {
                vec![forwards(1, length, 1), backwards(length, period + 1, length - 2)]
            }
            PaddingMode::Symmetric => vec![forwards(0, length, 0), backwards(length, period, length - 1)],
            _ => vec![forwards(0, length, 0)],
        }
    }
}

/// First element of row `(n, g, c)` of a tensor `[N, groups, per_group, length]`.
fn row_at([groups, per_group, length]: [u32; 3], n: u32, g: u32, c: u32) -> u64 {
    ((u64::from(n) * u64::from(groups) + u64::from(g)) * u64::from(per_group) + u64::from(c)) * u64::from(length)
}

pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Inverse of `a` modulo `m`, which must be coprime; 0 if `m` is 1.
fn inverse(a: i64, m: i64) -> i64 {
    let (mut r, mut next_r, mut t, mut next_t) = (m, a, 0_i64, 1_i64);
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    t.rem_euclid(m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Conv1d, Padding};

    /// Exactly one phase visits each triple (wide position, tap, narrow position) of the definition.
    #[test]
    fn phases_visit_each_pair_once() {
        for stride in 1..=7 {
            for dilation in 1..=7 {
                for kernel in 1..=6 {
                    for left in 0..=5 {
                        let conv = Conv1d::new(1, 1, kernel)
                            .stride(stride)
                            .dilation(dilation)
                            .padding(Padding::Explicit { left, right: 40 });
                        let (_, g) = conv.resolve(&[1, 1, 13]).unwrap();
                        let correlate = spread(&g, Role::OutputGradient.into(), Role::InputGradient);
                        let mut seen = Vec::new();
                        for p in &correlate.phases {
                            for j in 0..p.count {
                                for t in 0..p.taps {
                                    let m = p.out_first + j * correlate.out_step;
                                    let k = p.tap_first + t * correlate.tap_stride;
                                    let i = p.in_first + j as i32 * correlate.in_step + t as i32 * correlate.tap_step;
                                    if (0..g.narrow.length as i32).contains(&i) {
                                        seen.push((m, k, i as u32));
                                    }
                                }
                            }
                        }
                        let mut expected = Vec::new();
                        for m in 0..13_u32 {
                            for k in 0..kernel as u32 {
                                for i in 0..g.narrow.length {
                                    if i64::from(i * stride as u32 + k * dilation as u32) - left as i64 == i64::from(m)
                                    {
                                        expected.push((m, k, i));
                                    }
                                }
                            }
                        }
                        seen.sort_unstable();
                        expected.sort_unstable();
                        assert_eq!(seen, expected, "{conv:?}");
                    }
                }
            }
        }
    }

    /// The phases, including those without taps, cover every output exactly once.
    #[test]
    fn phases_cover_every_output() {
        for (stride, length) in [(1, 5), (3, 10), (10, 3), (4, 4)] {
            let conv = Conv1d::new(1, 1, 1).stride(stride);
            let (_, g) = conv.resolve(&[1, 1, length]).unwrap();
            let correlate = spread(&g, Role::OutputGradient.into(), Role::InputGradient);
            let mut covered: Vec<u32> = correlate
                .phases
                .iter()
                .flat_map(|p| (0..p.count).map(|j| p.out_first + j * correlate.out_step))
                .collect();
            covered.sort_unstable();
            assert_eq!(covered, (0..length as u32).collect::<Vec<_>>());
        }
    }
}
