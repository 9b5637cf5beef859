//! Models of GPUs as plain data: the published numbers that decide how fast a compute shader can run.
//!
//! A planner ranks its kernels with them, and an interpreter of shaders predicts times with them: [`Estimate`] has the one formula that
//! both use. Every number is a [`Figure`]: a value and the place that it comes from. A number that no
//! document gives is [`Source::Assumed`], with the reason for its value.
//!
//! ```
//! let device = conv1d_models::model("rtx-4090").expect("a known name");
//! let rate = 2.0 * device.processors.value * device.clock.value * device.multiply_adds.value;
//! assert!((rate / device.peak_flops.value - 1.0).abs() < 0.03);
//! for (name, value, source) in device.figures() {
//!     println!("{name} {value} {source}");
//! }
//! ```
//!
//! # The processor
//!
//! A *processor* is the unit that runs a workgroup: all invocations of a workgroup share one processor, its workgroup
//! memory and its first-level cache. All numbers a processor are for this unit.
//!
//! | vendor | one processor |
//! | --- | --- |
//! | NVIDIA | a streaming multiprocessor |
//! | AMD (RDNA) | a workgroup processor, which is two compute units |
//! | Intel | an Xe-core, or a dual subslice of 16 execution units |
//! | Apple | a GPU core |
//! | Qualcomm | a shader processor, which is two micro shader processors (uSPTP) |
//! | Arm | a shader core |
//!
//! # How instructions share a processor
//!
//! Four numbers bound the arithmetic of a processor in a clock: [`multiply_adds`](Model::multiply_adds),
//! [`integers`](Model::integers), [`integer_multiplies`](Model::integer_multiplies) and [`issue`](Model::issue).
//!
//! - NVIDIA: four schedulers start one subgroup instruction each in a clock, of any kind. On Ampere and Ada 64 of the
//!   128 lanes do floats only and 64 do floats or integers. Hopper has 64 integer lanes beside its 128 float lanes,
//!   and four schedulers cannot feed both. Both come to the same bounds: floats and integers together fill at most 128
//!   lanes, and integers at most 64. So [`integers_beside`](Model::integers_beside) is true, within the issue rate.
//! - AMD: integers use the lanes of floats, so that their times add. A float multiply-add can pair with a second one
//!   (dual issue, or a subgroup of 64 in one pass); integers cannot. Loads, branches and scalar instructions start
//!   beside vector arithmetic.
//! - Intel: an Xe-core does floats and integers in parallel; an execution unit of Xe-LP shares its lanes.
//! - Apple: floats and integer additions share the lanes. Integer multiplication has a quarter of the rate.
//! - Qualcomm and Arm: the vendors do not say; the models share the lanes.
//!
//! # What the numbers are not
//!
//! Rates are peaks. Clocks are the boost clocks of the vendor's reference board; laptops and phones often run slower
//! for longer work. Limits are what [wgpu](https://docs.rs/wgpu) reports on the device with its usual driver; a browser
//! may report less.

mod amd;
mod apple;
mod arm;
mod estimate;
mod intel;
mod nvidia;
mod qualcomm;

pub use amd::{RADEON_780M, RX_7900_XTX};
pub use apple::{M2, M4};
pub use arm::MALI_G715;
pub use estimate::{Estimate, Work};
pub use intel::{ARC_A770, XE_INTEGRATED};
pub use nvidia::{H100, RTX_3060, RTX_4090, RTX_A6000};
pub use qualcomm::ADRENO_740;

use std::fmt;
use std::hash::{Hash, Hasher};

/// A number and the place that it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure<T = f64> {
    /// The number, in the unit of the field that holds it.
    pub value: T,
    /// Where the number comes from.
    pub source: Source,
}

