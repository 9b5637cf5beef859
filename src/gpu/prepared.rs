use super::buffers::{Buffers, SlotMemory, Workspace};
use super::{Gpu, PackedWeight, Pipeline};
use crate::caps::{Caps, limit};
use crate::error::{Error, Result};
use crate::kernels::operands::Skips;
use crate::kernels::program::{Binding, Dispatch, Resource, Shader};
use crate::lowering::{Operand, Role};
use crate::plan::Plan;
use std::sync::Arc;

/// A plan with its pipelines, ready to be bound to buffers any number of times.
#[derive(Debug, Clone)]
pub struct Prepared {
    gpu: Gpu,
    plan: Arc<Plan>,
    /// Held so that [`Gpu::trim`] keeps them.
    _pipelines: Vec<Arc<Pipeline>>,
    tables: Tables,
}

/// A prepared plan with its buffers. Records into any compute pass of the same device.
#[derive(Debug, Clone)]
pub struct Bound {
    gpu: Gpu,
    dispatches: Vec<BoundDispatch>,
}

#[derive(Debug, Clone)]
pub(super) struct BoundDispatch {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bindings: wgpu::BindGroup,
    pub(super) workgroups: [u32; 3],
}

/// Tables of a plan, each in a buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables(Vec<(Arc<[u8]>, wgpu::Buffer)>);

impl Tables {
    /// The tables of some dispatches.
    pub(super) fn new<'d>(gpu: &Gpu, dispatches: impl IntoIterator<Item = &'d Dispatch>) -> Result<Self> {
        let mut tables = Tables::default();
        for binding in dispatches.into_iter().flat_map(|dispatch| &dispatch.bindings) {
            if let Resource::Table(table) = &binding.resource
                && tables.get(table).is_none()
            {
                let buffer = gpu.filled_buffer("conv1d table", table, wgpu::BufferUsages::STORAGE)?;
                tables.0.push((table.clone(), buffer));
            }
        }
        Ok(tables)
    }

    fn get(&self, table: &Arc<[u8]>) -> Option<&wgpu::Buffer> {
        self.0.iter().find(|(known, _)| known == table).map(|(_, buffer)| buffer)
    }
}

/// The memory that dispatches are bound to.
#[derive(Clone, Copy)]
pub(super) struct Binder<'b> {
    pub(super) gpu: &'b Gpu,
    pub(super) buffers: &'b Buffers<'b>,
    pub(super) parts: Parts<'b>,
    pub(super) tables: &'b Tables,
}

/// Memory beside the caller's tensors.
#[derive(Clone, Copy)]
pub(super) enum Parts<'b> {
    /// A workspace, and the plan that says which slot each part of the packed weight is in.
    Workspace(&'b Workspace, &'b Plan),
    /// A packed weight that is being packed.
    Packed(&'b PackedWeight),
}

/// The memory of a binding.
enum BoundMemory<'b> {
    Buffer {
        buffer: &'b wgpu::Buffer,
        offset: u64,
        /// First byte of the elements, at or after the offset; end of the binding.
        first: u64,
        end: u64,
    },
    Texture(wgpu::TextureView),
}

impl BoundMemory<'_> {
    fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            BoundMemory::Buffer { buffer, offset, end, .. } => {
                let size = wgpu::BufferSize::new(end - offset);
                wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: *offset, size })
            }
            BoundMemory::Texture(view) => wgpu::BindingResource::TextureView(view),
        }
    }
}

/// A dispatch with its memory: the form of the shader, the bytes of its parameters, and the memory of its variables.
struct Resolved<'b> {
    shader: Shader,
    params: Vec<u8>,
    bound: Vec<(&'static str, BoundMemory<'b>)>,
    workgroups: [u32; 2],
}

impl Gpu {
    /// Compiles the shaders of a plan that are not compiled yet, for calls with all optional tensors: a bias, and the pre-activation
    /// of a forward pass that writes it. Binding without one of them compiles another form of some shaders (see
    /// [`Gpu::prepare_for`]). So does binding several ranges of one buffer if one of them is written.
    pub fn prepare(&self, plan: &Plan) -> Result<Prepared> {
        let optional = plan.optional_output();
        self.prepare_for(plan, &[Some(Role::Bias), optional].into_iter().flatten().collect::<Vec<_>>())
    }

