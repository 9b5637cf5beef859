//! AMD RDNA 3. A processor is a workgroup processor: two compute units, with 4 SIMD units of 32 lanes in all, and one
//! workgroup memory. Each SIMD unit has a register file. Compute shaders run in workgroup-processor mode, where a
//! workgroup spreads over both compute units. A model has half as many processors as AMD counts compute units.
//!
//! Vulkan drivers normally give compute shaders subgroups of 64. A multiply-add of such a subgroup can pass in one
//! clock, on twice the lanes; integer operations take two clocks. In subgroups of 32 the compiler must find pairs.
//! Measurements often show half of the peak. A scalar unit computes what is uniform, beside the lanes.

use crate::{
    Figure, KIB, LastLevel, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, alignment_32, assumed,
    binding_2_gib, buffer_2_gib, derived, measured, published, storage_buffers_8, workgroups_65535,
};

const RX_7900_XTX_SHEET: &str = "Radeon RX 7900 XTX specifications, \
    https://guru3d.com/review/xfx-radeon-rx-7900-xtx-magair-review/page-4";
const RADEON_780M_SHEET: &str = "Radeon 780M specifications, \
    https://fpsbench.com/compare/gpu/amd-radeon-760m-vs-amd-radeon-780m";
const PROFILER: &str = "ROCm Compute Profiler, workgroup processor, 128 multiply-adds a clock and compute unit, \
    https://rocm.docs.amd.com/projects/rocprofiler-compute/en/develop/conceptual/rdna/wgp.html";
const ISA: &str = "AMD RDNA3 Instruction Set Architecture, https://gpuopen.com/rdna3-isa-guide-now-available/";
const IREE: &str = "IREE, KnownTargets.cpp, getRDNA3WgpDetails, https://github.com/iree-org/iree";
const LANES: &str = "4 SIMD units of 32 lanes";
const CLPEAK: &str = "clpeak on an RX 7900 XT: 28 of 52 TFLOPS, half of the peak, \
    https://gist.github.com/gartnera/4b9dca45cb6be647dbb12e25c2b645db";
const CLPEAK_INTEGERS: &str = "clpeak on an RX 7900 XT: 7.1 Tops/s of integer multiply-adds on 42 processors, \
    https://gist.github.com/gartnera/4b9dca45cb6be647dbb12e25c2b645db";
const L0: &str = "gpu-benches, gpu-cache/rx6900xt.txt: 13.4 TB/s on 80 compute units at 2.55 GHz (RDNA 2), \
    which is 64 bytes a clock and compute unit; RDNA 3 may be faster, https://github.com/te42kyfo/gpu-benches";
const LAUNCH: &str = "gpu-benches, gpu-small-kernels/rx6900xt.txt: dependent small kernels on an RX 6900 XT (RDNA 2), \
    https://github.com/te42kyfo/gpu-benches";

const fn residency(registers: Figure<u32>, register_step: Figure<u32>) -> Residency {
    Residency {
        workgroups: assumed(32, "LLVM's AMDGPU backend counts 32 barriers a workgroup processor"),
        subgroups: derived(64, "16 subgroups on each of 4 SIMD units (LLVM's AMDGPU backend, gfx10.3 and later)"),
        registers,
        max_registers: published(256, ISA),
        register_step,
        workgroup_bytes: published(128 << 10, ISA),
        workgroup_reserve: None,
    }
}

const LIMITS: Limits = Limits {
    max_workgroup_bytes: published(64 << 10, IREE),
    max_invocations: published(1024, IREE),
    max_binding_bytes: binding_2_gib(),
    max_buffer_bytes: buffer_2_gib(),
    max_workgroups: workgroups_65535(),
    storage_alignment: alignment_32(),
    max_storage_buffers: storage_buffers_8(),
};

