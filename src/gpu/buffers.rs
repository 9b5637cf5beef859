use super::{Gpu, PackedWeight};
use crate::error::{Error, Result};
use crate::geometry::Shapes;
use crate::kernels::program::TEXTURE_WIDTH;
use crate::lowering::{Role, Slot};
use crate::plan::Plan;

/// The caller's buffers for the tensors of an operation: slices whose offset is a multiple of 4 bytes. The buffers must be of the
/// device that the plan is prepared for. wgpu refuses buffers of another device of the same instance; it cannot detect those of
/// another instance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffers<'a> {
    slices: [Option<wgpu::BufferSlice<'a>>; ROLES.len()],
    pub(super) packed: Option<&'a PackedWeight>,
}

const ROLES: [Role; 10] = [
    Role::Input,
    Role::Weight,
    Role::Bias,
    Role::Output,
    Role::OutputGradient,
    Role::InputGradient,
    Role::WeightGradient,
    Role::BiasGradient,
    Role::Residual,
    Role::PreActivation,
];

impl<'a> Buffers<'a> {
    /// No buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the buffer of a tensor.
    #[must_use]
    pub fn with(mut self, role: Role, slice: wgpu::BufferSlice<'a>) -> Self {
        self.slices[role as usize] = Some(slice);
        self
    }

    /// The buffer of a tensor.
    pub fn get(&self, role: Role) -> Option<wgpu::BufferSlice<'a>> {
        self.slices[role as usize]
    }

    /// The tensors that have a buffer.
    pub fn roles(&self) -> Vec<Role> {
        ROLES.into_iter().filter(|&role| self.get(role).is_some()).collect()
    }

    /// Adds the packed weight, for a plan made with [`PlanOptions::packed`](crate::PlanOptions::packed).
    #[must_use]
    pub fn with_packed(mut self, packed: &'a PackedWeight) -> Self {
        self.packed = Some(packed);
        self
    }

    /// Checks that these are the tensors that the plan needs and no others.
    pub(super) fn check(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        match self.packed {
            Some(packed) if plan.reads_packed_weight() => packed.check(gpu, plan)?,
            Some(_) => return Err(Error::UnusedBuffer { role: "the packed weight" }),
            None if plan.reads_packed_weight() => return Err(Error::MissingBuffer { role: "the packed weight" }),
            None => {}
        }
        let (inputs, outputs) = (plan.inputs(), [Some(plan.output()), plan.optional_output()]);
        let used = |role: Role| outputs.contains(&Some(role)) || inputs.contains(&role);
        let optional = |role: Role| role == Role::Bias || plan.optional_output() == Some(role);
        // A missing buffer is reported before an unused one: after a mix-up of roles, that error says more.
        for role in ROLES.into_iter().filter(|&role| used(role) && !optional(role)) {
            if self.get(role).is_none() && bytes(role, plan.shapes()) > 0 {
                return Err(Error::MissingBuffer { role: role.name() });
            }
        }
        for role in ROLES {
            let Some(slice) = self.get(role) else { continue };
            if !used(role) {
                return Err(Error::UnusedBuffer { role: role.name() });
            }
            check_slice(role, slice, bytes(role, plan.shapes()))?;
            for output in outputs.into_iter().flatten().filter(|&output| output != role) {
                let elements = |role: Role, slice: wgpu::BufferSlice<'_>| {
                    slice.offset()..slice.offset() + bytes(role, plan.shapes())
                };
                let overlaps = |out: wgpu::BufferSlice<'a>| {
                    let (mine, theirs) = (elements(role, slice), elements(output, out));
                    out.buffer() == slice.buffer() && mine.start < theirs.end && theirs.start < mine.end
                };
                if self.get(output).is_some_and(overlaps) {
                    return Err(Error::Aliased { first: role.name(), second: output.name() });
                }
            }
        }
        Ok(())
    }
}

fn bytes(role: Role, shapes: &Shapes) -> u64 {
    role.shape(shapes).iter().map(|&d| d as u64).product::<u64>() * 4
}

pub(super) fn check_slice(role: Role, slice: wgpu::BufferSlice<'_>, needed: u64) -> Result<()> {
    if slice.offset() % 4 != 0 {
        return Err(Error::BufferMisaligned { role: role.name(), offset: slice.offset() });
    }
    if slice.size() < needed {
        return Err(Error::BufferTooSmall { role: role.name(), got: slice.size(), needed });
    }
    if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(Error::BufferUsage { role: role.name(), usage: "STORAGE" });
    }
    Ok(())
}

/// Scratch memory of plans. One workspace serves any number of bound operations that run one after another.
///
/// ```
/// use conv1d::{Buffers, Conv1d, Gpu, Operation, PlanOptions, Role, Workspace};
///
/// let gpu = Gpu::new()?;
/// let options = PlanOptions::default();
/// let a = gpu.plan(Conv1d::new(4, 8, 3), Operation::Forward, [1, 4, 100], &options)?;
/// let b = gpu.plan(Conv1d::new(8, 4, 3), Operation::Forward, [1, 8, 98], &options)?;
/// let workspace = Workspace::new(&gpu, &[&a, &b])?;
///
/// let (x, y, z) = (gpu.tensor(&[1.0; 400], [1, 4, 100])?, gpu.zeros([1, 8, 98])?, gpu.zeros([1, 4, 96])?);
/// let (v, w) = (gpu.tensor(&[0.5; 96], [8, 4, 3])?, gpu.tensor(&[0.5; 96], [4, 8, 3])?);
/// for (plan, input, weight, output) in [(&a, &x, &v, &y), (&b, &y, &w, &z)] {
///     let buffers = Buffers::new()
///         .with(Role::Input, input.slice())
///         .with(Role::Weight, weight.slice())
///         .with(Role::Output, output.slice());
///     let prepared = gpu.prepare_for(plan, &[])?;
///     gpu.run(&prepared.bind_with(&buffers, &workspace)?)?;
/// }
/// assert_eq!(z.read()?[0], 72.0); // 8 * 3 * 0.5 times y, which is 4 * 3 * 0.5
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Workspace {
    gpu: Gpu,
    slots: [Option<SlotMemory>; Slot::ALL.len()],
}

