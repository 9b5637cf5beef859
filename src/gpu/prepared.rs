use super::buffers::{Buffers, Memory, Workspace};
use super::{Gpu, Inner, Pipeline};
use crate::caps::limit;
use crate::error::{Error, Result};
use crate::kernels::program::{Binding, Resource, Specialised, Step, folded};
use crate::lowering::Operand;
use crate::plan::Plan;
use std::sync::Arc;

/// A plan with its pipelines, ready to be bound to buffers any number of times.
#[derive(Debug, Clone)]
pub struct Prepared {
    gpu: Gpu,
    plan: Arc<Plan>,
    /// One for each step.
    pipelines: Vec<Arc<Pipeline>>,
    tables: Vec<wgpu::Buffer>,
}

/// A prepared plan with its buffers. Records into any compute pass of the same device.
#[derive(Debug, Clone)]
pub struct Bound {
    gpu: Gpu,
    steps: Vec<BoundStep>,
}

#[derive(Debug, Clone)]
struct BoundStep {
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 2],
    packs_weight: bool,
}

/// Offset and size of a step's parameters, and what its bindings are bound to.
type Resolved<'b> = (u64, u64, Vec<Place<'b>>);

/// What a binding of a step is bound to.
enum Place<'b> {
    Buffer(wgpu::BufferBinding<'b>),
    Texture(wgpu::TextureView),
}

impl Place<'_> {
    fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Place::Buffer(binding) => wgpu::BindingResource::Buffer(binding.clone()),
            Place::Texture(view) => wgpu::BindingResource::TextureView(view),
        }
    }
}

impl Gpu {
    /// Compiles what a plan needs that is not compiled yet.
    pub fn prepare(&self, plan: &Plan) -> Result<Prepared> {
        self.check_lost()?;
        self.check_caps(plan)?;
        let steps = &plan.program.steps;
        let pipelines = steps.iter().map(|s| self.pipeline(&s.shader)).collect::<Result<_>>()?;
        let table = |bytes: &Arc<[u8]>| self.filled_buffer("conv1d table", bytes, wgpu::BufferUsages::STORAGE);
        let tables = plan.program.tables.iter().map(table).collect::<Result<_>>()?;
        Ok(Prepared { gpu: self.clone(), plan: Arc::new(plan.clone()), pipelines, tables })
    }

    /// A plan may be for a lesser device than this one, not for a greater.
    fn check_caps(&self, plan: &Plan) -> Result<()> {
        let (have, planned) = (self.caps(), plan.caps());
        for (limit, available, needed) in [
            (limit::BINDING_BYTES, have.max_binding_bytes, planned.max_binding_bytes),
            (limit::BUFFER_BYTES, have.max_buffer_bytes, planned.max_buffer_bytes),
            (limit::WORKGROUPS, have.max_workgroups.into(), planned.max_workgroups.into()),
            ("loop iterations", have.max_iterations.into(), planned.max_iterations.into()),
            (limit::TEXTURE_SIDE, have.max_texture_side.into(), planned.max_texture_side.into()),
            (limit::STORAGE_BUFFERS, have.max_storage_buffers.into(), planned.max_storage_buffers.into()),
            (limit::STORAGE_TEXTURES, have.max_storage_textures.into(), planned.max_storage_textures.into()),
            (limit::STORAGE_TEXTURE_READS, have.storage_texture_reads.into(), planned.storage_texture_reads.into()),
            (limit::SAMPLED_TEXTURES, have.max_sampled_textures.into(), planned.max_sampled_textures.into()),
        ] {
            if needed > available {
                return Err(Error::DeviceLimit { limit, available, needed });
            }
        }
        // Alignments are the other way round: a coarser one needs more room in a binding.
        let (available, needed) = (have.storage_alignment.into(), planned.storage_alignment.into());
        if needed < available {
            return Err(Error::DeviceLimit { limit: limit::STORAGE_ALIGNMENT, available, needed });
        }
        Ok(())
    }
}