/// The AMD Radeon RX 7900 XTX. One processor is a workgroup processor of two compute units.
pub const RX_7900_XTX: Model = Model {
    name: "rx-7900-xtx",
    title: "AMD Radeon RX 7900 XTX",
    vendor: Vendor::Amd,
    discrete: true,
    processors: derived(48.0, "Half of the 96 compute units that AMD counts"),
    clock: published(2.5e9, RX_7900_XTX_SHEET),
    peak_flops: published(61.4e12, RX_7900_XTX_SHEET),
    subgroup: published(64, "IREE, convert_gpu_target.mlir for RDNA 3 on Vulkan, https://github.com/iree-org/iree"),
    smallest_subgroup: published(32, IREE),
    largest_subgroup: published(64, IREE),
    multiply_adds: published(256.0, PROFILER),
    sustained_multiply_adds: measured(128.0, CLPEAK),
    integers: derived(128.0, LANES),
    integer_multiplies: measured(32.0, CLPEAK_INTEGERS),
    integers_beside: false,
    issue: derived(4.0, "One vector instruction a clock on each of 4 SIMD units"),
    separate_issue: true,
    scalar_unit: true,
    workgroup_memory: WorkgroupMemory::Separate,
    workgroup_bandwidth: derived(256.0, "64 banks of 4 bytes a clock (IREE's KnownTargets.cpp counts the banks)"),
    cache_bandwidth: measured(128.0, L0),
    cache_bytes: derived(64.0 * KIB, "An L0 vector cache of 32 KiB in each of 2 compute units"),
    l2_bandwidth: assumed(3.8e12, "24 slices of 256 KiB at 64 bytes a clock of 2.5 GHz; AMD publishes no bandwidth"),
    l2_bytes: published(6.0 * MIB, "Radeon RX 7900 XTX, https://cputronic.com/en/gpu/amd-radeon-rx-7900-xtx"),
    last_level: Some(LastLevel {
        bytes: published(96.0 * MIB, RX_7900_XTX_SHEET),
        bandwidth: published(3.5e12, RX_7900_XTX_SHEET),
    }),
    bandwidth: published(9.6e11, RX_7900_XTX_SHEET),
    latency: assumed(
        2.5e-7,
        "The last-level cache takes 150 ns (Chips and Cheese, Latency Testing is Hard); memory is taken 100 ns later",
    ),
    launch: measured(3.4e-6, LAUNCH),
    residency: residency(
        derived(
            4 * 1536 * 32,
            "4 SIMD units with 1536 registers of 32 lanes: 384 KiB a compute unit (ROCm's libhsakmt)",
        ),
        derived(12, "LLVM's AMDGPU backend: 24 registers of 32 lanes, which is 12 of 64"),
    ),
    limits: LIMITS,
};

/// The AMD Radeon 780M, in Ryzen 7040 processors. One processor is a workgroup processor of two compute units.
pub const RADEON_780M: Model = Model {
    name: "radeon-780m",
    title: "AMD Radeon 780M",
    discrete: false,
    processors: derived(6.0, "Half of the 12 compute units that AMD counts"),
    clock: published(2.7e9, RADEON_780M_SHEET),
    peak_flops: published(8.294e12, RADEON_780M_SHEET),
    l2_bandwidth: assumed(1.38e12, "8 slices of 256 KiB at 64 bytes a clock of 2.7 GHz; AMD publishes no bandwidth"),
    l2_bytes: published(2.0 * MIB, RADEON_780M_SHEET),
    last_level: None,
    bandwidth: derived(
        1.2e11,
        "128 bits of LPDDR5x-7500 (https://cputronic.com/cpu/amd-ryzen-7-7840u); DDR5-5600 gives 90 GB/s",
    ),
    latency: assumed(
        3e-7,
        "Chips and Cheese finds this chip's memory about as slow as that of discrete GPUs; no number",
    ),
    residency: residency(
        derived(
            4 * 1024 * 32,
            "4 SIMD units with 1024 registers of 32 lanes: 256 KiB a compute unit (ROCm's libhsakmt)",
        ),
        derived(8, "LLVM's AMDGPU backend: 16 registers of 32 lanes, which is 8 of 64"),
    ),
    ..RX_7900_XTX
};