/// The place that a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A document: its title, and its address where known.
    Published(&'static str),
    /// A formula of other figures.
    Derived(&'static str),
    /// A measurement: who made it, on what, and its address.
    Measured(&'static str),
    /// No source. The text says why the model has this value.
    Assumed(&'static str),
}

impl Source {
    /// The document, the formula, the measurement or the reason.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Published(text) | Self::Derived(text) | Self::Measured(text) | Self::Assumed(text) => text,
        }
    }

    /// Whether the number has no source.
    #[must_use]
    pub const fn is_assumed(&self) -> bool {
        matches!(self, Self::Assumed(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Published(_) => "published",
            Self::Derived(_) => "derived",
            Self::Measured(_) => "measured",
            Self::Assumed(_) => "assumed",
        };
        write!(f, "{kind}: {}", self.text())
    }
}

/// The designer of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// Apple.
    Apple,
    /// Qualcomm.
    Qualcomm,
    /// Arm.
    Arm,
}

/// Where a processor keeps workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkgroupMemory {
    /// In a memory of its own. The first-level cache keeps its size.
    Separate,
    /// In a part of the first-level cache. The cache shrinks by what the resident workgroups hold.
    Carved,
    /// Behind the first-level cache, like any other memory. Accesses share the bandwidth of that cache.
    Cached,
}

/// A cache of the whole device behind the L2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastLevel {
    /// The size, in bytes.
    pub bytes: Figure,
    /// The bandwidth, in bytes a second.
    pub bandwidth: Figure,
}

/// What a processor can hold at once.
///
/// A workgroup is resident when all its subgroups, its registers and its workgroup memory fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residency {
    /// The most workgroups that are resident on a processor.
    pub workgroups: Figure<u32>,
    /// The most subgroups of [`Model::subgroup`] lanes that are resident on a processor.
    pub subgroups: Figure<u32>,
    /// The 32-bit registers of a processor, of one lane each.
    pub registers: Figure<u32>,
    /// The most registers of an invocation, at [`Model::subgroup`] lanes. Values beyond it spill to memory.
    pub max_registers: Figure<u32>,
    /// An invocation's registers are rounded up to a multiple of this. Where it equals `max_registers`, every
    /// invocation holds all of them.
    pub register_step: Figure<u32>,
    /// The workgroup memory of a processor, in bytes.
    pub workgroup_bytes: Figure<u32>,
    /// The workgroup memory that the system takes for each resident workgroup besides the shader's, in bytes. `None`
    /// where it takes none.
    pub workgroup_reserve: Option<Figure<u32>>,
}

/// What the device's adapter allows, as wgpu reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `max_compute_workgroup_storage_size`, in bytes.
    pub max_workgroup_bytes: Figure<u32>,
    /// `max_compute_invocations_per_workgroup`.
    pub max_invocations: Figure<u32>,
    /// `max_storage_buffer_binding_size`, in bytes.
    pub max_binding_bytes: Figure<u64>,
    /// `max_buffer_size`, in bytes.
    pub max_buffer_bytes: Figure<u64>,
    /// `max_compute_workgroups_per_dimension`.
    pub max_workgroups: Figure<u32>,
    /// `min_storage_buffer_offset_alignment`, in bytes.
    pub storage_alignment: Figure<u32>,
    /// `max_storage_buffers_per_shader_stage`.
    pub max_storage_buffers: Figure<u32>,
}

