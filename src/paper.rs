//! Runs plans on paper: in an interpreter of their shaders, without a device (feature `paper`).
//!
//! [`Paper`] says how, [`Plan::on_paper`] runs the dispatches of a plan, and [`OnPaper`] has, for each dispatch, what it does wrong and
//! how much it does: see [`simt`].
//!
//! ```
//! use conv1d::{Caps, Conv1d, Operation, paper::Paper};
//! use conv1d::paper::simt::Memory;
//!
//! let plan = Conv1d::new(8, 16, 3).plan(Operation::Forward, [1, 8, 500], &Caps::WEBGPU)?;
//! let run = plan.on_paper(&Paper::default().checked())?;
//! for dispatch in &run.dispatches {
//!     assert!(dispatch.report.faults.is_empty());
//!     let stores = dispatch.report.counts.accesses(Memory::Storage, true);
//!     println!("{}: {:.1} bytes moved for each byte stored", dispatch.name, stores.sector_bytes_per_byte());
//! }
//! # Ok::<(), conv1d::Error>(())
//! ```

pub use conv1d_simt as simt;

use crate::error::{Error, Result};
use crate::kernels::operands::Skips;
use crate::kernels::program::{Binding, Dispatch, Resource, Shader, TEXTURE_WIDTH};
use crate::lowering::{Operand, Role, Slot};
use crate::plan::Plan;
use crate::shader::compose;
use conv1d_simt::{Buffer, Fma, Report, Texture, Workgroups};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is computed beside the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Depth {
    #[default]
    Counts,
    Checks,
    Values,
}

/// A function that changes the text of the shader of this name.
type Edit = Arc<dyn Fn(&str, String) -> String + Send + Sync>;

/// How plans are run on paper. [`Paper::default`] counts, with subgroups of 32, and finds indices out of bounds; [`Paper::checked`] looks
/// for races and unwritten memory too. It keeps the shaders that it compiled, so that one value serves many plans best.
#[derive(Clone)]
pub struct Paper {
    subgroup: u32,
    workgroups: Workgroups,
    fma: Fma,
    depth: Depth,
    without: Vec<Role>,
    tensors: HashMap<Role, Vec<f32>>,
    edit: Option<Edit>,
    most_iterations: Option<u64>,
    /// By text.
    shaders: Arc<Mutex<HashMap<String, Arc<simt::Shader>>>>,
}

impl fmt::Debug for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Paper { subgroup, workgroups, fma, depth, without, .. } = self;
        let mut debug = f.debug_struct("Paper");
        debug.field("subgroup", subgroup).field("workgroups", workgroups).field("fma", fma).field("depth", depth);
        debug.field("without", without).finish_non_exhaustive()
    }
}

impl Default for Paper {
    fn default() -> Self {
        Paper {
            subgroup: 32,
            workgroups: Workgroups::All,
            fma: Fma::Separate,
            depth: Depth::Counts,
            without: Vec::new(),
            tensors: HashMap::new(),
            edit: None,
            most_iterations: None,
            shaders: Arc::default(),
        }
    }
}

impl Paper {
    /// Sets the lanes of a subgroup: 4, 8, 16, 32 (the default) or 64.
    #[must_use]
    pub fn subgroup(self, lanes: u32) -> Self {
        Paper { subgroup: lanes, ..self }
    }

    /// Runs only some workgroups of each dispatch.
    #[must_use]
    pub fn workgroups(self, workgroups: Workgroups) -> Self {
        Paper { workgroups, ..self }
    }

    /// Sets how multiply-adds round.
    #[must_use]
    pub fn fma(self, fma: Fma) -> Self {
        Paper { fma, ..self }
    }

    /// Looks for faults too, in every access. Bindings are then as short as the plan says, without room in front for an alignment.
    #[must_use]
    pub fn checked(self) -> Self {
        Paper { depth: Depth::Checks, ..self }
    }

    /// Computes the results too, from these tensors. Those that are not given have other numbers.
    #[must_use]
    pub fn with_values(mut self, tensors: impl IntoIterator<Item = (Role, Vec<f32>)>) -> Self {
        self.tensors.extend(tensors);
        Paper { depth: Depth::Values, ..self }
    }

    /// Leaves out an optional tensor: the bias, or the pre-activation that a forward pass writes.
    #[must_use]
    pub fn without(mut self, role: Role) -> Self {
        self.without.push(role);
        self
    }

    /// Runs changed texts: `edit` gets the name and the composed text of each shader. It shows what a change of a kernel would do.
    #[must_use]
    pub fn edited(self, edit: impl Fn(&str, String) -> String + Send + Sync + 'static) -> Self {
        Paper { edit: Some(Arc::new(edit)), ..self }
    }

