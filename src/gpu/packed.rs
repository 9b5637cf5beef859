use super::buffers::{Buffers, SlotMemory, check_slice};
use super::prepared::{Binder, Bound, Parts, Tables};
use super::{Gpu, Tensor};
use crate::error::{Error, Result};
use crate::kernels::program::{Dispatch, WeightLayout};
use crate::lowering::{Role, Slot};
use crate::plan::Plan;
use std::sync::Arc;

/// A weight in the layout of a kernel: packed once, read by any number of operations.
///
/// A kernel that reads a packed weight packs it on each run, unless its plan was made with
/// [`PlanOptions::packed`](crate::PlanOptions::packed). Such a plan may have another batch and other lengths than the plan that the
/// weight was packed for. The input gradient of padding that copies samples is an exception: at another length its padding may have
/// other taps, and then needs a packed weight of its own.
///
/// ```
/// use conv1d::{Buffers, Conv1d, Operation, PackedWeight, PlanOptions, Role};
///
/// let gpu = conv1d::Gpu::new()?;
/// let layer = Conv1d::new(4, 8, 3);
/// let weight = gpu.tensor(&[0.5; 96], [8, 4, 3])?;
/// let plan = gpu.plan(layer, Operation::Forward, [1, 4, 100], &PlanOptions::default())?;
/// let packed = PackedWeight::new(&gpu, &plan, &weight)?;
///
/// let options = PlanOptions::default().packed(packed.layout().clone());
/// let plan = gpu.plan(layer, Operation::Forward, [2, 4, 50], &options)?;
/// let (x, y) = (gpu.tensor(&[1.0; 400], [2, 4, 50])?, gpu.zeros([2, 8, 48])?);
/// let buffers = Buffers::new()
///     .with(Role::Input, x.slice())
///     .with(Role::Output, y.slice())
///     .with_packed(&packed);
/// gpu.run(&gpu.prepare_for(&plan, &[])?.bind(&buffers)?)?;
/// assert_eq!(y.read()?[0], 6.0);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackedWeight {
    gpu: Gpu,
    layout: Arc<WeightLayout>,
    /// The dispatches that pack it.
    packing: Vec<Dispatch>,
    /// The memory of each part. A weight in its stored layout is one part.
    memory: Vec<SlotMemory>,
    tables: Tables,
}

impl PackedWeight {
    /// Packs a weight in the layout that a plan reads.
    ///
    /// # Errors
    /// [`Error::NoWeight`] if the operation reads no weight, [`Error::Shape`] if this one does not have the shape of the plan's.
    pub fn new(gpu: &Gpu, plan: &Plan, weight: &Tensor) -> Result<PackedWeight> {
        let packed = PackedWeight::empty(gpu, plan)?;
        packed.pack(weight)?;
        Ok(packed)
    }

    /// Memory for the weight of a plan, which [`PackedWeight::pack`] or a recorded [`PackedWeight::bind`] fills.
    pub fn empty(gpu: &Gpu, plan: &Plan) -> Result<PackedWeight> {
        gpu.check_lost()?;
        gpu.check_caps(plan)?;
        let layout = plan.weight_layout().ok_or(Error::NoWeight { operation: plan.operation().name() })?;
        let packing = layout.packing(gpu.caps())?;
        let memory = match layout.parts.as_slice() {
            [] => vec![gpu.memory(Slot::Packed, layout.elements())?],
            parts => parts.iter().map(|part| gpu.memory(part.slot, part.length)).collect::<Result<_>>()?,
        };
        let tables = Tables::new(gpu, &packing)?;
        Ok(PackedWeight { gpu: gpu.clone(), layout: Arc::new(layout), packing, memory, tables })
    }

    /// The layout, for [`PlanOptions::packed`](crate::PlanOptions::packed).
    pub fn layout(&self) -> &Arc<WeightLayout> {
        &self.layout
    }

    /// Packs another weight of the same shape into the same memory. Operations that are already queued read the earlier weight.
    pub fn pack(&self, weight: &Tensor) -> Result<()> {
        weight.belongs_to(&self.gpu, Role::Weight.name())?;
        if weight.shape() != self.layout.shape {
            let (got, expected) = (weight.shape().to_vec(), format!("{:?}", self.layout.shape));
            return Err(Error::Shape { tensor: Role::Weight.name(), got, expected });
        }
        self.gpu.run(&self.bind(weight.slice())?)
    }

    /// Binds the packing to a weight. Record the result whenever the weight has changed.
    pub fn bind(&self, weight: wgpu::BufferSlice<'_>) -> Result<Bound> {
        check_slice(Role::Weight, weight, self.layout.elements() * 4)?;
        let buffers = Buffers::new().with(Role::Weight, weight);
        let binder = Binder { gpu: &self.gpu, buffers: &buffers, parts: Parts::Packed(self), tables: &self.tables };
        binder.bind(&self.packing)
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.memory.iter().map(SlotMemory::bytes).sum()
    }

    /// Checks that a plan, made for a packed weight, can read this one.
    pub(super) fn check(&self, gpu: &Gpu, plan: &Plan) -> Result<()> {
        gpu.check_own(&self.gpu, "the packed weight")?;
        match plan.weight_layout() {
            Some(layout) if layout == *self.layout => Ok(()),
            expected => Err(Error::PackedWeight {
                got: self.layout.to_string(),
                expected: expected.map_or_else(|| "none".to_owned(), |layout| layout.to_string()),
            }),
        }
    }

    /// The memory of a part. A weight in its stored layout is part 0.
    pub(super) fn memory(&self, part: usize) -> Option<&SlotMemory> {
        self.memory.get(part)
    }
}
