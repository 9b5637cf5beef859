//! Limits and class of a device, as planning needs them. A plain value, so that plans can be made and tested for devices
//! that are not present.

use crate::error::{Error, Result};
use conv1d_models::{self as models, Model};

/// Names of limits, as in WebGPU.
pub(crate) mod limit {
    pub(crate) const BINDING_BYTES: &str = "max_storage_buffer_binding_size";
    pub(crate) const BUFFER_BYTES: &str = "max_buffer_size";
    pub(crate) const INVOCATIONS: &str = "max_compute_invocations_per_workgroup";
    pub(crate) const SAMPLED_TEXTURES: &str = "max_sampled_textures_per_shader_stage";
    pub(crate) const STORAGE_ALIGNMENT: &str = "min_storage_buffer_offset_alignment";
    pub(crate) const STORAGE_BUFFERS: &str = "max_storage_buffers_per_shader_stage";
    pub(crate) const STORAGE_TEXTURES: &str = "max_storage_textures_per_shader_stage";
    pub(crate) const STORAGE_TEXTURE_READS: &str = "readonly_and_readwrite_storage_textures";
    pub(crate) const TEXTURE_SIDE: &str = "max_texture_dimension_2d";
    pub(crate) const WORKGROUPS: &str = "max_compute_workgroups_per_dimension";
    pub(crate) const WORKGROUP_BYTES: &str = "max_compute_workgroup_storage_size";
}

/// The kind of device that runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceClass {
    /// The processor, through a software driver such as Mesa's lavapipe.
    Software,
    /// A GPU that shares memory with the processor.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
    /// Unknown, as in a browser.
    Unknown,
}

/// Limits and class of a device. [`Caps::new`] takes them from a real device; [`Caps::with`] changes some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Caps {
    /// Class of the device.
    pub class: DeviceClass,
    /// The model by which the planner predicts times: the device itself, or one like it. `None` for a software driver, whose times
    /// were measured.
    pub model: Option<&'static Model>,
    /// Size of the largest storage binding, in bytes.
    pub max_binding_bytes: u64,
    /// Size of the largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Most workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Workgroup memory, in bytes.
    pub max_workgroup_bytes: u32,
    /// Most invocations of a workgroup.
    pub max_invocations: u32,
    /// Alignment of the offset of a storage binding, in bytes.
    pub storage_alignment: u32,
    /// Alignment of the offset of a uniform binding, in bytes.
    pub uniform_alignment: u32,
    /// Longest side of a two-dimensional texture, in texels.
    pub max_texture_side: u32,
    /// Most storage buffers that a dispatch may bind.
    pub max_storage_buffers: u32,
    /// Most storage textures (written) that a dispatch may bind.
    pub max_storage_textures: u32,
    /// Most sampled textures (read) that a dispatch may bind.
    pub max_sampled_textures: u32,
    /// Whether shaders may read storage textures: WGSL's optional feature `readonly_and_readwrite_storage_textures`.
    /// Assumed of native devices, but not of browsers.
    pub storage_texture_reads: bool,
    /// Most loop iterations of one invocation in one dispatch, counted over all its loops; further dispatches continue longer
    /// sums.
    ///
    /// Mesa's llvmpipe silently leaves every loop of an invocation after 65,535 iterations of all its loops together: sums of
    /// 90,000 ones came out as 65,101 (`direct`) and 38,833 (`gemm`), and stores in a loop were left out, with Mesa 22.3.6,
    /// LLVM 15, 2026-11-21. Unrolled loops do not count, but the driver decides which loops it unrolls, so kernels count all
    /// of them.
    ///
    /// A device of unknown class, such as every device of a browser, may be llvmpipe or SwiftShader and has the same limit.
    pub max_iterations: u32,
}

/// llvmpipe's 65,535 less the loops of a kernel before and after its sums, which are a few hundred iterations.
const SOFTWARE_MAX_ITERATIONS: u32 = 64_000;