    /// Sets the most iterations of a loop. More are a fault, and the loop ends.
    #[must_use]
    pub fn most_iterations(self, most: u64) -> Self {
        Paper { most_iterations: Some(most), ..self }
    }

    fn compiled(&self, shader: &Shader) -> Result<Arc<simt::Shader>> {
        let text = compose(shader)?.text;
        let text = match &self.edit {
            Some(edit) => edit(shader.name(), text),
            None => text,
        };
        let mut known = self.shaders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known.get(&text) {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(simt::Shader::new(&text).map_err(|e| failed(shader, &e))?);
        known.insert(text, compiled.clone());
        Ok(compiled)
    }
}

fn failed(shader: &Shader, error: &simt::Error) -> Error {
    Error::Shader { shader: shader.name().to_owned(), message: error.to_string() }
}

/// A plan that was run on paper.
#[derive(Debug, Clone)]
pub struct OnPaper {
    /// Its dispatches, in their order.
    pub dispatches: Vec<PaperDispatch>,
    memory: Memory,
}

/// A dispatch that was run on paper.
#[derive(Debug, Clone)]
pub struct PaperDispatch {
    /// Name of the shader.
    pub name: String,
    /// Whether it packs the weight, which need not be done again as long as the weight is the same.
    pub packs: bool,
    /// Faults and counts. The lines are those of the composed text: [`Plan::shaders`].
    pub report: Report,
}

impl OnPaper {
    /// A tensor that the plan wrote. `None` if values were not computed, or if it did not write this one.
    pub fn tensor(&self, role: Role) -> Option<Vec<f32>> {
        self.memory.tensors.get(&role).map(|words| words.iter().map(|&word| f32::from_bits(word)).collect())
    }

    /// All faults.
    pub fn faults(&self) -> impl Iterator<Item = &simt::Fault> {
        self.dispatches.iter().flat_map(|dispatch| &dispatch.report.faults)
    }
}

/// The contents of tensors and workspace, where values are computed.
#[derive(Debug, Clone, Default)]
struct Memory {
    tensors: HashMap<Role, Vec<u32>>,
    slots: HashMap<Slot, Vec<u32>>,
}

/// A word that spoils every sum that reads it: memory is filled with it first.
const POISON: u32 = 0x7fc0_dead;

impl Plan {
    /// Runs the dispatches of this plan in the interpreter. Optional tensors are given unless [`Paper::without`] leaves them out.
    ///
    /// # Errors
    /// [`Error::Shader`] with the interpreter's message, for example for a subgroup size that does not exist.
    pub fn on_paper(&self, paper: &Paper) -> Result<OnPaper> {
        let mut memory = Memory::default();
        if paper.depth == Depth::Values {
            memory = self.contents(paper)?;
        }
        let run = |dispatch| self.dispatch_on_paper(dispatch, paper, &mut memory);
        let dispatches = self.program.dispatches.iter().map(run).collect::<Result<_>>()?;
        Ok(OnPaper { dispatches, memory })
    }

    fn contents(&self, paper: &Paper) -> Result<Memory> {
        let mut memory = Memory::default();
        let inputs = self.inputs();
        for role in inputs.into_iter().chain([self.output()]).chain(self.optional_output()) {
            let elements = role.shape(self.shapes()).iter().product();
            let words = match paper.tensors.get(&role) {
                Some(given) if given.len() != elements => {
                    return Err(Error::DataLength { tensor: role.name(), got: given.len(), expected: elements });
                }
                Some(given) => given.iter().map(|number| number.to_bits()).collect(),
                None if role == self.output() || Some(role) == self.optional_output() => vec![POISON; elements],
                None => (0..elements as u64).map(|i| Buffer::pattern(elements as u64).word(i)).collect(),
            };
            memory.tensors.insert(role, words);
        }
        for (slot, elements) in Slot::ALL.into_iter().zip(self.program.slots) {
            let words = if slot.is_texture() { texture_words(elements) } else { elements };
            memory.slots.insert(slot, vec![POISON; words as usize]);
        }
        Ok(memory)
    }