/// Memory of a slot.
#[derive(Debug, Clone)]
pub(super) enum SlotMemory {
    Buffer(wgpu::Buffer),
    Texture(wgpu::Texture),
}

impl SlotMemory {
    pub(super) fn buffer(&self) -> Option<&wgpu::Buffer> {
        match self {
            SlotMemory::Buffer(buffer) => Some(buffer),
            SlotMemory::Texture(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            SlotMemory::Buffer(buffer) => buffer.size(),
            SlotMemory::Texture(texture) => u64::from(texture.width()) * u64::from(texture.height()) * 16,
        }
    }
}

/// Format of the textures of a workspace.
pub(super) const TEXEL_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

impl Workspace {
    /// Allocates a workspace that is large enough for each of the plans, one at a time.
    pub fn new(gpu: &Gpu, plans: &[&Plan]) -> Result<Workspace> {
        gpu.check_lost()?;
        let mut slots = [const { None }; Slot::ALL.len()];
        for slot in Slot::ALL {
            let elements = plans.iter().map(|p| p.program.slots[slot as usize]).max().unwrap_or(0);
            if elements > 0 {
                slots[slot as usize] = Some(gpu.memory(slot, elements)?);
            }
        }
        Ok(Workspace { gpu: gpu.clone(), slots })
    }

    /// The device of the workspace.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Its buffers. Their contents are undefined after an operation.
    pub fn buffers(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        self.slots.iter().flatten().filter_map(SlotMemory::buffer)
    }

    /// Its textures. Their contents are undefined after an operation.
    pub fn textures(&self) -> impl Iterator<Item = &wgpu::Texture> {
        self.slots.iter().flatten().filter_map(|memory| match memory {
            SlotMemory::Buffer(_) => None,
            SlotMemory::Texture(texture) => Some(texture),
        })
    }

    /// Bytes of all buffers and textures.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().flatten().map(SlotMemory::bytes).sum()
    }

    pub(super) fn slot(&self, slot: Slot) -> Option<&SlotMemory> {
        self.slots[slot as usize].as_ref()
    }
}

impl Gpu {
    /// A buffer for storage bindings and for copies from and to it.
    pub(super) fn storage_buffer(&self, label: &'static str, bytes: u64) -> Result<wgpu::Buffer> {
        let limit = self.caps().max_buffer_bytes;
        if bytes > limit {
            return Err(Error::TooLarge { what: "bytes of a buffer", value: bytes, limit });
        }
        use wgpu::BufferUsages as Usage;
        self.guarded(|| {
            self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes.max(4),
                usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Memory of a slot for `length` elements, or texels if the slot is a texture.
    pub(super) fn memory(&self, slot: Slot, length: u64) -> Result<SlotMemory> {
        Ok(if slot.is_texture() {
            SlotMemory::Texture(self.texel_texture(length)?)
        } else {
            SlotMemory::Buffer(self.storage_buffer("conv1d workspace", length * 4)?)
        })
    }

    /// A texture that holds a sequence of texels, row after row.
    fn texel_texture(&self, texels: u64) -> Result<wgpu::Texture> {
        let (height, limit) = (texels.div_ceil(TEXTURE_WIDTH.into()), u64::from(self.caps().max_texture_side));
        if height > limit {
            return Err(Error::TooLarge { what: "rows of a texture", value: height, limit });
        }
        use wgpu::TextureUsages as Usage;
        self.guarded(|| {
            self.device().create_texture(&wgpu::TextureDescriptor {
                label: Some("conv1d workspace"),
                size: wgpu::Extent3d { width: TEXTURE_WIDTH, height: height as u32, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: TEXEL_FORMAT,
                usage: Usage::STORAGE_BINDING | Usage::TEXTURE_BINDING | Usage::COPY_DST,
                view_formats: &[],
            })
        })
    }

    /// A buffer that holds `contents`, a multiple of 4 bytes.
    pub(super) fn filled_buffer(
        &self,
        label: &'static str,
        contents: &[u8],
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer> {
        let (bytes, limit) = (contents.len() as u64, self.caps().max_buffer_bytes);
        if bytes > limit {
            return Err(Error::TooLarge { what: "bytes of a buffer", value: bytes, limit });
        }
        let buffer = self.guarded(|| {
            self.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes.max(4),
                usage,
                mapped_at_creation: true,
            })
        })?;
        if !contents.is_empty() {
            let mut view = self
                .guarded(|| buffer.get_mapped_range_mut(..bytes))?
                .map_err(|e| Error::DeviceLost { message: e.to_string() })?;
            view.copy_from_slice(contents);
        }
        self.guarded(|| buffer.unmap())?;
        Ok(buffer)
    }
}