impl Gpu {
    /// A shader bound to slices of buffers, outside any plan. Workgroups beyond the limit of one dimension fold into the second, as
    /// the shader must expect.
    pub(crate) fn bind_alone(
        &self,
        shader: &Specialised,
        params: &[u8],
        buffers: &[wgpu::BufferSlice<'_>],
        workgroups: u64,
    ) -> Result<Bound> {
        let folded = folded(workgroups, self.caps())?;
        let pipeline = self.pipeline(shader)?;
        let params = self.filled_buffer("conv1d parameters", params, wgpu::BufferUsages::UNIFORM)?;
        let bindings = self.guarded(|| {
            let entries: Vec<_> = std::iter::once(params.as_entire_binding())
                .chain(buffers.iter().map(|slice| {
                    let buffer = slice.buffer();
                    let (offset, size) = (slice.offset(), wgpu::BufferSize::new(slice.size()));
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
                }))
                .zip(0..)
                .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            self.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(shader.source.name),
                layout: &pipeline.layout,
                entries: &entries,
            })
        })?;
        Ok(Bound::alone(self, pipeline, bindings, folded))
    }
}

impl Prepared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Binds buffers, with a workspace of its own.
    pub fn bind(&self, buffers: &Buffers<'_>) -> Result<Bound> {
        self.bind_with(buffers, &Workspace::new(&self.gpu, &[&self.plan])?)
    }

    /// Binds buffers and a workspace that other bound operations may use too, as long as they run one after another.
    pub fn bind_with(&self, buffers: &Buffers<'_>, workspace: &Workspace) -> Result<Bound> {
        self.gpu.check_own(workspace.gpu(), "the workspace")?;
        buffers.check(&self.plan)?;
        let steps = &self.plan.program.steps;
        // The parameters of all steps lie in one buffer, each at a multiple of the alignment.
        let alignment = self.gpu.caps().uniform_alignment.max(4) as usize;
        let mut contents = Vec::new();
        let mut bound = Vec::new();
        for step in steps {
            let (params, places) = self.resolve(step, buffers, workspace)?;
            let offset = contents.len();
            contents.extend_from_slice(&params);
            contents.resize(contents.len().next_multiple_of(alignment), 0);
            bound.push((offset as u64, params.len() as u64, places));
        }
        if steps.is_empty() {
            return Ok(Bound { gpu: self.gpu.clone(), steps: Vec::new() });
        }
        let params = self.gpu.filled_buffer("conv1d parameters", &contents, wgpu::BufferUsages::UNIFORM)?;
        let bound = self.gpu.guarded(|| {
            let bind = |((step, pipeline), (offset, size, places)): ((&Step, &Arc<Pipeline>), Resolved<'_>)| {
                let uniform = wgpu::BufferBinding { buffer: &params, offset, size: wgpu::BufferSize::new(size) };
                let entries: Vec<_> = std::iter::once(wgpu::BindingResource::Buffer(uniform))
                    .chain(places.iter().map(Place::resource))
                    .zip(0..)
                    .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
                    .collect();
                let bindings = self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(step.shader.source.name),
                    layout: &pipeline.layout,
                    entries: &entries,
                });
                BoundStep {
                    pipeline: pipeline.clone(),
                    bindings,
                    workgroups: step.workgroups,
                    packs_weight: step.packs_weight,
                }
            };
            steps.iter().zip(&self.pipelines).zip(bound).map(bind).collect()
        })?;
        Ok(Bound { gpu: self.gpu.clone(), steps: bound })
    }

    /// The parameters of a step, with its bases moved to where the buffers are, and its bindings from 1 on.
    fn resolve<'b>(
        &'b self,
        step: &Step,
        buffers: &Buffers<'b>,
        workspace: &'b Workspace,
    ) -> Result<(Vec<u8>, Vec<Place<'b>>)> {
        let mut params = step.params.clone();
        let mut places = Vec::new();
        for binding in &step.bindings {
            let place = match binding.resource {
                Resource::Table(index) => self.tables.get(index).map(|t| (t, 0)),
                Resource::Operand(Operand::Slot(slot)) => match workspace.slot(slot) {
                    Some(Memory::Texture(texture)) => {
                        let got = u64::from(texture.width()) * u64::from(texture.height()) * slot.element_bytes();
                        let needed = binding.window.length * slot.element_bytes();
                        if got < needed {
                            return Err(Error::BufferTooSmall { role: "the workspace", got, needed });
                        }
                        let view = self.gpu.guarded(|| texture.create_view(&wgpu::TextureViewDescriptor::default()))?;
                        places.push(Place::Texture(view));
                        continue;
                    }
                    Some(Memory::Buffer(buffer)) => Some((buffer, 0)),
                    None if binding.window.length > 0 => {
                        let needed = binding.window.length * slot.element_bytes();
                        return Err(Error::BufferTooSmall { role: "the workspace", got: 0, needed });
                    }
                    None => None,
                },
                Resource::Operand(Operand::Role(role)) => buffers.get(role).map(|s| (s.buffer(), s.offset())),
            };
            let there = place.filter(|_| binding.window.length > 0);
            if let Some(flag) = binding.present {
                set_word(&mut params, flag, u32::from(there.is_some()));
            }
            let Some((buffer, start)) = there else {
                let Inner { nothing, nothing_written, .. } = &*self.gpu.inner;
                let nothing = if binding.written { nothing_written } else { nothing };
                places.push(Place::Buffer(nothing.as_entire_buffer_binding()));
                continue;
            };
            places.push(Place::Buffer(self.place(binding, buffer, start, &mut params)?));
        }
        Ok((params, places))
    }

    /// Binds a window of a buffer whose tensor begins `start` bytes into it.
    fn place<'b>(
        &self,
        binding: &Binding,
        buffer: &'b wgpu::Buffer,
        start: u64,
        params: &mut [u8],
    ) -> Result<wgpu::BufferBinding<'b>> {
        let first = start + binding.window.start * 4;
        let needed = first + binding.window.length * 4;
        if needed > buffer.size() {
            return Err(Error::BufferTooSmall { role: "the workspace", got: buffer.size(), needed });
        }
        // A binding starts at a multiple of the alignment; the elements before the window are skipped by its base.
        let offset =
            first / u64::from(self.gpu.caps().storage_alignment) * u64::from(self.gpu.caps().storage_alignment);
        if let Some(base) = binding.base {
            let skipped = ((first - offset) / 4) as u32;
            set_word(params, base, word(params, base).wrapping_add(skipped));
        }
        Ok(wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(needed - offset) })
    }
}