    fn dispatch_on_paper(&self, dispatch: &Dispatch, paper: &Paper, memory: &mut Memory) -> Result<PaperDispatch> {
        let left_out = |binding: &&Binding| {
            binding.optional
                && matches!(binding.resource, Resource::Operand(Operand::Role(role)) if paper.without.contains(&role))
        };
        let omitted = dispatch.bindings.iter().filter(left_out).map(|binding| binding.variable);
        let shader = omitted.fold(dispatch.shader.clone(), Shader::without);
        let compiled = paper.compiled(&shader)?;
        let [x, y] = dispatch.workgroups;
        let mut run = simt::Dispatch::new(&compiled, [x, y, 1]);
        run = run.subgroup(paper.subgroup).fma(paper.fma).workgroups(paper.workgroups);
        if let Some(most) = paper.most_iterations {
            run = run.most_iterations(most);
        }
        run = match paper.depth {
            Depth::Counts => run.counts_only(),
            Depth::Checks => run.checks_only(),
            Depth::Values => run,
        };
        let mut skips = Skips::default();
        let bindings: Vec<&Binding> = dispatch.bindings.iter().filter(|b| !left_out(b)).collect();
        for binding in &bindings {
            run = match self.bound_on_paper(binding, paper, memory, &mut skips) {
                PaperMemory::Buffer(buffer) => run.bind(binding.variable, buffer),
                PaperMemory::Texture(texture) => run.bind(binding.variable, texture),
            };
        }
        let params = [skips.bytes(), &dispatch.params].concat();
        let report = run.bind("params", Buffer::bytes(&params)).run().map_err(|error| failed(&shader, &error))?;
        if paper.depth == Depth::Values {
            bindings.iter().for_each(|binding| memory.write_back(binding, &report));
        }
        Ok(PaperDispatch { name: shader.name().to_owned(), packs: dispatch.packs.is_some(), report })
    }

    fn bound_on_paper(&self, binding: &Binding, paper: &Paper, memory: &Memory, skips: &mut Skips) -> PaperMemory {
        let (start, length) = (binding.range.start, binding.range.length);
        if let Resource::Table(table) = &binding.resource {
            return PaperMemory::Buffer(Buffer::bytes(table));
        }
        let slot = self.slot_of(binding);
        if slot.is_some_and(Slot::is_texture) {
            let texels = match slot.and_then(|slot| memory.slots.get(&slot)) {
                Some(words) => Buffer::new(words.clone()),
                None => Buffer::pattern(texture_words(length)),
            };
            let height = texels.len().div_ceil(4 * u64::from(TEXTURE_WIDTH));
            return PaperMemory::Texture(Texture::new(TEXTURE_WIDTH, height as u32, texels));
        }
        if length == 0 {
            // WebGPU has no empty bindings: 32 bytes stand in.
            return PaperMemory::Buffer(Buffer::pattern(8));
        }
        if let Some(words) = memory.of(binding, slot) {
            return PaperMemory::Buffer(Buffer::new(words[start as usize..(start + length) as usize].to_vec()));
        }
        // A binding starts at a multiple of the alignment, and the shader skips the elements before the range.
        let skip = match paper.depth {
            Depth::Counts => start % (u64::from(self.caps().storage_alignment) / 4).max(1),
            Depth::Checks | Depth::Values => 0,
        };
        skips.set(binding.variable, skip as u32);
        PaperMemory::Buffer(Buffer::pattern(skip + length))
    }

    /// The workspace slot of a binding.
    fn slot_of(&self, binding: &Binding) -> Option<Slot> {
        match binding.resource {
            Resource::Operand(Operand::Slot(slot)) => Some(slot),
            Resource::Packed(part) => self.program.packed.get(part).map(|part| part.slot),
            _ => None,
        }
    }
}

enum PaperMemory {
    Buffer(Buffer),
    Texture(Texture),
}

/// Words of a texture with so many texels, in whole rows.
fn texture_words(texels: u64) -> u64 {
    texels.next_multiple_of(TEXTURE_WIDTH.into()) * 4
}

impl Memory {
    fn of(&self, binding: &Binding, slot: Option<Slot>) -> Option<&Vec<u32>> {
        match (binding.resource.clone(), slot) {
            (_, Some(slot)) => self.slots.get(&slot),
            (Resource::Operand(Operand::Role(role)), None) => self.tensors.get(&role),
            _ => None,
        }
    }

    /// Takes over what a dispatch wrote.
    fn write_back(&mut self, binding: &Binding, report: &Report) {
        let start = binding.range.start as usize;
        let words = match &binding.resource {
            Resource::Operand(Operand::Role(role)) => self.tensors.get_mut(role),
            Resource::Operand(Operand::Slot(slot)) => self.slots.get_mut(slot),
            _ => None,
        };
        let Some(words) = words else { return };
        if let Some(texture) = report.texture(binding.variable) {
            (0..).zip(words).for_each(|(index, word)| *word = texture.texels().word(index));
        } else if let Some(buffer) = report.buffer(binding.variable)
            && binding.range.length > 0
        {
            let range = start..start + binding.range.length as usize;
            (0..).zip(&mut words[range]).for_each(|(index, word)| *word = buffer.word(index));
        }
    }
}