/// A GPU. Models are equal if their names are.
#[derive(Clone, Copy)]
pub struct Model {
    /// The name for command lines, as in `rtx-4090`.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The designer.
    pub vendor: Vendor,
    /// Whether the GPU has its own memory.
    pub discrete: bool,
    /// The processors of the device: [what counts as one](crate#the-processor).
    pub processors: Figure,
    /// The boost clock of the processors, in hertz.
    pub clock: Figure,
    /// The vendor's peak rate of 32-bit float operations, in operations a second. A multiply-add counts as two.
    pub peak_flops: Figure,
    /// The lanes of a subgroup that a compute shader normally gets.
    pub subgroup: Figure<u32>,
    /// The adapter's `subgroup_min_size`.
    pub smallest_subgroup: Figure<u32>,
    /// The adapter's `subgroup_max_size`.
    pub largest_subgroup: Figure<u32>,
    /// The 32-bit float multiply-adds of a processor in a clock, counted in lanes.
    pub multiply_adds: Figure,
    /// The multiply-adds of a processor in a clock that ordinary compiled shaders reach: those without pairs of
    /// instructions that start together. Equals `multiply_adds` where the peak needs no pairs.
    pub sustained_multiply_adds: Figure,
    /// The 32-bit integer additions, comparisons or logic operations of a processor in a clock, counted in lanes.
    pub integers: Figure,
    /// The 32-bit integer multiplications of a processor in a clock, counted in lanes. Part of `integers`.
    pub integer_multiplies: Figure,
    /// Whether integer operations run beside multiply-adds, within `issue`. Otherwise they share lanes, and their
    /// times add.
    pub integers_beside: bool,
    /// The subgroup instructions of arithmetic that a processor starts in a clock.
    pub issue: Figure,
    /// Whether loads, stores, branches and barriers start beside arithmetic. Otherwise they take part of `issue`.
    pub separate_issue: bool,
    /// Whether operations on values that are uniform over a subgroup run on a unit beside the lanes.
    pub scalar_unit: bool,
    /// Where a processor keeps workgroup memory.
    pub workgroup_memory: WorkgroupMemory,
    /// The bandwidth of workgroup memory, in bytes a clock and processor.
    pub workgroup_bandwidth: Figure,
    /// The bandwidth of loads from the first-level cache, in bytes a clock and processor.
    pub cache_bandwidth: Figure,
    /// The size of the first-level cache, in bytes a processor.
    pub cache_bytes: Figure,
    /// The bandwidth of the L2, in bytes a second of the whole device.
    pub l2_bandwidth: Figure,
    /// The size of the L2, in bytes.
    pub l2_bytes: Figure,
    /// The cache between the L2 and memory, where there is one.
    pub last_level: Option<LastLevel>,
    /// The bandwidth of memory, in bytes a second.
    pub bandwidth: Figure,
    /// The time of a load from memory, in seconds.
    pub latency: Figure,
    /// The time that a dispatch adds to a pass with other dispatches that depend on each other, in seconds of the
    /// device. The time of the host to encode it is not part of it.
    pub launch: Figure,
    /// What a processor can hold at once.
    pub residency: Residency,
    /// What the adapter allows.
    pub limits: Limits,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Model {}

impl Hash for Model {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Model {
    /// Every number of the model with its name and source, in the order of the fields.
    #[must_use]
    pub fn figures(&self) -> Vec<(&'static str, f64, Source)> {
        fn real(figure: Figure) -> (f64, Source) {
            (figure.value, figure.source)
        }
        fn count(figure: Figure<u32>) -> (f64, Source) {
            (f64::from(figure.value), figure.source)
        }
        fn size(figure: Figure<u64>) -> (f64, Source) {
            (figure.value as f64, figure.source)
        }
        // Without `..`, so that a new field does not compile until it is listed.
        let Self {
            name: _,
            title: _,
            vendor: _,
            discrete: _,
            processors,
            clock,
            peak_flops,
            subgroup,
            smallest_subgroup,
            largest_subgroup,
            multiply_adds,
            sustained_multiply_adds,
            integers,
            integer_multiplies,
            integers_beside: _,
            issue,
            separate_issue: _,
            scalar_unit: _,
            workgroup_memory: _,
            workgroup_bandwidth,
            cache_bandwidth,
            cache_bytes,
            l2_bandwidth,
            l2_bytes,
            last_level,
            bandwidth,
            latency,
            launch,
            residency,
            limits,
        } = *self;
        let Residency {
            workgroups,
            subgroups,
            registers,
            max_registers,
            register_step,
            workgroup_bytes,
            workgroup_reserve,
        } = residency;
        let Limits {
            max_workgroup_bytes,
            max_invocations,
            max_binding_bytes,
            max_buffer_bytes,
            max_workgroups,
            storage_alignment,
            max_storage_buffers,
        } = limits;
        let mut figures = vec![
            ("processors", real(processors)),
            ("clock", real(clock)),
            ("peak_flops", real(peak_flops)),
            ("subgroup", count(subgroup)),
            ("smallest_subgroup", count(smallest_subgroup)),
            ("largest_subgroup", count(largest_subgroup)),
            ("multiply_adds", real(multiply_adds)),
            ("sustained_multiply_adds", real(sustained_multiply_adds)),
            ("integers", real(integers)),
            ("integer_multiplies", real(integer_multiplies)),
            ("issue", real(issue)),
            ("workgroup_bandwidth", real(workgroup_bandwidth)),
            ("cache_bandwidth", real(cache_bandwidth)),
            ("cache_bytes", real(cache_bytes)),
            ("l2_bandwidth", real(l2_bandwidth)),
            ("l2_bytes", real(l2_bytes)),
        ];
        if let Some(LastLevel { bytes, bandwidth }) = last_level {
            figures.push(("last_level.bytes", real(bytes)));
            figures.push(("last_level.bandwidth", real(bandwidth)));
        }
        figures.extend([
            ("bandwidth", real(bandwidth)),
            ("latency", real(latency)),
            ("launch", real(launch)),
            ("residency.workgroups", count(workgroups)),
            ("residency.subgroups", count(subgroups)),
            ("residency.registers", count(registers)),
            ("residency.max_registers", count(max_registers)),
            ("residency.register_step", count(register_step)),
            ("residency.workgroup_bytes", count(workgroup_bytes)),
        ]);
        if let Some(workgroup_reserve) = workgroup_reserve {
            figures.push(("residency.workgroup_reserve", count(workgroup_reserve)));
        }
        figures.extend([
            ("limits.max_workgroup_bytes", count(max_workgroup_bytes)),
            ("limits.max_invocations", count(max_invocations)),
            ("limits.max_binding_bytes", size(max_binding_bytes)),
            ("limits.max_buffer_bytes", size(max_buffer_bytes)),
            ("limits.max_workgroups", count(max_workgroups)),
            ("limits.storage_alignment", count(storage_alignment)),
            ("limits.max_storage_buffers", count(max_storage_buffers)),
        ]);
        figures.into_iter().map(|(name, (value, source))| (name, value, source)).collect()
    }
}

/// All models.
pub const MODELS: &[&Model] = &[
    &H100,
    &RTX_4090,
    &RTX_3060,
    &RTX_A6000,
    &RX_7900_XTX,
    &RADEON_780M,
    &ARC_A770,
    &XE_INTEGRATED,
    &M2,
    &M4,
    &ADRENO_740,
    &MALI_G715,
];

/// The model with this [name](Model::name).
#[must_use]
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name).copied()
}

