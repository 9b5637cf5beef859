//! Qualcomm. A processor is a shader processor: two micro shader processors (uSPTP) of 128 lanes, with one workgroup
//! memory. Compute shaders get subgroups of 64 or 128. A scalar unit computes what is uniform.
//!
//! Qualcomm publishes little. Mesa's driver (freedreno) knows the size of the register file; Chips and Cheese measured
//! related chips.

use crate::{
    KIB, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, assumed, buffer_2_gib, derived, measured, published,
    storage_buffers_8, workgroups_65535,
};

const MESA: &str = "Mesa, src/freedreno/common, the entry of FD740, https://gitlab.freedesktop.org/mesa/mesa";
const X1: &str = "Chips and Cheese, The Snapdragon X Elite's Adreno iGPU: the same generation, \
    https://chipsandcheese.com/2024/07/04/the-snapdragon-x-elites-adreno-igpu";

/// The Qualcomm Adreno 740, in the Snapdragon 8 Gen 2. One processor is a shader processor.
pub const ADRENO_740: Model = Model {
    name: "adreno-740",
    title: "Qualcomm Adreno 740",
    vendor: Vendor::Qualcomm,
    discrete: false,
    processors: published(6.0, MESA),
    clock: published(6.8e8, "Adreno 740, https://primua.com/adreno-740/"),
    peak_flops: derived(
        2.04e12,
        "The 1.8 TFLOPS at 600 MHz of the same GPU in the Snapdragon XR2 Gen 2, scaled to 680 MHz \
         (https://github.com/azhirnov/cpu-gpu-arch, gpu/Adreno-700.md)",
    ),
    subgroup: published(
        64,
        "Qualcomm Snapdragon X Architecture Deep Dive (AnandTech): shaders other than fragment shaders run 64 wide",
    ),
    smallest_subgroup: published(64, "Mesa, src/freedreno/common, a7xx_base: the base size, and its double"),
    largest_subgroup: published(128, "Mesa, src/freedreno/common, a7xx_base: supports_double_threadsize"),
    multiply_adds: derived(
        256.0,
        "The 1536 lanes of the Adreno X1 with as many shader processors, \
         https://hothardware.com/reviews/snapdragon-x-oryon-cpu-and-adreno-gpu-architecture?page=2",
    ),
    sustained_multiply_adds: derived(256.0, "The lanes, one instruction each"),
    integers: assumed(128.0, "Half of the float lanes; Qualcomm publishes none"),
    integer_multiplies: assumed(64.0, "A quarter of the float lanes; Qualcomm publishes none"),
    integers_beside: false,
    issue: derived(4.0, "256 lanes in subgroups of 64"),
    separate_issue: true,
    scalar_unit: true,
    workgroup_memory: WorkgroupMemory::Separate,
    workgroup_bandwidth: assumed(128.0, "As the texture cache; Qualcomm publishes none"),
    cache_bandwidth: measured(
        102.0,
        "Chips and Cheese, The Snapdragon X Elite's Adreno iGPU: 916 GB/s for 6 shader processors, taken at 1.5 GHz, \
         https://chipsandcheese.com/2024/07/04/the-snapdragon-x-elites-adreno-igpu",
    ),
    cache_bytes: measured(4.0 * KIB, X1),
    l2_bandwidth: assumed(2.6e11, "64 bytes a clock and shader processor; Qualcomm publishes none"),
    l2_bytes: published(1.0 * MIB, "Adreno 740, https://primua.com/adreno-740/"),
    last_level: None,
    bandwidth: derived(6.72e10, "64 bits of LPDDR5X-8400"),
    latency: assumed(4e-7, "Above the 342 ns of an M2 Pro, for the lower clocks of a phone"),
    launch: assumed(2e-5, "No public number; phones take several times as long as desktop GPUs"),
    residency: Residency {
        workgroups: assumed(16, "No public number; larger workgroups reach the limit of subgroups first"),
        subgroups: derived(64, "Mesa's fibers_per_sp of 4096, in subgroups of 64"),
        registers: derived(
            96 * 4 * 64 * 2,
            "Mesa's reg_size_vec4 of 96, of 4 registers, for 64 lanes, times its wave_granularity of 2",
        ),
        max_registers: assumed(192, "The instruction set names 48 vectors of 4 registers"),
        register_step: assumed(4, "Mesa counts registers in vectors of 4"),
        workgroup_bytes: published(32 << 10, MESA),
        workgroup_reserve: None,
    },
    limits: Limits {
        max_workgroup_bytes: published(32 << 10, MESA),
        max_invocations: assumed(
            1024,
            "What drivers of this generation report, as on vulkan.gpuinfo.org, not checked again",
        ),
        max_binding_bytes: assumed(1 << 27, "The least that WebGPU guarantees, and what Mesa's driver reports"),
        max_buffer_bytes: buffer_2_gib(),
        max_workgroups: workgroups_65535(),
        storage_alignment: assumed(64, "What Qualcomm's drivers report, as on vulkan.gpuinfo.org, not checked again"),
        max_storage_buffers: storage_buffers_8(),
    },
};