fn word(params: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes([params[offset], params[offset + 1], params[offset + 2], params[offset + 3]])
}

fn set_word(params: &mut [u8], offset: usize, value: u32) {
    params[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
}

impl Bound {
    /// One dispatch outside any plan.
    fn alone(gpu: &Gpu, pipeline: Arc<Pipeline>, bindings: wgpu::BindGroup, workgroups: [u32; 2]) -> Bound {
        Bound { gpu: gpu.clone(), steps: vec![BoundStep { pipeline, bindings, workgroups, packs_weight: false }] }
    }

    /// Operations of one device, one after another.
    ///
    /// [`Bound::record_packed`] of several records all of them: one may use the workspace of another.
    pub fn sequence(gpu: &Gpu, operations: impl IntoIterator<Item = Bound>) -> Result<Bound> {
        let mut steps = Vec::new();
        for operation in operations {
            gpu.check_own(&operation.gpu, "the bound operation")?;
            steps.extend(operation.steps.into_iter().map(|step| BoundStep { packs_weight: false, ..step }));
        }
        Ok(Bound { gpu: gpu.clone(), steps })
    }

    /// The device that it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Records all dispatches into a compute pass of the same device. Allocates nothing and cannot fail.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.steps.iter().for_each(|step| step.record(pass));
    }

    /// Records what depends on the weight alone: packing it into the workspace. Nothing where the kernel needs none.
    pub fn record_packing(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.steps.iter().filter(|s| s.packs_weight).for_each(|step| step.record(pass));
    }

    /// Records all but the packing: for a weight that stays, packed by an earlier [`Bound::record`] or
    /// [`Bound::record_packing`] of this very object, with no other operation in the same workspace since.
    pub fn record_packed(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.packs_once() {
            self.steps.iter().filter(|s| !s.packs_weight).for_each(|step| step.record(pass));
        } else {
            self.record(pass);
        }
    }

    /// Whether one packing lasts for the whole operation. Where the weight is cut into parts it is packed part by part.
    fn packs_once(&self) -> bool {
        self.steps.iter().filter(|s| s.packs_weight).count() <= 1
    }
}

impl BoundStep {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y] = self.workgroups;
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
}
