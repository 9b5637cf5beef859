//! What a kernel emits: dispatches with their bindings and parameters, and the workspace that they share. Plain values.

use crate::caps::{Caps, limit};
use crate::error::{Error, Result};
use crate::kernels::params::{Field, params};
use crate::lowering::{Operand, Phase, Role, Slot};
use std::sync::Arc;

/// A WGSL file and the layout that the host assumes of its parameters.
#[derive(Debug)]
pub(crate) struct Source {
    /// Name of the file without its ending, and of the entry point.
    pub(crate) name: &'static str,
    pub(crate) wgsl: &'static str,
    pub(crate) params: &'static [Field<'static>],
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A shader with the values of its `const` lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Specialised {
    pub(crate) source: &'static Source,
    pub(crate) constants: Vec<(&'static str, u32)>,
}

/// Elements of a tensor or of a workspace slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Window {
    pub(crate) const EMPTY: Window = Window { start: 0, length: 0 };

    pub(crate) fn whole(length: u64) -> Self {
        Window { start: 0, length }
    }

    /// `element` of the tensor as an offset from the window's start. It may lie outside: shaders add to it, modulo 2^32,
    /// until it does not.
    pub(crate) fn base(&self, element: u64) -> u32 {
        element.wrapping_sub(self.start) as u32
    }
}

/// What a binding of a step shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Operand(Operand),
    /// Index of a table of the program.
    Table(usize),
}

impl Resource {
    fn is_texture(self) -> bool {
        matches!(self, Resource::Operand(Operand::Slot(slot)) if slot.is_texture())
    }
}

/// A binding of a step, in the order of the shader's bindings from 1 on (0 is the parameters).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binding {
    pub(crate) resource: Resource,
    pub(crate) window: Window,
    /// Byte offset in the parameters of the base that moves when the bound buffer does not start at a multiple of the
    /// alignment.
    pub(crate) base: Option<usize>,
    /// Byte offset in the parameters of the flag that says whether an optional operand is there.
    pub(crate) present: Option<usize>,
    /// Whether the shader writes to it: said of textures, and of operands that may not be there.
    pub(crate) written: bool,
}

impl Binding {
    pub(crate) fn new(operand: Operand, window: Window, base: usize) -> Self {
        Binding { resource: Resource::Operand(operand), window, base: Some(base), present: None, written: false }
    }

    pub(crate) fn slot(slot: Slot, window: Window, base: usize) -> Self {
        Binding::new(Operand::Slot(slot), window, base)
    }

    /// A slot of the workspace from its start on: so many elements, or texels.
    pub(crate) fn whole(slot: Slot, length: u64) -> Self {
        Binding {
            resource: Resource::Operand(Operand::Slot(slot)),
            window: Window::whole(length),
            base: None,
            present: None,
            written: false,
        }
    }

    /// A texture that the shader writes, from its start on.
    pub(crate) fn written_texels(slot: Slot, length: u64) -> Self {
        Binding { written: true, ..Binding::whole(slot, length) }
    }

    pub(crate) fn bias(window: Window, base: usize, present: usize) -> Self {
        Binding { present: Some(present), ..Binding::new(Operand::Role(Role::Bias), window, base) }
    }
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) shader: Specialised,
    pub(crate) params: Vec<u8>,
    pub(crate) bindings: Vec<Binding>,
    /// Workgroups in x and y.
    pub(crate) workgroups: [u32; 2],
    /// Whether the step only prepares the weight, so that it need not run again while the weight stays.
    pub(crate) packs_weight: bool,
}

params! {
    /// `Phase` of the shaders.
    PhaseEntry { out_first: u32, count: u32, in_first: i32, tap_first: u32, taps: u32, taps_before: u32 }
}

/// Bytes of a slot: textures come in whole rows.
fn slot_bytes(slot: Slot, elements: u64) -> u64 {
    let whole = if slot.is_texture() { elements.next_multiple_of(TEXTURE_WIDTH.into()) } else { elements };
    whole * slot.element_bytes()
}

/// The steps of a plan and what they share.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// Elements, or texels, of each slot of [`Slot::ALL`].
    pub(crate) slots: [u64; Slot::ALL.len()],
    pub(crate) tables: Vec<Arc<[u8]>>,
    /// Multiply-adds of all steps.
    pub(crate) multiply_adds: u64,
}

impl Program {
    /// Bytes of workspace.
    pub(crate) fn workspace_bytes(&self) -> u64 {
        Slot::ALL.iter().zip(self.slots).map(|(slot, elements)| slot_bytes(*slot, elements)).sum()
    }
}