    /// As [`Gpu::prepare`], for calls with these optional tensors only.
    pub fn prepare_for(&self, plan: &Plan, given: &[Role]) -> Result<Prepared> {
        self.check_lost()?;
        self.check_caps(plan)?;
        let dispatches = &plan.program.dispatches;
        let compile = |dispatch: &Dispatch| {
            let left_out = |b: &&Binding| {
                b.optional && !matches!(b.resource, Resource::Operand(Operand::Role(r)) if given.contains(&r))
            };
            let left_out = dispatch.bindings.iter().filter(left_out).map(|b| b.variable);
            self.pipeline(&left_out.fold(dispatch.shader.clone(), Shader::without))
        };
        let pipelines = dispatches.iter().map(compile).collect::<Result<_>>()?;
        let tables = Tables::new(self, dispatches)?;
        Ok(Prepared { gpu: self.clone(), plan: Arc::new(plan.clone()), _pipelines: pipelines, tables })
    }

    /// Checks that this device has at least the limits that the plan was made for.
    pub(super) fn check_caps(&self, plan: &Plan) -> Result<()> {
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
        // For the alignment the comparison is reversed: a coarser one needs more room in a binding.
        let (available, needed) = (have.storage_alignment.into(), planned.storage_alignment.into());
        if needed < available {
            return Err(Error::DeviceLimit { limit: limit::STORAGE_ALIGNMENT, available, needed });
        }
        Ok(())
    }
}

impl Prepared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Binds buffers, with a new workspace.
    pub fn bind(&self, buffers: &Buffers<'_>) -> Result<Bound> {
        self.bind_with(buffers, &Workspace::new(&self.gpu, &[&self.plan])?)
    }

    /// Binds buffers and a workspace that other bound operations may use too, as long as they run one after another.
    pub fn bind_with(&self, buffers: &Buffers<'_>, workspace: &Workspace) -> Result<Bound> {
        self.gpu.check_own(workspace.gpu(), "the workspace")?;
        buffers.check(&self.gpu, &self.plan)?;
        let parts = Parts::Workspace(workspace, &self.plan);
        let binder = Binder { gpu: &self.gpu, buffers, parts, tables: &self.tables };
        binder.bind(&self.plan.program.dispatches)
    }
}

