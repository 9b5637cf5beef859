//! The output of a kernel: dispatches with their bindings and parameters, and the workspace that they share. Plain data.

use crate::caps::{Caps, limit};
use crate::error::{Error, Result};
use crate::kernels::operands::{Draft, Parameters, PhaseParams, Phases};
use crate::kernels::order::{Order, Part};
use crate::kernels::pack;
use crate::kernels::params::Block;
use crate::lowering::{Operand, Phase, Slot};
use crate::sums::CHAIN;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The text of a shader without its parts.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: Cow<'static, str>,
    /// The file in errors: a path from the root of the project, or a name for a caller's text.
    pub(crate) file: Cow<'static, str>,
    pub(crate) wgsl: Cow<'static, str>,
    /// The layout of `Params` on the host, for a kernel. Other shaders take their parameters by name.
    pub(crate) params: Option<&'static [Block]>,
    /// Names and texts of the caller's own parts.
    pub(crate) library: &'static [(&'static str, &'static str)],
    /// Whether it is a caller's text, which may use the public parts only.
    pub(crate) callers: bool,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.callers == other.callers
            && self.file == other.file
            && (!self.callers || (self.wgsl == other.wgsl && self.library == other.library))
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.file.hash(state);
        if self.callers {
            self.wgsl.hash(state);
        }
    }
}

/// The [`Source`] of a file of `shaders/`: `source!("window", WindowParams)`, or `source!("peak")` for one with parameters by name.
macro_rules! source {
    ($name:literal) => {
        $crate::kernels::program::source!(in $name, None)
    };
    ($name:literal, $params:ty) => {
        $crate::kernels::program::source!(in $name, Some(<$params>::BLOCKS))
    };
    (in $name:literal, $params:expr) => {
        $crate::kernels::program::Source {
            name: std::borrow::Cow::Borrowed($name),
            file: std::borrow::Cow::Borrowed(concat!("shaders/", $name, ".wgsl")),
            wgsl: std::borrow::Cow::Borrowed(include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            ))),
            params: $params,
            library: &[],
            callers: false,
        }
    };
}
pub(crate) use source;

