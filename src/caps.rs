//! What planning needs to know of a device: its limits and its class. A plain value, so that plans can be made and tested
//! for devices that are not there.

use crate::error::{Error, Result};

/// Names of limits, as WebGPU has them.
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

/// What kind of device runs the kernels.
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
    /// Bytes of the largest storage binding.
    pub max_binding_bytes: u64,
    /// Bytes of the largest buffer.
    pub max_buffer_bytes: u64,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub max_invocations: u32,
    /// Bytes that the offset of a storage binding is a multiple of.
    pub storage_alignment: u32,
    /// Bytes that the offset of a uniform binding is a multiple of.
    pub uniform_alignment: u32,
    /// Texels of a side of a two-dimensional texture.
    pub max_texture_side: u32,
    /// Storage buffers that a dispatch may bind.
    pub max_storage_buffers: u32,
    /// Storage textures, which are written, that a dispatch may bind.
    pub max_storage_textures: u32,
    /// Sampled textures, which are read, that a dispatch may bind.
    pub max_sampled_textures: u32,
    /// Whether shaders may read storage textures: WGSL's optional feature `readonly_and_readwrite_storage_textures`. Native
    /// devices can; of a browser it is not assumed.
    pub storage_texture_reads: bool,
    /// Iterations of all loops that one invocation may go through in one dispatch; longer sums are continued by further
    /// dispatches.
    ///
    /// Mesa's llvmpipe leaves every loop of an invocation after 65,535 iterations of all its loops together, and says
    /// nothing: sums of 90,000 ones came out as 65,101 (`direct`) and 38,833 (`gemm`), and stores in a loop were left out,
    /// with Mesa 22.3.6, LLVM 15, 2026-11-21. Which loops are unrolled and do not count is the driver's affair, so that
    /// kernels count all of them.
    ///
    /// A device of unknown class, as every device of a browser is, may be llvmpipe or SwiftShader and has the same limit.
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

impl Caps {
    /// What WebGPU promises everywhere, browsers included.
    pub const WEBGPU: Caps = Caps::of(DeviceClass::Unknown);