const fn max_iterations(class: DeviceClass) -> u32 {
    match class {
        DeviceClass::Software | DeviceClass::Unknown => SOFTWARE_MAX_ITERATIONS,
        DeviceClass::Integrated | DeviceClass::Discrete => u32::MAX,
    }
}

/// The model of a device of which only the class is known: one of the middle of its class, so that no plan is far off on a smaller or a
/// larger one. A browser does not say what it runs on; integrated GPUs are the most frequent.
const fn model_of(class: DeviceClass) -> Option<&'static Model> {
    match class {
        DeviceClass::Software => None,
        DeviceClass::Integrated | DeviceClass::Unknown => Some(&models::RADEON_780M),
        DeviceClass::Discrete => Some(&models::RTX_3060),
    }
}

/// The model that is most like an adapter: by the words of its name, or else by its vendor.
fn like(name: &str, vendor: u32, class: DeviceClass) -> Option<&'static Model> {
    let name = name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let discrete = class == DeviceClass::Discrete;
    let named = models::MODELS.iter().find(|model| model.name.split('-').all(|word| words.contains(&word)));
    // Metal has no vendor numbers.
    let vendor = if has(&["apple"]) { 0x106b } else { vendor };
    let by_vendor = match vendor {
        // The numbers of the PCI registry, and Qualcomm's and Arm's of Vulkan.
        0x10de if has(&["h100", "h200", "gh200", "b200", "a100"]) => Some(&models::H100),
        0x10de if ["rtx 40", "rtx 50", "l40"].iter().any(|series| name.contains(series)) => Some(&models::RTX_4090),
        0x10de => Some(&models::RTX_3060),
        0x1002 | 0x1022 if discrete => Some(&models::RX_7900_XTX),
        0x1002 | 0x1022 => Some(&models::RADEON_780M),
        0x8086 if discrete => Some(&models::ARC_A770),
        0x8086 => Some(&models::XE_INTEGRATED),
        0x106b if has(&["m3", "m4", "m5"]) => Some(&models::M4),
        0x106b => Some(&models::M2),
        0x5143 => Some(&models::ADRENO_740),
        0x13b5 => Some(&models::MALI_G715),
        _ => None,
    };
    named.copied().or(by_vendor)
}

impl Caps {
    /// The limits that WebGPU guarantees everywhere, browsers included.
    pub const WEBGPU: Caps = Caps::of(DeviceClass::Unknown);

    /// The limits that WebGPU guarantees, for a device of this class.
    pub const fn of(class: DeviceClass) -> Caps {
        Caps {
            class,
            model: model_of(class),
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            max_workgroups: 65_535,
            max_workgroup_bytes: 16 << 10,
            max_invocations: 256,
            storage_alignment: 256,
            uniform_alignment: 256,
            max_texture_side: 8192,
            max_storage_buffers: 8,
            max_storage_textures: 4,
            max_sampled_textures: 16,
            storage_texture_reads: false,
            max_iterations: max_iterations(class),
        }
    }