impl<'b> Binder<'b> {
    /// Binds dispatches. One buffer holds the parameters of all.
    pub(super) fn bind<'d>(&self, dispatches: impl IntoIterator<Item = &'d Dispatch>) -> Result<Bound> {
        let gpu = self.gpu;
        let alignment = gpu.caps().uniform_alignment.max(4) as usize;
        let mut contents = Vec::new();
        let mut bound = Vec::new();
        for dispatch in dispatches {
            let resolved = self.resolve(dispatch)?;
            let offset = contents.len() as u64;
            contents.extend_from_slice(&resolved.params);
            contents.resize(contents.len().next_multiple_of(alignment), 0);
            bound.push((gpu.pipeline(&resolved.shader)?, offset, resolved));
        }
        if bound.is_empty() {
            return Ok(Bound { gpu: gpu.clone(), dispatches: Vec::new() });
        }
        let params = gpu.filled_buffer("conv1d parameters", &contents, wgpu::BufferUsages::UNIFORM)?;
        let dispatches = gpu.guarded(|| {
            let bind = |(pipeline, offset, resolved)| bind_dispatch(gpu, pipeline, &params, offset, &resolved);
            bound.into_iter().map(bind).collect::<Result<Vec<_>>>()
        })??;
        Ok(Bound { gpu: gpu.clone(), dispatches })
    }

    fn resolve(&self, dispatch: &Dispatch) -> Result<Resolved<'b>> {
        let mut skips = Skips::default();
        let mut shader = dispatch.shader.clone();
        let mut bound = Vec::new();
        for binding in &dispatch.bindings {
            match self.memory(binding)? {
                None => shader = shader.without(binding.variable),
                Some(memory) => {
                    if let BoundMemory::Buffer { offset, first, .. } = memory {
                        skips.set(binding.variable, ((first - offset) / 4) as u32);
                    }
                    bound.push((binding.variable, memory));
                }
            }
        }
        shader.writable = shares_a_buffer(&bound, dispatch)?;
        let params = [skips.bytes(), &dispatch.params].concat();
        Ok(Resolved { shader, params, bound, workgroups: dispatch.workgroups })
    }

    /// The memory of a binding; `None` if it is optional and not given.
    fn memory(&self, binding: &Binding) -> Result<Option<BoundMemory<'b>>> {
        let memory = match &binding.resource {
            Resource::Table(table) => self.tables.get(table).map(|buffer| (buffer, 0)),
            Resource::Operand(Operand::Role(Role::Weight)) if self.buffers.packed.is_some() => {
                self.part(0).and_then(SlotMemory::buffer).map(|buffer| (buffer, 0))
            }
            Resource::Operand(Operand::Role(role)) => match self.buffers.get(*role) {
                Some(slice) => Some((slice.buffer(), slice.offset())),
                None if binding.optional => return Ok(None),
                None => None,
            },
            resource => match self.slot_memory(resource) {
                Some(SlotMemory::Texture(texture)) => return self.texture(binding, texture).map(Some),
                Some(SlotMemory::Buffer(buffer)) => Some((buffer, 0)),
                None if binding.range.length > 0 => {
                    let needed = binding.range.length * 4;
                    return Err(Error::BufferTooSmall { role: "the workspace", got: 0, needed });
                }
                None => None,
            },
        };
        let Some((buffer, start)) = memory.filter(|_| binding.range.length > 0) else {
            // WebGPU has no empty bindings.
            return Ok(Some(self.gpu.nothing_for(binding.variable)));
        };
        let first = start + binding.range.start * 4;
        let end = first + binding.range.length * 4;
        if end > buffer.size() {
            return Err(Error::BufferTooSmall { role: "the workspace", got: buffer.size(), needed: end });
        }
        // A binding starts at a multiple of the alignment; the shader skips the elements before the range.
        let alignment = u64::from(self.gpu.caps().storage_alignment);
        Ok(Some(BoundMemory::Buffer { buffer, offset: first / alignment * alignment, first, end }))
    }

    /// The memory of a workspace slot or of a part of the packed weight.
    fn slot_memory(&self, resource: &Resource) -> Option<&'b SlotMemory> {
        match (resource, self.parts) {
            (Resource::Packed(part), _) => self.part(*part),
            (Resource::Operand(Operand::Slot(slot)), Parts::Workspace(workspace, _)) => workspace.slot(*slot),
            _ => None,
        }
    }

    /// The memory of a part of the packed weight: the caller's, or the workspace slot that it is packed into on each run.
    fn part(&self, part: usize) -> Option<&'b SlotMemory> {
        match (self.buffers.packed, self.parts) {
            (Some(packed), _) | (None, Parts::Packed(packed)) => packed.memory(part),
            (None, Parts::Workspace(workspace, plan)) => workspace.slot(plan.program.packed.get(part)?.slot),
        }
    }

    fn texture(&self, binding: &Binding, texture: &wgpu::Texture) -> Result<BoundMemory<'b>> {
        let got = u64::from(texture.width()) * u64::from(texture.height()) * 16;
        let needed = binding.range.length * 16;
        if got < needed {
            return Err(Error::BufferTooSmall { role: "the workspace", got, needed });
        }
        let view = self.gpu.guarded(|| texture.create_view(&wgpu::TextureViewDescriptor::default()))?;
        Ok(BoundMemory::Texture(view))
    }
}