/// Texels of a row of a workspace texture: `WIDTH` of the shaders. What lies in it is one long sequence; WebGPU grants sides
/// of 8192.
pub(crate) const TEXTURE_WIDTH: u32 = 4096;

/// Workgroups in x and y, for a number of them that one dimension may not hold: the fewest rows, and in each no more than
/// needed. Less than one workgroup a row has nothing to do.
pub(crate) fn folded(workgroups: u64, caps: &Caps) -> Result<[u32; 2]> {
    let side = u64::from(caps.max_workgroups).min(65_535);
    let limit = side * side;
    if workgroups > limit {
        return Err(Error::TooLarge { what: "workgroups of a dispatch", value: workgroups, limit });
    }
    let y = workgroups.div_ceil(side).max(1);
    Ok([workgroups.div_ceil(y) as u32, y as u32])
}

/// A program being written.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    pub(crate) caps: &'a Caps,
    /// Bytes of workspace that may be used.
    pub(crate) workspace: u64,
    pub(crate) program: Program,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(caps: &'a Caps, workspace_bytes: u64) -> Self {
        Builder { caps, workspace: workspace_bytes, program: Program::default() }
    }

    /// Makes a slot hold `elements` at least.
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

    /// Elements, or texels, that one slot may still take: what the others leave of the workspace, within one binding.
    pub(crate) fn available(&self, slot: Slot) -> u64 {
        let bytes = slot.element_bytes();
        let others = self.program.workspace_bytes() - slot_bytes(slot, self.program.slots[slot as usize]);
        let unit = slot_bytes(slot, 1);
        (self.workspace.saturating_sub(others) / unit * unit / bytes).min(self.largest(slot))
    }

    /// Elements, or texels, of the largest slot that the device can bind as a whole.
    fn largest(&self, slot: Slot) -> u64 {
        if slot.is_texture() {
            u64::from(self.caps.max_texture_side) * u64::from(TEXTURE_WIDTH)
        } else {
            self.caps.max_window().min(self.caps.max_buffer_bytes / 4)
        }
    }

    /// Adds the phases as a table and returns its binding.
    pub(crate) fn phases(&mut self, phases: &[Phase]) -> Result<Binding> {
        let mut taps_before = 0;
        let entries: Vec<PhaseEntry> = phases
            .iter()
            .map(|p| {
                let entry = PhaseEntry {
                    out_first: p.out_first,
                    count: p.count,
                    in_first: p.in_first,
                    tap_first: p.tap_first,
                    taps: p.taps,
                    taps_before,
                };
                taps_before += p.taps;
                entry
            })
            .collect();
        let table: Arc<[u8]> = bytemuck::cast_slice(&entries).into();
        let length = table.len() as u64 / 4;
        if length > self.caps.max_window() {
            return Err(Error::TooLarge {
                what: "elements of the table of phases",
                value: length,
                limit: self.caps.max_window(),
            });
        }
        self.program.tables.push(table);
        let resource = Resource::Table(self.program.tables.len() - 1);
        Ok(Binding { resource, window: Window::whole(length), base: None, present: None, written: false })
    }

    /// Adds a dispatch of `workgroups`, folded into two dimensions where one cannot hold them. A step without workgroups
    /// is left out.
    pub(crate) fn dispatch(
        &mut self,
        source: &'static Source,
        constants: &[(&'static str, u32)],
        workgroups: u64,
        bindings: Vec<Binding>,
        params: impl FnOnce(u32) -> Vec<u8>,
    ) -> Result<()> {
        if workgroups == 0 {
            return Ok(());
        }
        let most = self.caps.max_window();
        if let Some(binding) = bindings.iter().find(|b| b.window.length > most) {
            let value = binding.window.length;
            return Err(Error::TooLarge { what: "elements of one binding", value, limit: most });
        }
        let count = |texture: bool| bindings.iter().filter(|b| b.resource.is_texture() == texture).count() as u64;
        let written = bindings.iter().filter(|b| b.resource.is_texture() && b.written).count() as u64;
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
        self.program.steps.push(Step {
            shader: Specialised { source, constants: constants.to_vec() },
            params: params(workgroups as u32),
            bindings,
            workgroups: folded,
            packs_weight: false,
        });
        Ok(())
    }

    /// Counts the multiply-adds of a dispatch.
    pub(crate) fn count(&mut self, multiply_adds: u64) {
        self.program.multiply_adds = self.program.multiply_adds.saturating_add(multiply_adds);
    }

    /// Marks the step added last as one that only prepares the weight.
    pub(crate) fn last_packs_weight(&mut self) {
        if let Some(step) = self.program.steps.last_mut() {
            step.packs_weight = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workgroups that one dimension cannot hold are folded with fewer to spare than there are rows.
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