    /// These caps, modified by `change`.
    ///
    /// ```
    /// use conv1d::{Caps, DeviceClass};
    /// let discrete = Caps::WEBGPU.with(|caps| caps.class = DeviceClass::Discrete);
    /// assert_eq!(discrete.max_workgroups, Caps::WEBGPU.max_workgroups);
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Caps)) -> Caps {
        change(&mut self);
        self
    }

    /// The caps of a device of this model, with the limits that its adapter reports natively.
    ///
    /// ```
    /// use conv1d::{Caps, Conv1d, Operation, models};
    /// let caps = Caps::of_model(models::model("rtx-4090").unwrap());
    /// let plan = Conv1d::new(64, 64, 3).plan(Operation::Forward, [8, 64, 4096], &caps)?;
    /// println!("{plan:#}");
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub const fn of_model(model: &'static Model) -> Caps {
        let class = if model.discrete { DeviceClass::Discrete } else { DeviceClass::Integrated };
        let limits = &model.limits;
        Caps {
            model: Some(model),
            max_binding_bytes: limits.max_binding_bytes.value,
            max_buffer_bytes: limits.max_buffer_bytes.value,
            max_workgroups: limits.max_workgroups.value,
            max_workgroup_bytes: limits.max_workgroup_bytes.value,
            max_invocations: limits.max_invocations.value,
            storage_alignment: limits.storage_alignment.value,
            max_storage_buffers: limits.max_storage_buffers.value,
            storage_texture_reads: true,
            ..Caps::of(class)
        }
    }

    /// The caps of a device with these limits, of this adapter.
    pub fn new(limits: &wgpu::Limits, adapter: &wgpu::AdapterInfo) -> Caps {
        let class = match adapter.device_type {
            wgpu::DeviceType::Cpu => DeviceClass::Software,
            wgpu::DeviceType::IntegratedGpu => DeviceClass::Integrated,
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => DeviceClass::Discrete,
            wgpu::DeviceType::Other => DeviceClass::Unknown,
        };
        let model = match class {
            DeviceClass::Software => None,
            _ => like(&adapter.name, adapter.vendor, class).or(model_of(class)),
        };
        Caps {
            class,
            model,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment,
            max_texture_side: limits.max_texture_dimension_2d,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_storage_textures: limits.max_storage_textures_per_shader_stage,
            max_sampled_textures: limits.max_sampled_textures_per_shader_stage,
            storage_texture_reads: cfg!(not(target_arch = "wasm32")),
            max_iterations: max_iterations(class),
        }
    }

    /// Storage buffers that a device must allow in one dispatch.
    pub(crate) const LEAST_STORAGE_BUFFERS: u32 = 8;
    /// Invocations of the largest workgroup of any kernel.
    pub(crate) const LEAST_INVOCATIONS: u32 = 128;
    /// Largest workgroup memory of any kernel, in bytes.
    pub(crate) const LEAST_WORKGROUP_BYTES: u32 = 16 << 10;

    /// Checks that a device with these caps can run the kernels. Every WebGPU device can.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceLimit`] with the first of these limits that is too low, by its name in WebGPU:
    ///
    /// | limit | needed |
    /// | --- | ---: |
    /// | `max_storage_buffers_per_shader_stage` | 8 |
    /// | `max_compute_invocations_per_workgroup` | 128 |
    /// | `max_compute_workgroup_storage_size` | 16,384 |
    /// | `max_storage_buffer_binding_size` | 1,024 |
    pub fn check(&self) -> Result<()> {
        for (limit, available, needed) in [
            (limit::STORAGE_BUFFERS, self.max_storage_buffers.into(), Self::LEAST_STORAGE_BUFFERS.into()),
            (limit::INVOCATIONS, self.max_invocations.into(), Self::LEAST_INVOCATIONS.into()),
            (limit::WORKGROUP_BYTES, self.max_workgroup_bytes.into(), Self::LEAST_WORKGROUP_BYTES.into()),
            (limit::BINDING_BYTES, self.max_binding_bytes, 1024),
        ] {
            if available < needed {
                return Err(Error::DeviceLimit { limit, available, needed });
            }
        }
        Ok(())
    }

    /// Elements of the largest slice of a tensor that fits one binding wherever the slice starts: a binding begins at a
    /// multiple of the alignment at or before the first element.
    pub fn max_range(&self) -> u64 {
        let elements = self.max_binding_bytes.saturating_sub(u64::from(self.storage_alignment)) / 4;
        elements.min(i32::MAX as u64)
    }

    /// Most terms that an invocation may sum in one dispatch, if each takes `iterations` loop iterations.
    pub(crate) fn max_terms(&self, iterations: u32) -> u32 {
        (self.max_iterations / iterations).max(2)
    }

    /// Number of splits with which the work of `invocations`, with `sums` independent sums each, keeps the device busy.
    pub(crate) fn splits(&self, invocations: f64, sums: u32) -> u64 {
        let needed = match self.model {
            None => SOFTWARE.invocations,
            // Enough subgroups to hide a load: 16 a processor, or 32 where an invocation has few sums.
            Some(model) => {
                let subgroups = if sums >= 4 { 16.0 } else { 32.0 };
                model.processors.value * subgroups * f64::from(model.subgroup.value)
            }
        };
        (needed / invocations).ceil() as u64
    }
}