/// A WGSL compute shader in one of its variants: a text, the values of its `const` lines, and the parts that it is composed with.
///
/// The kernels of this crate are such shaders. A program can run its own between them: [`Gpu::prepare_shader`] compiles a shader,
/// [`PreparedShader::bind`] binds it by the names of its variables, and the [`Bound`] records into the same pass as the convolutions.
///
/// # Text
///
/// A shader has one `@compute` entry point. Its variables are in group 0: `var<storage>`, and `var<uniform>` structs. Lines that start
/// with `// use: NAME, FOLDER/*` name parts: small pieces of WGSL that are put in front of the text, each once. [`shader_parts`] lists
/// the parts of the library; [`Shader::library`] adds those of the program. [`Shader::part`] chooses the part of a folder; the default
/// is its first. A text that uses parts also has the aliases `Stored` and `Sum` (the types of elements and of sums, both `f32`) and
/// `LANES`, a workgroup size of 64. The parts `workgroup` and `element` give the index of an invocation in dispatches of any size.
///
/// # Checks
///
/// Errors name the file, the line and the column. Indices out of bounds are caught by wgpu's run-time checks, unless the shader is
/// [trusted](Shader::trusted).
///
/// ```
/// use conv1d::{Bindings, Gpu, Shader, Workgroups};
///
/// let gpu = Gpu::new()?;
/// let shader = Shader::new("squares", "
/// // use: element, stored, activation/*
/// struct Params { count: u32, slope: f32 }
/// @group(0) @binding(0) var<uniform> params: Params;
/// @group(0) @binding(1) var<storage, read> input: array<Stored>;
/// @group(0) @binding(2) var<storage, read_write> output: array<Stored>;
///
/// @compute @workgroup_size(LANES)
/// fn squares(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
///     let i = element(workgroup, lane);
///     if (i < params.count) {
///         let z = loaded(input[i]);
///         output[i] = stored(activate(z * z, params.slope));
///     }
/// }
/// ").part("activation", "relu");
///
/// let x = gpu.tensor(&[1.0, -2.0, 3.0], [3])?;
/// let y = gpu.zeros([3])?;
/// let bindings = Bindings::new()
///     .with("input", x.slice())
///     .with("output", y.slice())
///     .value("count", 3_u32)
///     .value("slope", 0.0_f32);
/// let bound = gpu.prepare_shader(&shader)?.bind(&bindings, Workgroups::Elements(3))?;
/// gpu.run(&bound)?; // or bound.record(&mut pass)
/// assert_eq!(y.read()?, [1.0, 4.0, 9.0]);
/// # Ok::<(), conv1d::Error>(())
/// ```
///
/// [`Gpu::prepare_shader`]: crate::Gpu::prepare_shader
/// [`PreparedShader::bind`]: crate::PreparedShader::bind
/// [`Bound`]: crate::Bound
/// [`shader_parts`]: crate::shader_parts
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shader {
    pub(crate) source: Cow<'static, Source>,
    pub(crate) constants: Vec<(&'static str, u32)>,
    /// Folders of parts, each with the chosen part.
    pub(crate) parts: Vec<(&'static str, &'static str)>,
    /// Whether all storage bindings are `read_write`, so that ranges of one buffer can be bound side by side.
    pub(crate) writable: bool,
    /// Whether the shader runs without run-time checks.
    pub(crate) trusted: bool,
}

impl Shader {
    /// A shader of the caller. The name appears in errors and in wgpu's labels.
    pub fn new(name: impl Into<Cow<'static, str>>, wgsl: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        // Of one line: the text names its files in comments.
        let file = Cow::Owned(format!("{}.wgsl", name.escape_debug()));
        let source = Source { name, file, wgsl: wgsl.into(), params: None, library: &[], callers: true };
        Shader::empty(Cow::Owned(source))
    }

    /// A file of `shaders/`.
    pub(crate) fn of(source: &'static Source) -> Self {
        Shader { trusted: true, ..Shader::empty(Cow::Borrowed(source)) }
    }

    fn empty(source: Cow<'static, Source>) -> Self {
        Shader { source, constants: Vec::new(), parts: Vec::new(), writable: false, trusted: false }
    }

    /// Sets the caller's own parts: names and texts. They take precedence over parts of the library with the same name.
    #[must_use]
    pub fn library(mut self, parts: &'static [(&'static str, &'static str)]) -> Self {
        self.source.to_mut().library = parts;
        self
    }

    /// Chooses the part of a folder that the text names as `folder/*`.
    #[must_use]
    pub fn part(mut self, folder: &'static str, part: &'static str) -> Self {
        self.parts.push((folder, part));
        self
    }

    /// Sets the value of a line `const NAME: u32 = VALUE;` of the text or of a part.
    #[must_use]
    pub fn constant(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Runs the shader without run-time checks of indices and loops, as the kernels of this crate run, and without clearing workgroup
    /// memory first. A [`Gpu`](crate::Gpu) that checks every index also checks those of this shader.
    ///
    /// # Safety
    ///
    /// For all buffers that [`PreparedShader::bind`](crate::PreparedShader::bind) accepts, and all values that the program binds: no
    /// index is out of bounds, every loop ends, and workgroup memory is written before it is read.
    #[must_use]
    pub unsafe fn trusted(self) -> Self {
        Shader { trusted: true, ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The form that leaves out an optional operand.
    pub(crate) fn without(mut self, variable: &'static str) -> Self {
        self.parts.retain(|(folder, _)| *folder != variable);
        self
    }
}

/// Invocations of a workgroup of most shaders: `LANES` of their header.
pub(crate) const LANES: u32 = 64;

/// A range of elements of a tensor or of a workspace slot: the first element and the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElementRange {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl ElementRange {
    pub(crate) const EMPTY: ElementRange = ElementRange { start: 0, length: 0 };

    pub(crate) fn whole(length: u64) -> Self {
        ElementRange { start: 0, length }
    }

    /// `element` of the tensor as an index relative to the range, modulo 2^32. Only the final sum in the shader is a valid index.
    pub(crate) fn base(&self, element: u64) -> u32 {
        element.wrapping_sub(self.start) as u32
    }
}

/// The memory of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Operand(Operand),
    /// A part of the packed weight, by its index in the [`WeightLayout`].
    Packed(usize),
    /// A table of the plan.
    Table(Arc<[u8]>),
}

/// Memory that is bound to a variable of a shader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binding {
    pub(crate) variable: &'static str,
    pub(crate) resource: Resource,
    pub(crate) range: ElementRange,
    /// Whether the caller may leave it out. The shader is then composed with the first part of the variable's folder, `none`.
    pub(crate) optional: bool,
    texture: bool,
}

impl Binding {
    pub(crate) fn new(variable: &'static str, operand: Operand, range: ElementRange) -> Self {
        let texture = matches!(operand, Operand::Slot(slot) if slot.is_texture());
        Binding { variable, resource: Resource::Operand(operand), range, optional: false, texture }
    }

    /// The first `length` elements, or texels, of a slot of the workspace.
    pub(crate) fn slot(variable: &'static str, slot: Slot, length: u64) -> Self {
        Binding::new(variable, Operand::Slot(slot), ElementRange::whole(length))
    }

    fn table(variable: &'static str, table: Arc<[u8]>) -> Self {
        let range = ElementRange::whole(table.len() as u64 / 4);
        Binding { variable, resource: Resource::Table(table), range, optional: false, texture: false }
    }

    pub(crate) fn optional(self) -> Self {
        Binding { optional: true, ..self }
    }
}

/// The shader variable of the texture that a dispatch writes.
pub(crate) const WRITTEN_TEXELS: &str = "texels";

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dispatch {
    pub(crate) shader: Shader,
    /// Bytes of the parameters that follow the skips.
    pub(crate) params: Vec<u8>,
    pub(crate) bindings: Vec<Binding>,
    /// Workgroups in x and y.
    pub(crate) workgroups: [u32; 2],
    /// The part of the packed weight that it writes.
    pub(crate) packs: Option<usize>,
}

/// The layout of a packed weight: the order in which a kernel reads its elements.
///
/// Plans of equal layouts can read the same [`PackedWeight`](crate::PackedWeight). Their batch and lengths may differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WeightLayout {
    /// Shape of the weight.
    pub(crate) shape: Vec<usize>,
    /// The packed parts. Empty if the kernel reads the weight in the caller's layout.
    pub(crate) parts: Vec<PackedPart>,
}