    /// What WebGPU promises of a device of a class.
    pub const fn of(class: DeviceClass) -> Caps {
        Caps {
            class,
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

    /// These caps with some of them changed.
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

    /// The caps of a device with these limits.
    pub fn new(limits: &wgpu::Limits, device_type: wgpu::DeviceType) -> Caps {
        let class = match device_type {
            wgpu::DeviceType::Cpu => DeviceClass::Software,
            wgpu::DeviceType::IntegratedGpu => DeviceClass::Integrated,
            wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => DeviceClass::Discrete,
            wgpu::DeviceType::Other => DeviceClass::Unknown,
        };
        Caps {
            class,
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

    /// Storage buffers that the kernel with the most of them binds.
    pub(crate) const LEAST_STORAGE_BUFFERS: u32 = 8;
    /// Invocations of the largest workgroup of a kernel.
    pub(crate) const LEAST_INVOCATIONS: u32 = 128;
    /// Bytes of workgroup memory of the kernel with most of it.
    pub(crate) const LEAST_WORKGROUP_BYTES: u32 = 16 << 10;

    /// Whether a device with these caps can run the kernels. Every device of WebGPU can.
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

    /// Elements of the largest part of a tensor that can be bound wherever it starts: a binding begins at a multiple of
    /// the alignment at or before the first element.
    pub(crate) fn max_range(&self) -> u64 {
        let elements = self.max_binding_bytes.saturating_sub(u64::from(self.storage_alignment)) / 4;
        elements.min(i32::MAX as u64)
    }

    /// Terms that an invocation may sum up in one dispatch, where each takes so many iterations.
    pub(crate) fn max_terms(&self, iterations: u32) -> u32 {
        (self.max_iterations / iterations).max(2)
    }

    /// Rough speeds of the class.
    pub(crate) fn speed(&self) -> Speed {
        match self.class {
            DeviceClass::Software => SOFTWARE,
            DeviceClass::Integrated | DeviceClass::Unknown => INTEGRATED,
            DeviceClass::Discrete => DISCRETE,
        }
    }
}

/// Rough speeds of a class of devices, for choosing between kernels: only their ratios matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Multiply-adds per second from registers.
    pub(crate) multiply_adds: f64,
    /// What a load from memory costs, in multiply-adds.
    pub(crate) load: f64,
    /// What a load of a value that all invocations of a subgroup share costs, in multiply-adds.
    pub(crate) uniform_load: f64,
    /// What a store costs, in multiply-adds.
    pub(crate) store: f64,
    /// How many times as much loads and stores cost where neighbouring invocations are not at neighbouring elements.
    pub(crate) scattered: f64,
    /// What a multiply-add costs whose sum alone is carried through the loop, in multiply-adds of four to a sum.
    pub(crate) direct_sum: f64,
    /// What a value staged in workgroup memory costs to read, in multiply-adds.
    pub(crate) staged_load: f64,
    /// What a load of a texel costs, in multiply-adds.
    pub(crate) texel_load: f64,
    /// Bytes per second.
    pub(crate) bandwidth: f64,
    /// Seconds of a dispatch.
    pub(crate) dispatch: f64,
    /// Invocations that keep the device busy, where each has one sum.
    pub(crate) invocations: f64,
    /// Sums of one invocation that count as so many invocations, at most: they do not wait for each other.
    pub(crate) parallel_sums: f64,
}

impl Speed {
    /// Share of the device that so many invocations with so many sums each keep busy.
    pub(crate) fn busy(&self, invocations: f64, sums: u32) -> f64 {
        (invocations / self.needed(sums)).clamp(1e-6, 1.0)
    }

    /// Parts that work of so many invocations is split into to keep the device busy.
    pub(crate) fn splits(&self, invocations: f64, sums: u32) -> u64 {
        (self.needed(sums) / invocations).ceil() as u64
    }

    fn needed(&self, sums: u32) -> f64 {
        self.invocations / f64::from(sums).clamp(1.0, self.parallel_sums)
    }
}

/// From lavapipe (Mesa 22.3.6, LLVM 15) on two threads of an AMD EPYC, 2026-11-21, in nanoseconds of one thread for a vector of
/// 8 lanes: 0.55 a multiply-add of four to a sum, 9 a texel of four values, 64 a load of one value and 28 a store, because
/// llvmpipe goes to buffers lane by lane, whether the lanes share the value or not. Workgroup memory is no faster, and `gemm`
/// took 14 a staged value and lane.
const SOFTWARE: Speed = Speed {
    multiply_adds: 29e9,
    load: 116.0,
    uniform_load: 116.0,
    store: 50.0,
    scattered: 1.0,
    direct_sum: 2.0,
    staged_load: 400.0,
    texel_load: 16.0,
    bandwidth: 0.4e9,
    dispatch: 50e-6,
    invocations: 256.0,
    parallel_sums: 1.0,
};
/// Guesses from data sheets, not measurements: what a load costs, and how many invocations hide it, or how many sums of one.
const INTEGRATED: Speed = Speed {
    multiply_adds: 0.5e12,
    load: 4.0,
    uniform_load: 1.0,
    store: 4.0,
    scattered: 4.0,
    direct_sum: 1.0,
    staged_load: 0.5,
    texel_load: 32.0,
    bandwidth: 50e9,
    dispatch: 10e-6,
    invocations: 16384.0,
    parallel_sums: 8.0,
};
/// As [`INTEGRATED`].
const DISCRETE: Speed = Speed {
    multiply_adds: 10e12,
    load: 4.0,
    uniform_load: 1.0,
    store: 4.0,
    scattered: 4.0,
    direct_sum: 1.0,
    staged_load: 0.5,
    texel_load: 32.0,
    bandwidth: 500e9,
    dispatch: 5e-6,
    invocations: 262_144.0,
    parallel_sums: 8.0,
};