const fn published<T: Copy>(value: T, document: &'static str) -> Figure<T> {
    Figure { value, source: Source::Published(document) }
}

const fn derived<T: Copy>(value: T, formula: &'static str) -> Figure<T> {
    Figure { value, source: Source::Derived(formula) }
}

const fn measured<T: Copy>(value: T, measurement: &'static str) -> Figure<T> {
    Figure { value, source: Source::Measured(measurement) }
}

const fn assumed<T: Copy>(value: T, reason: &'static str) -> Figure<T> {
    Figure { value, source: Source::Assumed(reason) }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

// Limits that drivers share.

const fn workgroups_65535() -> Figure<u32> {
    published(65535, "WebGPU, maxComputeWorkgroupsPerDimension, https://gpuweb.github.io/gpuweb/#limits")
}

/// A driver that reports a range of 4 GiB - 1.
const fn binding_2_gib() -> Figure<u64> {
    derived(
        (1 << 31) - 4,
        "The driver's maxStorageBufferRange, 2^32 - 1, which wgpu-hal 30.0.2 lowers to 2^31 - 1 and a multiple of 4",
    )
}

/// wgpu's cap on Linux and Android for all vendors but NVIDIA.
const fn buffer_2_gib() -> Figure<u64> {
    published((1 << 31) - 1, "wgpu-hal 30.0.2, src/vulkan/adapter.rs: its cap on Linux and Android")
}

const fn alignment_32() -> Figure<u32> {
    published(32, "wgpu-hal 30.0.2, src/auxil/mod.rs: it raises what the driver reports to at least 32")
}

const fn storage_buffers_8() -> Figure<u32> {
    assumed(8, "The least that WebGPU guarantees. Drivers of this vendor report more, by driver version")
}

#[cfg(test)]
mod tests;