/// A part of a packed weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackedPart {
    pub(crate) dispatch: Dispatch,
    /// The slot of the workspace that holds the part if every run packs it, and its length in elements or texels.
    pub(crate) slot: Slot,
    pub(crate) length: u64,
}

impl WeightLayout {
    /// Number of elements of the weight.
    pub(crate) fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }

    /// The dispatches that fill the memory of a packed weight.
    pub(crate) fn packing(&self, caps: &Caps) -> Result<Vec<Dispatch>> {
        if self.parts.is_empty() {
            return pack::copy(self.elements(), caps);
        }
        let written_to = |(index, part): (usize, &PackedPart)| part.dispatch.written_to(index);
        Ok(self.parts.iter().enumerate().map(written_to).collect())
    }
}

impl Dispatch {
    /// The dispatch with its workspace slot replaced by a part of a packed weight.
    pub(super) fn written_to(&self, part: usize) -> Dispatch {
        let mut dispatch = self.clone();
        for binding in &mut dispatch.bindings {
            if matches!(binding.resource, Resource::Operand(Operand::Slot(_))) {
                binding.resource = Resource::Packed(part);
            }
        }
        dispatch
    }
}

impl fmt::Display for WeightLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(PackedPart { dispatch, .. }) = self.parts.first() else {
            return write!(f, "{:?} as it is stored", self.shape);
        };
        let rows = dispatch.shader.constants.iter().find(|(name, _)| *name == "TILE_ROWS").map_or(1, |&(_, rows)| rows);
        let (name, parts) = (&dispatch.shader.source.name, self.parts.len());
        write!(
            f,
            "{:?} by {name}, {rows} output channels a tile, {parts} part{}",
            self.shape,
            if parts == 1 { "" } else { "s" }
        )
    }
}

