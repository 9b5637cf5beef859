//! The operands of a dispatch: the parameters that its shader reads, the parts of `shaders/lib` that the shader is composed of, and the
//! bindings. All kernels share this code, which builds them from a slice of a problem.

use super::order::Level;
use super::params::{Block, Field, append, params};
use super::program::{Binding, ElementRange, Shader, Source};
use super::slices::{ContractSlice, CorrelateSlice, Ranges};
use crate::geometry::{Activation, Extension, PaddingMode, Residual};
use crate::lowering::{Activated, Contract, Correlate, Epilogue, Operand, Phase, Read, Role, WEIGHT};
use std::ops::Range;

params! {
    /// `Skips` of the shaders: elements of each binding before its range. They are filled in when a plan is bound.
    SkipParams {
        input: u32, narrow: u32, weight: u32, bias: u32, output: u32, residual: u32, pre_activation: u32, saved: u32,
    }
}

/// The variables of a shader that have a skip.
const SKIPPED: [&str; 8] = ["input", "narrow", "weight", "bias", "output", "residual", "pre_activation", "saved"];

/// The skips of a dispatch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Skips([u32; SKIPPED.len()]);

impl Skips {
    pub(crate) const BLOCK: Block = Block { name: "skips", fields: SkipParams::FIELDS, bytes: size_of::<SkipParams>() };

    /// Sets the skip of a variable. No effect for a variable without a skip, whose binding starts with its memory.
    pub(crate) fn set(&mut self, variable: &str, elements: u32) {
        if let Some(skip) = self.0.get_mut(Skips::index(variable)) {
            *skip = elements;
        }
    }

    /// A distinct index for each variable that has a skip, and one common index for all others.
    pub(crate) fn index(variable: &str) -> usize {
        SKIPPED.iter().position(|name| *name == variable).unwrap_or(SKIPPED.len())
    }

    /// The number of distinct values of [`Skips::index`].
    pub(crate) const PLACES: usize = SKIPPED.len() + 1;

    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

params! {
    /// `Problem` of a correlation.
    ProblemParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, depth: u32, phases: u32, position_first: u32, position_end: u32,
    }
}

params! {
    /// `Input` of the shaders.
    InputParams {
        base: u32, batch: u32, group: u32, length: u32, touched_first: i32, touched: u32, fill: f32, slope: f32,
    }
}

params! {
    /// `Weight` of the shaders.
    WeightParams { base: u32, group: u32, row: u32, depth: u32, tap: u32 }
}

params! {
    /// `Output` of the shaders.
    OutputParams {
        base: u32, batch: u32, group: u32, row: u32, step: u32, bias_base: u32, bias_group: u32, slope: f32,
    }
}

params! {
    /// `Phase` of the shaders.
    PhaseParams { out_first: u32, count: u32, in_first: i32, tap_first: u32, taps: u32, taps_before: u32 }
}

params! {
    /// `Walk` of the shaders.
    WalkParams { in_step: i32, tap_step: i32, reversed: u32, tap_back: i32, spacing: u32, tap_stride: u32 }
}

params! {
    /// `Contraction` of the shaders.
    ContractionParams {
        workgroups: u32, batch: u32, groups: u32, rows: u32, depth: u32, taps: u32, position_first: u32, positions: u32,
        in_first: i32, stride: u32, dilation: u32,
    }
}

params! {
    /// `Narrow` of the shaders.
    NarrowParams { base: u32, batch: u32, group: u32, length: u32, slope: f32 }
}

params! {
    /// `Partials` of the shaders.
    PartialParams { split: u32, group: u32, row: u32 }
}

params! {
    /// `Split` of the shaders.
    SplitParams { all: u32, each: u32, first: u32, end: u32, block: u32 }
}

/// Parameters of a dispatch, without its skips.
pub(crate) trait Parameters {
    /// The bytes that the shader reads in a dispatch of `workgroups` workgroups.
    fn bytes(&self, workgroups: u32) -> Vec<u8>;
}

/// `Tiles` of a shader: the parameters that are specific to its kernel.
pub(crate) trait TileParams: bytemuck::Pod + Default {
    const FIELDS: &'static [Field<'static>];
}

/// `Params` of shaders that correlate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Correlation<T> {
    pub(super) problem: ProblemParams,
    pub(super) input: InputParams,
    pub(super) weight: WeightParams,
    pub(super) output: OutputParams,
    pub(super) phase: PhaseParams,
    pub(super) walk: WalkParams,
    pub(super) tiles: T,
}

