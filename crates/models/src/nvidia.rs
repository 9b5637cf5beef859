//! NVIDIA. A processor is a streaming multiprocessor: four schedulers, 128 float lanes, a register file of 256 KiB, and
//! one memory that is first-level cache and workgroup memory.
//!
//! Since Turing a uniform datapath computes what is uniform over a subgroup; its instructions still take issue slots.

use crate::{
    Figure, KIB, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, alignment_32, assumed, binding_2_gib, derived,
    measured, published, storage_buffers_8, workgroups_65535,
};

const HOPPER: &str = "NVIDIA H100 Tensor Core GPU Architecture (white paper)";
const ADA: &str = "NVIDIA Ada GPU Architecture (white paper)";
const AMPERE: &str = "NVIDIA Ampere GA102 GPU Architecture (white paper)";
const H100_SHEET: &str = "NVIDIA H100 SXM5 specifications, \
    https://archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html";
const RTX_4090_SHEET: &str = "GeForce RTX 4090 specifications, \
    https://www.thefpsreview.com/gpu-family/nvidia-geforce-rtx-4090-gpu-family-specifications";
const RTX_3060_SHEET: &str = "GeForce RTX 3060 12 GB specifications, \
    https://pcpartdb.com/gpus/view/nvidia-geforce-rtx-3060-12-gb-ga104";
const RTX_A6000_SHEET: &str = "NVIDIA RTX A6000 specifications, \
    https://sysrqmts.com/es/gpus/compare/nvidia-rtx-a6000-vs-nvidia-tesla-p40";
const CUDA: &str = "NVIDIA CUDA C++ Programming Guide, throughput of native arithmetic instructions, \
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/";
const TRAITS: &str = "NVIDIA CCCL, cudax/include/cuda/experimental/__device/arch_traits.cuh, \
    https://github.com/NVIDIA/cccl";
const ADA_TUNING: &str = "NVIDIA Ada GPU Architecture Tuning Guide, \
    https://docs.nvidia.com/cuda/ada-tuning-guide/index.html";

const fn warp() -> Figure<u32> {
    published(32, TRAITS)
}

const fn schedulers(paper: &'static str) -> Figure {
    published(4.0, paper)
}

const fn residency(workgroups: Figure<u32>, subgroups: Figure<u32>, workgroup_bytes: Figure<u32>) -> Residency {
    Residency {
        workgroups,
        subgroups,
        registers: published(65536, TRAITS),
        max_registers: published(255, TRAITS),
        register_step: assumed(
            8,
            "NVIDIA's occupancy calculator allocates 256 registers a subgroup at a time, which is 8 an invocation",
        ),
        workgroup_bytes,
        workgroup_reserve: Some(assumed(
            1024,
            "CUDA reserves 1 KiB a workgroup from compute capability 8.0 on (CCCL's arch_traits.cuh); Vulkan may not",
        )),
    }
}

const RESIDENCY_86: Residency = residency(published(16, TRAITS), published(48, TRAITS), published(100 << 10, TRAITS));
const RESIDENCY_89: Residency =
    residency(published(24, ADA_TUNING), published(48, ADA_TUNING), published(100 << 10, ADA_TUNING));
const RESIDENCY_90: Residency = residency(published(32, TRAITS), published(64, TRAITS), published(228 << 10, TRAITS));

const LIMITS: Limits = Limits {
    max_workgroup_bytes: published(
        48 << 10,
        "NVIDIA CCCL, arch_traits.cuh: max_shared_memory_per_block; Vulkan's maxComputeSharedMemorySize is the same",
    ),
    max_invocations: published(1024, TRAITS),
    max_binding_bytes: binding_2_gib(),
    max_buffer_bytes: assumed(
        4_292_870_144,
        "The maxMemoryAllocationSize of NVIDIA's drivers as on vulkan.gpuinfo.org, not checked again; wgpu keeps it",
    ),
    max_workgroups: workgroups_65535(),
    storage_alignment: alignment_32(),
    max_storage_buffers: storage_buffers_8(),
};