/// Bytes of a slot. A texture has whole rows.
fn slot_bytes(slot: Slot, elements: u64) -> u64 {
    let whole = if slot.is_texture() { elements.next_multiple_of(TEXTURE_WIDTH.into()) } else { elements };
    whole * slot.element_bytes()
}

/// The dispatches of a plan, with their workspace and packed weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Program {
    pub(crate) dispatches: Vec<Dispatch>,
    /// Elements, or texels, of each slot of [`Slot::ALL`].
    pub(crate) slots: [u64; Slot::ALL.len()],
    /// The parts of the packed weight.
    pub(crate) packed: Vec<PackedPart>,
    /// Multiply-adds of all dispatches.
    pub(crate) multiply_adds: u64,
    /// The order in which the terms of an element are added, if it is the same for all elements.
    pub(crate) order: Option<Order>,
    /// The longest chain of a sum in blocks.
    pub(crate) chain: u64,
    /// Whether elements have no common order whatever `order` says.
    pub(crate) unordered: bool,
}

impl Program {
    /// Fails if `wanted` is given and is not the layout of the packed weight that the program reads.
    pub(crate) fn check_packed(&self, wanted: Option<&WeightLayout>, shape: &[usize]) -> Result<()> {
        match wanted {
            Some(wanted) if wanted.shape != shape || wanted.parts != self.packed => {
                let mine = WeightLayout { shape: shape.to_vec(), parts: self.packed.clone() };
                Err(Error::PackedWeight { got: wanted.to_string(), expected: mine.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of workspace.
    pub(crate) fn workspace_bytes(&self) -> u64 {
        Slot::ALL.iter().zip(self.slots).map(|(slot, elements)| slot_bytes(*slot, elements)).sum()
    }
}

/// Texels of a row of a workspace texture: `TEXTURE_WIDTH` of the shaders' header. A texture holds one sequence of texels, row after row.
/// WebGPU guarantees sides of 8192.
pub(crate) const TEXTURE_WIDTH: u32 = 4096;

/// Workgroups in x and y that cover `workgroups`, which may exceed one dimension: the fewest rows, each as short as possible. There are
/// fewer idle workgroups than rows.
pub(crate) fn folded(workgroups: u64, caps: &Caps) -> Result<[u32; 2]> {
    let side = u64::from(caps.max_workgroups).min(65_535);
    let limit = side * side;
    if workgroups > limit {
        return Err(Error::TooLarge { what: "workgroups of a dispatch", value: workgroups, limit });
    }
    let y = workgroups.div_ceil(side).max(1);
    Ok([workgroups.div_ceil(y) as u32, y as u32])
}

/// The most dispatches of a plan. Each takes about a kilobyte on the host. With bindings of 128 MiB, which WebGPU promises, a plan reaches
/// the limit with operands of two terabytes.
const MOST_DISPATCHES: u64 = 1 << 14;

/// A program under construction.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) caps: &'a Caps,
    /// Maximum bytes of workspace.
    pub(crate) workspace: u64,
    required: Required<'a>,
    pub(crate) program: Program,
}

/// Properties that a program must have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Required<'a> {
    /// The layout of the packed weight that the program reads. Then no dispatch packs the weight.
    pub(crate) packed: Option<&'a WeightLayout>,
    pub(crate) order: Option<&'a Order>,
}

impl Required<'_> {
    fn are_of(&self, program: &Program) -> bool {
        // The program may be that of the first of several problems.
        self.packed.is_none_or(|packed| packed.parts.starts_with(&program.packed))
            && self.order.is_none_or(|order| program.order.as_ref() == Some(order))
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(caps: &'a Caps, workspace_bytes: u64, required: Required<'a>) -> Self {
        Builder { caps, workspace: workspace_bytes, required, program: Program::default() }
    }

    /// An empty builder with the same requirements.
    pub(crate) fn scratch(&self) -> Builder<'a> {
        Builder::new(self.caps, self.workspace, self.required)
    }

    /// Emits the first of `layouts` layouts that gives the program its required properties, or layout 0 if none does.
    pub(super) fn first_required(
        &mut self,
        layouts: usize,
        emit: &dyn Fn(usize, &mut Self) -> Result<()>,
    ) -> Result<()> {
        let before = self.program.clone();
        let mut first = None;
        for layout in 0..layouts {
            self.program = before.clone();
            emit(layout, self)?;
            if self.required.are_of(&self.program) {
                return Ok(());
            }
            first.get_or_insert_with(|| self.program.clone());
        }
        self.program = first.unwrap_or(before);
        Ok(())
    }

    /// Makes a slot hold at least `elements` elements, or texels.
    pub(crate) fn reserve(&mut self, slot: Slot, elements: u64) -> Result<()> {
        let limit = self.largest(slot);
        if elements > limit {
            return Err(Error::TooLarge { what: "elements of a part of the workspace", value: elements, limit });
        }
        self.program.slots[slot as usize] = self.program.slots[slot as usize].max(elements);
        let total = self.program.workspace_bytes();
        if total > self.workspace {
            return Err(Error::TooLarge { what: "workspace in bytes", value: total, limit: self.workspace });
        }
        Ok(())
    }

    /// Maximum elements, or texels, of a slot: the workspace that the other slots leave, limited to one binding.
    pub(crate) fn available(&self, slot: Slot) -> u64 {
        let bytes = slot.element_bytes();
        let others = self.program.workspace_bytes() - slot_bytes(slot, self.program.slots[slot as usize]);
        let unit = slot_bytes(slot, 1);
        (self.workspace.saturating_sub(others) / unit * unit / bytes).min(self.largest(slot))
    }

    /// Maximum elements, or texels, of a slot that the device can bind as a whole.
    fn largest(&self, slot: Slot) -> u64 {
        if slot.is_texture() {
            u64::from(self.caps.max_texture_side) * u64::from(TEXTURE_WIDTH)
        } else {
            self.caps.max_range().min(self.caps.max_buffer_bytes / 4)
        }
    }

    /// The phases in the form that dispatches read: a single one is a parameter, several are a table.
    pub(super) fn phases(&self, phases: &[Phase]) -> Result<Phases> {
        let mut taps_before = 0;
        let entry = |phase: &Phase| {
            let entry = PhaseParams::new(phase, taps_before);
            taps_before += phase.taps;
            entry
        };
        let entries: Vec<PhaseParams> = phases.iter().map(entry).collect();
        if let [one] = entries[..] {
            return Ok(Phases { one, table: None, count: 1 });
        }
        let table = Binding::table("phases", bytemuck::cast_slice(&entries).into());
        let (value, limit) = (table.range.length, self.caps.max_range());
        if value > limit {
            return Err(Error::TooLarge { what: "elements of the table of phases", value, limit });
        }
        Ok(Phases { one: PhaseParams::default(), table: Some(table), count: phases.len() as u32 })
    }

    /// Adds a dispatch of `workgroups` workgroups, folded into two dimensions if one cannot hold them. A dispatch without workgroups is
    /// omitted.
    pub(super) fn dispatch(&mut self, draft: Draft, workgroups: u64, params: &dyn Parameters) -> Result<()> {
        if workgroups > 0 {
            let dispatch = self.checked(draft, workgroups, params)?;
            self.program.dispatches.push(dispatch);
        }
        let (value, limit) = (self.program.dispatches.len() as u64, MOST_DISPATCHES);
        if value > limit { Err(Error::TooLarge { what: "dispatches of a plan", value, limit }) } else { Ok(()) }
    }

    /// Adds a dispatch that packs a part of the weight into a slot. Returns the binding by which `variable` reads that part. The dispatch
    /// is omitted if the weight is already packed.
    pub(super) fn pack(
        &mut self,
        draft: Draft,
        workgroups: u64,
        params: &dyn Parameters,
        (variable, slot, length): (&'static str, Slot, u64),
    ) -> Result<Binding> {
        if self.required.packed.is_none() || workgroups == 0 {
            self.reserve(slot, length)?;
        }
        if workgroups == 0 {
            return Ok(Binding::slot(variable, slot, length));
        }
        let dispatch = self.checked(draft, workgroups, params)?;
        let part = PackedPart { dispatch, slot, length };
        let known = self.program.packed.iter().position(|known| *known == part);
        let index = known.unwrap_or(self.program.packed.len());
        if self.required.packed.is_none() {
            self.program.dispatches.push(Dispatch { packs: Some(index), ..part.dispatch.clone() });
        }
        if known.is_none() {
            self.program.packed.push(part);
        }
        Ok(Binding { resource: Resource::Packed(index), ..Binding::slot(variable, slot, length) })
    }

    /// The dispatch, checked against the limits of the device.
    fn checked(&self, draft: Draft, workgroups: u64, params: &dyn Parameters) -> Result<Dispatch> {
        let Draft { shader, bindings } = draft;
        let most = self.caps.max_range();
        if let Some(binding) = bindings.iter().find(|b| b.range.length > most) {
            let value = binding.range.length;
            return Err(Error::TooLarge { what: "elements of one binding", value, limit: most });
        }
        let count = |texture: bool| bindings.iter().filter(|b| b.texture == texture).count() as u64;
        let written = bindings.iter().filter(|b| b.variable == WRITTEN_TEXELS).count() as u64;
        let (storage, sampled) =
            if self.caps.storage_texture_reads { (count(true), 0) } else { (written, count(true) - written) };
        for (limit, available, needed) in [
            (limit::STORAGE_BUFFERS, self.caps.max_storage_buffers, count(false)),
            (limit::STORAGE_TEXTURES, self.caps.max_storage_textures, storage),
            (limit::SAMPLED_TEXTURES, self.caps.max_sampled_textures, sampled),
        ] {
            if needed > available.into() {
                return Err(Error::DeviceLimit { limit, available: available.into(), needed });
            }
        }
        let folded = folded(workgroups, self.caps)?;
        let params = params.bytes(workgroups as u32);
        Ok(Dispatch { shader, params, bindings, workgroups: folded, packs: None })
    }

    /// Adds a part to the order of the sums.
    pub(super) fn order(&mut self, bias_first: bool, part: Part) {
        self.program.order.get_or_insert_with(|| Order::new(bias_first)).add(part);
    }

    /// Adds a sum in blocks. Fails if its chain is longer than promised.
    pub(super) fn chain(&mut self, chain: u64) -> Result<()> {
        self.program.chain = self.program.chain.max(chain);
        let (what, limit) =
            ("additions that a term passes through (a larger workspace, or larger bindings, make it fewer)", CHAIN);
        if chain > limit { Err(Error::TooLarge { what, value: chain, limit }) } else { Ok(()) }
    }

    /// Counts the multiply-adds of a dispatch.
    pub(crate) fn count(&mut self, multiply_adds: u64) {
        self.program.multiply_adds = self.program.multiply_adds.saturating_add(multiply_adds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workgroups that one dimension cannot hold are folded with fewer idle workgroups than rows.
    #[test]
    fn folding_leaves_few_workgroups_idle() {
        let caps = Caps::WEBGPU;
        assert_eq!(folded(65_535, &caps), Ok([65_535, 1]));
        assert_eq!(folded(65_536, &caps), Ok([32_768, 2]));
        let most = 65_535 * 65_535;
        for workgroups in (0..200_000).chain((0..1000).map(|n| most - n)) {
            let [x, y] = folded(workgroups, &caps).unwrap().map(u64::from);
            assert!(x <= 65_535 && y <= 65_535 && (workgroups..workgroups + y).contains(&(x * y)), "{workgroups}");
        }
        assert!(folded(most + 1, &caps).is_err());
    }
}