/// Costs of operations on a software driver, for choosing between kernels; only their ratios matter. GPUs have models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Multiply-adds per second from registers.
    pub(crate) multiply_adds: f64,
    /// Cost of a load from memory, in multiply-adds.
    pub(crate) load: f64,
    /// Cost of a store, in multiply-adds.
    pub(crate) store: f64,
    /// Relative cost of a multiply-add whose accumulator is loop-carried; 1 is a multiply-add of four into one accumulator.
    pub(crate) direct_sum: f64,
    /// Cost of a load of a value staged in workgroup memory, in multiply-adds.
    pub(crate) staged_load: f64,
    /// Cost of a load of a texel, in multiply-adds.
    pub(crate) texel_load: f64,
    /// Memory bandwidth, in bytes per second.
    pub(crate) bandwidth: f64,
    /// Overhead of a dispatch, in seconds.
    pub(crate) dispatch: f64,
    /// Invocations that keep the processors busy.
    pub(crate) invocations: f64,
}

impl Speed {
    /// Fraction of the processors that `invocations` keep busy.
    pub(crate) fn busy(&self, invocations: f64) -> f64 {
        (invocations / self.invocations).clamp(1e-6, 1.0)
    }
}

/// Measured on lavapipe (Mesa 22.3.6, LLVM 15) with two threads of an AMD EPYC, 2026-11-21, in nanoseconds of one thread for a
/// vector of 8 lanes: 0.55 for a multiply-add of four into one sum, 9 for a texel of four values, 64 for a load of one value
/// and 28 for a store, because llvmpipe accesses buffers lane by lane, whether the lanes share the value or not. Workgroup
/// memory is no faster: `gemm` took 14 for each staged value and lane.
pub(crate) const SOFTWARE: Speed = Speed {
    multiply_adds: 29e9,
    load: 116.0,
    store: 50.0,
    direct_sum: 2.0,
    staged_load: 400.0,
    texel_load: 16.0,
    bandwidth: 0.4e9,
    dispatch: 50e-6,
    invocations: 256.0,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Adapters get the model of their name, or of their vendor.
    #[test]
    fn adapters_get_a_model_like_them() {
        for (name, vendor, class, model) in [
            ("NVIDIA GeForce RTX 4090", 0x10de, DeviceClass::Discrete, "rtx-4090"),
            ("NVIDIA GeForce RTX 4060 Laptop GPU", 0x10de, DeviceClass::Discrete, "rtx-4090"),
            ("NVIDIA GeForce GTX 1080", 0x10de, DeviceClass::Discrete, "rtx-3060"),
            ("NVIDIA H200", 0x10de, DeviceClass::Discrete, "h100"),
            ("AMD Radeon RX 6600 (RADV NAVI23)", 0x1002, DeviceClass::Discrete, "rx-7900-xtx"),
            ("AMD Radeon 780M (RADV GFX1103_R1)", 0x1002, DeviceClass::Integrated, "radeon-780m"),
            ("Intel(R) Arc(tm) A770 Graphics (DG2)", 0x8086, DeviceClass::Discrete, "arc-a770"),
            ("Intel(R) UHD Graphics 630", 0x8086, DeviceClass::Integrated, "xe-integrated"),
            ("Apple M2 Pro", 0, DeviceClass::Integrated, "m2"),
            ("Apple M3 Max", 0, DeviceClass::Integrated, "m4"),
            ("Adreno (TM) 740", 0x5143, DeviceClass::Integrated, "adreno-740"),
            ("Mali-G78", 0x13b5, DeviceClass::Integrated, "mali-g715"),
            ("", 0, DeviceClass::Unknown, "radeon-780m"),
        ] {
            let found = like(name, vendor, class).or(model_of(class));
            assert_eq!(found.map(|found| found.name), Some(model), "{name}");
        }
    }
}