impl Gpu {
    /// Memory to bind in place of an empty operand: a range of its own for each variable.
    fn nothing_for(&self, variable: &'static str) -> BoundMemory<'_> {
        let offset = Skips::index(variable) as u64 * u64::from(self.caps().storage_alignment.max(256));
        BoundMemory::Buffer { buffer: &self.inner.nothing, offset, first: offset, end: offset + 32 }
    }
}

/// Whether a dispatch writes one range of a buffer and binds another range of it. All its storage bindings must then be `read_write`,
/// which wgpu allows for ranges of one buffer.
fn shares_a_buffer(bound: &[(&'static str, BoundMemory<'_>)], dispatch: &Dispatch) -> Result<bool> {
    let mut shared = false;
    let buffers = bound.iter().filter_map(|(variable, memory)| match memory {
        BoundMemory::Buffer { buffer, offset, end, .. } => Some((*variable, *buffer, *offset..*end)),
        BoundMemory::Texture(_) => None,
    });
    let buffers: Vec<_> = buffers.collect();
    for (index, (name, buffer, range)) in buffers.iter().enumerate() {
        for (other, _, beside) in buffers[..index].iter().filter(|(_, other, _)| other == buffer) {
            if !(WRITTEN.contains(name) || WRITTEN.contains(other)) {
                continue;
            }
            shared = true;
            // A browser compares the bound ranges, which start at aligned offsets.
            if cfg!(target_arch = "wasm32") && range.start < beside.end && beside.start < range.end {
                let [first, second] = [other, name].map(|name| dispatch.role_of(name));
                let alignment = u64::from(Caps::WEBGPU.storage_alignment);
                return Err(Error::AliasedByAlignment { first, second, alignment });
            }
        }
    }
    Ok(shared)
}

/// Variables that shaders write.
const WRITTEN: [&str; 2] = ["output", "pre_activation"];

impl Dispatch {
    /// Name of the tensor that is bound to a variable.
    fn role_of(&self, variable: &str) -> &'static str {
        let binding = self.bindings.iter().find(|b| b.variable == variable);
        match binding.map(|b| &b.resource) {
            Some(Resource::Operand(Operand::Role(role))) => role.name(),
            _ => "the workspace",
        }
    }
}

fn bind_dispatch(
    gpu: &Gpu,
    pipeline: Arc<Pipeline>,
    params: &wgpu::Buffer,
    offset: u64,
    resolved: &Resolved<'_>,
) -> Result<BoundDispatch> {
    let name = resolved.shader.name();
    let size = wgpu::BufferSize::new(resolved.params.len() as u64);
    let uniform = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: params, offset, size });
    let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: uniform }];
    for variable in pipeline.bindings.iter().skip(1) {
        let memory = resolved.bound.iter().find(|(name, _)| *name == variable.name).map(|(_, memory)| memory);
        let missing =
            || Error::Shader { shader: name.to_owned(), message: format!("nothing is bound to '{}'", variable.name) };
        let resource = memory.ok_or_else(missing)?.resource();
        entries.push(wgpu::BindGroupEntry { binding: variable.binding, resource });
    }
    let bindings = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some(name),
        layout: &pipeline.layout,
        entries: &entries,
    });
    let [x, y] = resolved.workgroups;
    Ok(BoundDispatch { pipeline, bindings, workgroups: [x, y, 1] })
}

impl Bound {
    pub(super) fn of(gpu: &Gpu, dispatches: Vec<BoundDispatch>) -> Bound {
        Bound { gpu: gpu.clone(), dispatches }
    }

    /// Joins operations of one device into one that runs them in order.
    ///
    /// # Errors
    /// [`Error::WrongDevice`] if one is of another device.
    pub fn sequence(gpu: &Gpu, operations: impl IntoIterator<Item = Bound>) -> Result<Bound> {
        let mut dispatches = Vec::new();
        for operation in operations {
            gpu.check_own(&operation.gpu, "the bound operation")?;
            dispatches.extend(operation.dispatches);
        }
        Ok(Bound { gpu: gpu.clone(), dispatches })
    }

    /// The device that it runs on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Records all dispatches into a compute pass of the same device. Allocates nothing and cannot fail.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for dispatch in &self.dispatches {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.pipeline.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }
}