/// The NVIDIA H100 in the SXM5 module. One processor is a streaming multiprocessor.
pub const H100: Model = Model {
    name: "h100",
    title: "NVIDIA H100 SXM5",
    vendor: Vendor::Nvidia,
    discrete: true,
    processors: published(132.0, H100_SHEET),
    clock: published(1.98e9, "The clock of H100's peak rates, https://glennklockwood.com/garden/processors/h100"),
    peak_flops: published(66.9e12, "H100's peak rates, https://glennklockwood.com/garden/processors/h100"),
    subgroup: warp(),
    smallest_subgroup: warp(),
    largest_subgroup: warp(),
    multiply_adds: published(128.0, HOPPER),
    sustained_multiply_adds: published(128.0, CUDA),
    integers: published(64.0, CUDA),
    integer_multiplies: published(64.0, CUDA),
    integers_beside: true,
    issue: schedulers(HOPPER),
    separate_issue: false,
    scalar_unit: true,
    workgroup_memory: WorkgroupMemory::Carved,
    workgroup_bandwidth: derived(128.0, "32 banks of 4 bytes a clock"),
    cache_bandwidth: measured(
        128.0,
        "gpu-benches, cuda-cache/h100_pcie.txt: 25.2 TB/s on 114 processors at 1.755 GHz, which is 126 bytes a clock, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    cache_bytes: published(256.0 * KIB, "NVIDIA Hopper Tuning Guide, https://docs.nvidia.com/cuda/hopper-tuning-guide"),
    l2_bandwidth: measured(
        9.7e12,
        "gpu-benches, gpu-l2-cache/h200.txt: the H200 has the same chip and as many processors, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    l2_bytes: published(50.0 * MIB, H100_SHEET),
    last_level: None,
    bandwidth: published(3.35e12, H100_SHEET),
    latency: measured(
        3.7e-7,
        "gpu-benches, gpu-latency/h100_pcie.txt: about 650 clocks of 1.755 GHz on the PCIe card, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    launch: measured(
        2.2e-6,
        "gpu-benches, gpu-small-kernels/h200_graph.txt: dependent small kernels of a CUDA graph on an H200, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    residency: RESIDENCY_90,
    limits: LIMITS,
};

/// The NVIDIA `GeForce` RTX 4090. One processor is a streaming multiprocessor.
pub const RTX_4090: Model = Model {
    name: "rtx-4090",
    title: "NVIDIA GeForce RTX 4090",
    vendor: Vendor::Nvidia,
    discrete: true,
    processors: published(128.0, ADA),
    clock: published(2.52e9, RTX_4090_SHEET),
    peak_flops: published(82.6e12, ADA),
    subgroup: warp(),
    smallest_subgroup: warp(),
    largest_subgroup: warp(),
    multiply_adds: published(128.0, ADA),
    sustained_multiply_adds: published(128.0, CUDA),
    integers: published(64.0, CUDA),
    integer_multiplies: published(64.0, CUDA),
    integers_beside: true,
    issue: schedulers(ADA),
    separate_issue: false,
    scalar_unit: true,
    workgroup_memory: WorkgroupMemory::Carved,
    workgroup_bandwidth: derived(128.0, "32 banks of 4 bytes a clock"),
    cache_bandwidth: measured(
        64.0,
        "gpu-benches, gpu-cache/l40.txt: 22.6 TB/s on the 142 processors of an L40 (AD102) at 2.49 GHz, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    cache_bytes: published(128.0 * KIB, RTX_4090_SHEET),
    l2_bandwidth: measured(
        5.2e12,
        "gpu-benches, gpu-l2-cache/l40.txt: an L40 has the same chip (AD102) at 2.49 GHz, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    l2_bytes: published(72.0 * MIB, ADA),
    last_level: None,
    bandwidth: published(1.008e12, RTX_4090_SHEET),
    latency: measured(
        2.5e-7,
        "gpu-benches, gpu-latency/l40.txt: 631 clocks of 2.49 GHz on an L40 (AD102), \
         https://github.com/te42kyfo/gpu-benches",
    ),
    launch: measured(
        9.5e-7,
        "gpu-benches, gpu-small-kernels/l40_graph.txt: dependent small kernels of a CUDA graph on an L40 (AD102), \
         https://github.com/te42kyfo/gpu-benches",
    ),
    residency: RESIDENCY_89,
    limits: LIMITS,
};

/// The NVIDIA RTX A6000, of the Ampere generation. One processor is a streaming multiprocessor.
pub const RTX_A6000: Model = Model {
    name: "rtx-a6000",
    title: "NVIDIA RTX A6000",
    vendor: Vendor::Nvidia,
    discrete: true,
    processors: published(84.0, RTX_A6000_SHEET),
    clock: published(1.8e9, RTX_A6000_SHEET),
    peak_flops: published(38.7e12, "NVIDIA RTX A6000 data sheet"),
    subgroup: warp(),
    smallest_subgroup: warp(),
    largest_subgroup: warp(),
    multiply_adds: published(128.0, AMPERE),
    sustained_multiply_adds: published(128.0, CUDA),
    integers: published(64.0, CUDA),
    integer_multiplies: published(64.0, CUDA),
    integers_beside: true,
    issue: schedulers(AMPERE),
    separate_issue: false,
    scalar_unit: true,
    workgroup_memory: WorkgroupMemory::Carved,
    workgroup_bandwidth: published(128.0, AMPERE),
    cache_bandwidth: measured(
        64.0,
        "gpu-benches, gpu-cache/a40.txt: 9.35 TB/s on the 84 processors of an A40 (GA102) at 1.74 GHz, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    cache_bytes: published(128.0 * KIB, RTX_A6000_SHEET),
    l2_bandwidth: measured(
        2.5e12,
        "gpu-benches, gpu-cache/a40.txt: 2.43 TB/s on an A40 (GA102) at 1.74 GHz, scaled to 1.8 GHz, \
         https://github.com/te42kyfo/gpu-benches",
    ),
    l2_bytes: published(6.0 * MIB, RTX_A6000_SHEET),
    last_level: None,
    bandwidth: published(7.68e11, RTX_A6000_SHEET),
    latency: assumed(2.7e-7, "Between the 250 ns of an L40 and the 370 ns of an H100, nearer to the other GDDR6 card"),
    launch: measured(
        1.1e-6,
        "gpu-benches, gpu-small-kernels/a40_graph.txt: dependent small kernels of a CUDA graph on an A40 (GA102), \
         https://github.com/te42kyfo/gpu-benches",
    ),
    residency: RESIDENCY_86,
    limits: LIMITS,
};

/// The NVIDIA `GeForce` RTX 3060 with 12 GB. One processor is a streaming multiprocessor.
pub const RTX_3060: Model = Model {
    name: "rtx-3060",
    title: "NVIDIA GeForce RTX 3060",
    processors: published(28.0, RTX_3060_SHEET),
    clock: published(1.777e9, RTX_3060_SHEET),
    peak_flops: published(
        13e12,
        "NVIDIA's announcement, 13 shader TFLOPS, \
         https://techtaks.com/geforce-rtx-3060-nvidia-finally-details-the-specifications/",
    ),
    cache_bytes: published(128.0 * KIB, "RTX 3060 in summary, http://cholla.mmto.org/nvidia/my3060.html"),
    l2_bandwidth: derived(1.24e12, "The A40's 2.43 TB/s at 1.74 GHz, for half of its L2, at 1.777 GHz"),
    l2_bytes: published(3.0 * MIB, "RTX 3060 in summary, http://cholla.mmto.org/nvidia/my3060.html"),
    bandwidth: published(3.6e11, RTX_3060_SHEET),
    ..RTX_A6000
};