impl<T: TileParams> Correlation<T> {
    pub(super) const BLOCKS: &'static [Block] = &[
        Skips::BLOCK,
        Block { name: "problem", fields: ProblemParams::FIELDS, bytes: size_of::<ProblemParams>() },
        Block { name: "input", fields: InputParams::FIELDS, bytes: size_of::<InputParams>() },
        Block { name: "weight", fields: WeightParams::FIELDS, bytes: size_of::<WeightParams>() },
        Block { name: "output", fields: OutputParams::FIELDS, bytes: size_of::<OutputParams>() },
        Block { name: "phase", fields: PhaseParams::FIELDS, bytes: size_of::<PhaseParams>() },
        Block { name: "walk", fields: WalkParams::FIELDS, bytes: size_of::<WalkParams>() },
        Block { name: "tiles", fields: T::FIELDS, bytes: size_of::<T>() },
    ];
}

impl<T: TileParams> Parameters for Correlation<T> {
    fn bytes(&self, workgroups: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, &ProblemParams { workgroups, ..self.problem });
        append(&mut bytes, &self.input);
        append(&mut bytes, &self.weight);
        append(&mut bytes, &self.output);
        append(&mut bytes, &self.phase);
        append(&mut bytes, &self.walk);
        append(&mut bytes, &self.tiles);
        bytes
    }
}

/// `Params` of shaders that contract over positions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contraction<T> {
    pub(super) problem: ContractionParams,
    pub(super) input: InputParams,
    pub(super) narrow: NarrowParams,
    pub(super) partials: PartialParams,
    pub(super) split: SplitParams,
    pub(super) tiles: T,
}

impl<T: TileParams> Contraction<T> {
    pub(super) const BLOCKS: &'static [Block] = &[
        Skips::BLOCK,
        Block { name: "problem", fields: ContractionParams::FIELDS, bytes: size_of::<ContractionParams>() },
        Block { name: "input", fields: InputParams::FIELDS, bytes: size_of::<InputParams>() },
        Block { name: "narrow", fields: NarrowParams::FIELDS, bytes: size_of::<NarrowParams>() },
        Block { name: "partials", fields: PartialParams::FIELDS, bytes: size_of::<PartialParams>() },
        Block { name: "split", fields: SplitParams::FIELDS, bytes: size_of::<SplitParams>() },
        Block { name: "tiles", fields: T::FIELDS, bytes: size_of::<T>() },
    ];
}

impl<T: TileParams> Parameters for Contraction<T> {
    fn bytes(&self, workgroups: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, &ContractionParams { workgroups, ..self.problem });
        append(&mut bytes, &self.input);
        append(&mut bytes, &self.narrow);
        append(&mut bytes, &self.partials);
        append(&mut bytes, &self.split);
        append(&mut bytes, &self.tiles);
        bytes
    }
}

/// The part of `shaders/lib/extension`, and the value of constant padding.
fn extension_part(mode: PaddingMode) -> (&'static str, f32) {
    match mode {
        PaddingMode::Zeros => ("zeros", 0.0),
        PaddingMode::Constant(fill) => ("constant", fill),
        PaddingMode::Reflect => ("reflect", 0.0),
        PaddingMode::Symmetric => ("symmetric", 0.0),
        PaddingMode::Circular => ("circular", 0.0),
        PaddingMode::Replicate => ("replicate", 0.0),
    }
}

/// The phases of a correlation in the form that its dispatches read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phases {
    /// The only phase; without taps if there is a table.
    pub(super) one: PhaseParams,
    pub(super) table: Option<Binding>,
    pub(super) count: u32,
}

/// A dispatch under construction: its shader and its bindings.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) shader: Shader,
    pub(super) bindings: Vec<Binding>,
}

impl Draft {
    pub(super) fn new(source: &'static Source) -> Self {
        Draft { shader: Shader::of(source), bindings: Vec::new() }
    }

