//! Arm. A processor is a shader core: two execution engines, which together do 128 multiply-adds a clock for subgroups
//! of 16. Workgroup memory is ordinary memory behind the first-level cache. There is no scalar unit.
//!
//! Chip makers choose the count of cores, the clock and the L2. The model is the Mali-G715 of the Google Tensor G3.

use crate::{
    KIB, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, assumed, buffer_2_gib, derived, published,
    storage_buffers_8, workgroups_65535,
};

const GPU_INFO: &str = "Arm, libGPUInfo, source/libgpuinfo.cpp: 2 engines of 64, \
    https://github.com/ARM-software/libGPUInfo";
const VALHALL: &str = "Arm, The Valhall Shader Core, https://developer.arm.com/solutions/graphics-and-gaming/\
    developer-guides/learn-the-basics/the-valhall-shader-core/the-valhall-shader-core";
const L1: &str = "Arm, The Valhall Shader Core: accesses to one line of 64 bytes return in one clock, \
    https://developer.arm.com/documentation/102203/0100/Fourth-generation-Mali-GPU-architecture";

/// The Arm Mali-G715 with 7 cores, in the Google Tensor G3. One processor is a shader core.
pub const MALI_G715: Model = Model {
    name: "mali-g715",
    title: "Arm Mali-G715 MP7",
    vendor: Vendor::Arm,
    discrete: false,
    processors: published(
        7.0,
        "Tensor G3, \
         https://mezha.media/en/2023/10/13/tensor-g3-graphics-in-pixel-8-and-8-pro-are-slower-than-apple-a14/",
    ),
    clock: published(8.9e8, "Tensor G3, https://droidholic.com/google-tensor-g3-specifications/"),
    peak_flops: derived(
        1.6e12,
        "2 operations of 2 engines with 64 multiply-adds (Arm's libGPUInfo) in 7 cores at 890 MHz",
    ),
    subgroup: published(16, VALHALL),
    smallest_subgroup: published(16, VALHALL),
    largest_subgroup: published(16, VALHALL),
    multiply_adds: published(128.0, GPU_INFO),
    sustained_multiply_adds: published(128.0, GPU_INFO),
    integers: assumed(
        64.0,
        "Half of the float lanes: Arm's conversion pipelines, which do simple integers, are narrower",
    ),
    integer_multiplies: assumed(32.0, "A quarter of the float lanes; Arm publishes none"),
    integers_beside: false,
    issue: derived(8.0, "128 lanes in subgroups of 16"),
    separate_issue: true,
    scalar_unit: false,
    workgroup_memory: WorkgroupMemory::Cached,
    workgroup_bandwidth: published(64.0, L1),
    cache_bandwidth: published(64.0, L1),
    cache_bytes: published(16.0 * KIB, L1),
    l2_bandwidth: assumed(2e11, "32 bytes a clock and core; Arm publishes none"),
    l2_bytes: assumed(2.0 * MIB, "The largest L2 that Arm offers for the G710; Google publishes none"),
    last_level: None,
    bandwidth: derived(6.83e10, "64 bits of LPDDR5X-8533"),
    latency: assumed(4e-7, "Above the 342 ns of an M2 Pro, for the lower clocks of a phone"),
    launch: assumed(3e-5, "No public number; phones take several times as long as desktop GPUs"),
    residency: Residency {
        workgroups: assumed(32, "No public number; larger workgroups reach the limit of subgroups first"),
        subgroups: assumed(128, "2048 invocations, twice the G77's for four times its lanes"),
        registers: assumed(65536, "The most invocations with 32 registers each, as Valhall has them at full occupancy"),
        max_registers: published(64, VALHALL),
        register_step: published(32, VALHALL),
        workgroup_bytes: assumed(128 << 10, "Memory backs it; the model allows four of the largest workgroups"),
        workgroup_reserve: None,
    },
    limits: Limits {
        max_workgroup_bytes: assumed(
            32 << 10,
            "What drivers of this generation report, as on vulkan.gpuinfo.org, not checked again",
        ),
        max_invocations: assumed(
            1024,
            "What drivers of this generation report, as on vulkan.gpuinfo.org, not checked again",
        ),
        max_binding_bytes: assumed(1 << 27, "The least that WebGPU guarantees; newer drivers report more"),
        max_buffer_bytes: buffer_2_gib(),
        max_workgroups: workgroups_65535(),
        storage_alignment: assumed(64, "What Arm's drivers report, as on vulkan.gpuinfo.org, not checked again"),
        max_storage_buffers: storage_buffers_8(),
    },
};