    pub(super) fn constants(mut self, constants: &[(&'static str, u32)]) -> Self {
        self.shader.constants.extend_from_slice(constants);
        self
    }

    fn part(mut self, folder: &'static str, part: &'static str) -> Self {
        self.shader.parts.push((folder, part));
        self
    }

    pub(super) fn bind(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// Selects the part of `shaders/lib/texels` that reads both textures.
    pub(super) fn texels(self, storage_texture_reads: bool) -> Self {
        self.part("texels", if storage_texture_reads { "storage" } else { "sampled" })
    }

    pub(super) fn phases(self, phases: &Phases) -> Self {
        match &phases.table {
            None => self.part("phases", "one"),
            Some(table) => self.part("phases", "table").bind(table.clone()),
        }
    }

    /// Binds an operand and selects the part that loads it: as stored, or multiplied by the derivative of an activation.
    fn read(self, variable: &'static str, read: Read, range: ElementRange) -> Self {
        let draft = self.bind(Binding::new(variable, read.operand, range));
        match read.activated {
            None => draft.part(variable, "plain"),
            Some(Activated { activation, saved }) => draft
                .part(variable, "activated")
                .part("activation", activation.shader_part().0)
                .constants(&[("SAVED_INPUT", (saved == Role::PreActivation).into())])
                .bind(Binding::new("saved", Operand::Role(saved), range)),
        }
    }

    /// Binds the input, without an extension.
    pub(super) fn input(self, read: Read, range: ElementRange) -> Self {
        self.read("input", read, range)
    }

    /// Binds the input and selects its extension.
    pub(super) fn samples(self, read: Read, range: ElementRange, extension: Extension) -> Self {
        let draft = self.input(read, range).part("extension", extension_part(extension.mode).0);
        match extension.mode {
            PaddingMode::Zeros | PaddingMode::Constant(_) => draft,
            _ => draft.constants(&[("REPEATED", extension.repeated.into())]),
        }
    }

    /// Binds the narrow operand of a contraction.
    pub(super) fn narrow(self, c: &Contract, slice: &ContractSlice) -> Self {
        self.read("narrow", c.narrow, slice.narrow)
    }

    /// Binds the weight in the caller's layout.
    pub(super) fn weight(self, range: ElementRange) -> Self {
        self.bind(Binding::new("weight", WEIGHT, range))
    }

    /// Binds all operands of a slice except its weight: phases, samples and the epilogue.
    pub(super) fn correlation(self, c: &Correlate, slice: &CorrelateSlice, phases: &Phases) -> Self {
        self.phases(phases).samples(c.input, slice.input, c.extension).epilogue(c, slice)
    }

    /// Binds the output of a slice and the operands of the epilogue, which is empty until the last slice completes the sums.
    pub(super) fn epilogue(self, c: &Correlate, slice: &CorrelateSlice) -> Self {
        let epilogue = if slice.last { c.epilogue } else { Epilogue::default() };
        let mut draft = self.constants(&[("ACCUMULATE", slice.accumulate.into())]).bind(Binding::new(
            "output",
            c.output,
            slice.output,
        ));
        if slice.bias.length > 0 {
            let bias = Binding::new("bias", Operand::Role(Role::Bias), slice.bias);
            draft = draft.part("bias", "added").bind(bias.optional());
        }
        let residual = match epilogue.residual {
            Residual::None => None,
            Residual::BeforeActivation => Some("before"),
            Residual::AfterActivation => Some("after"),
        };
        if let Some(part) = residual {
            let residual = Binding::new("residual", Operand::Role(Role::Residual), slice.output);
            draft = draft.part("residual", part).bind(residual);
        }
        if epilogue.pre_activation {
            let kept = Binding::new("pre_activation", Operand::Role(Role::PreActivation), slice.output);
            draft = draft.part("pre_activation", "stored").bind(kept.optional());
        }
        if epilogue.activation != Activation::Identity {
            draft = draft.part("finish", "activated").part("activation", epilogue.activation.shader_part().0);
        }
        draft
    }
}

impl Read {
    /// Slope of the leaky `ReLU` through which the gradient is propagated back; 0 for other activations.
    fn slope(&self) -> f32 {
        self.activated.map_or(0.0, |a| a.activation.shader_part().1)
    }
}

impl InputParams {
    /// Parameters of a tensor `[batch, groups, channels, length]`, of which `range` is bound. `first` is the first element of the slice.
    pub(super) fn new(
        read: &Read,
        [groups, channels, length]: [u32; 3],
        range: ElementRange,
        first: u64,
        touched: &Range<i64>,
        extension: Extension,
    ) -> Self {
        InputParams {
            base: range.base(first),
            batch: groups * channels * length,
            group: channels * length,
            length,
            touched_first: touched.start as i32,
            touched: (touched.end - touched.start) as u32,
            fill: extension_part(extension.mode).1,
            slope: read.slope(),
        }
    }
}

impl Phase {
    /// The phase without its positions. Packing the weight depends only on the taps.
    pub(super) fn taps_only(&self) -> Phase {
        Phase { out_first: 0, count: 0, in_first: 0, ..*self }
    }
}

impl PhaseParams {
    pub(super) fn new(phase: &Phase, taps_before: u32) -> Self {
        let Phase { out_first, count, in_first, tap_first, taps } = *phase;
        PhaseParams { out_first, count, in_first, tap_first, taps, taps_before }
    }
}

impl CorrelateSlice {
    /// The parameters of a slice. The kernel fills in `walk` and `tiles`.
    pub(super) fn params<T: TileParams>(&self, c: &Correlate, phases: &Phases) -> Correlation<T> {
        let ranges = &self.ranges;
        let Ranges { n, g, r, q, j } = ranges;
        let first = c.input_row(n.start, g.start, q.start);
        Correlation {
            problem: ProblemParams {
                workgroups: 0,
                batch: ranges.batch(),
                groups: ranges.groups(),
                rows: ranges.rows(),
                depth: ranges.depth(),
                phases: phases.count,
                position_first: j.start,
                position_end: j.end,
            },
            input: InputParams::new(
                &c.input,
                [c.groups, c.depth, c.in_length],
                self.input,
                first,
                &self.touched,
                c.extension,
            ),
            weight: WeightParams {
                base: self.weight.base(c.weight_at(g.start, r.start, q.start)),
                group: c.w_group,
                row: c.w_row,
                depth: c.w_depth,
                tap: c.tap_stride,
            },
            output: OutputParams {
                base: self.output.base(c.output_row(n.start, g.start, r.start)),
                batch: c.groups * c.rows * c.out_length,
                group: c.rows * c.out_length,
                row: c.out_length,
                step: c.out_step,
                bias_base: self.bias.base(u64::from(g.start) * u64::from(c.rows) + u64::from(r.start)),
                bias_group: c.rows,
                slope: c.epilogue.activation.shader_part().1,
            },
            phase: phases.one,
            walk: WalkParams::default(),
            tiles: T::default(),
        }
    }
}

impl CorrelateSlice {
    /// The parameters for packing the weight of a slice. They do not depend on the batch or the positions, so plans that differ in those
    /// can read the same packed weight.
    pub(super) fn packing_params<T: TileParams>(&self, c: &Correlate, phases: &Phases) -> Correlation<T> {
        let Correlation { problem: ProblemParams { groups, rows, depth, phases: count, .. }, weight, .. } =
            self.params::<T>(c, phases);
        Correlation {
            problem: ProblemParams { groups, rows, depth, phases: count, ..Default::default() },
            weight,
            phase: phases.one,
            ..Default::default()
        }
    }
}

impl Correlate {
    /// The loop over taps in a kernel that visits them in ascending order of input position.
    pub(super) fn ascending_taps(&self) -> Level {
        if self.tap_step < 0 { Level::TapsDescending } else { Level::Taps }
    }

    /// The phases without their positions.
    pub(super) fn phases_of_taps(&self) -> Vec<Phase> {
        self.phases.iter().map(Phase::taps_only).collect()
    }

    /// Parameters for visiting the taps in ascending order of input position, with the spacing and tap stride of shared samples.
    pub(super) fn walk_params(&self, spacing: u32, tap_stride: u32) -> WalkParams {
        WalkParams {
            in_step: self.in_step,
            tap_step: self.tap_step.abs(),
            reversed: (self.tap_step < 0).into(),
            tap_back: self.tap_step.min(0),
            spacing,
            tap_stride,
        }
    }
}

impl ContractSlice {
    /// The parameters of a slice. The kernel fills in `partials`, `split` and `tiles`.
    pub(super) fn params<T: TileParams>(&self, c: &Contract) -> Contraction<T> {
        let ranges = &self.ranges;
        let Ranges { n, g, r, q, j } = ranges;
        let first = c.wide_row(n.start, g.start, q.start);
        let input_sizes = [c.groups, c.depth, c.wide_length];
        Contraction {
            problem: ContractionParams {
                workgroups: 0,
                batch: ranges.batch(),
                groups: ranges.groups(),
                rows: ranges.rows(),
                depth: ranges.depth(),
                taps: c.taps,
                position_first: j.start,
                positions: ranges.positions(),
                in_first: c.first,
                stride: c.stride,
                dilation: c.dilation,
            },
            input: InputParams::new(&c.wide, input_sizes, self.wide, first, &self.touched, c.extension),
            narrow: NarrowParams {
                base: self.narrow.base(c.narrow_row(n.start, g.start, r.start)),
                batch: c.groups * c.rows * c.positions,
                group: c.rows * c.positions,
                length: c.positions,
                slope: c.narrow.slope(),
            },
            partials: PartialParams::default(),
            split: SplitParams::default(),
            tiles: T::default(),
        }
    }
}
