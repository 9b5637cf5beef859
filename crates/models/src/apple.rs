//! Apple. A processor is a GPU core: 128 lanes for four subgroups of 32, which do floats or integer additions; integer
//! multiplication has a quarter of the lanes. Apple publishes core counts and bandwidths, and little else, so that most
//! numbers are public measurements.
//!
//! From the M3 on, registers, workgroup memory and the first-level cache share one memory, which the core divides while
//! it runs ("dynamic caching"). The model of the M4 keeps the M2's residency, which is then a lower bound.

use crate::{
    KIB, LastLevel, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, assumed, derived, measured, published,
    workgroups_65535,
};

const ANNOUNCEMENT: &str = "Apple announces the M2 chip, \
    https://www.macrumors.com/2022/06/06/apple-announces-m2-chip-with-support-for-up-to-24gb-memory/";
const METAL_BENCHMARKS: &str = "Philip Turner, metal-benchmarks, https://github.com/philipturner/metal-benchmarks";
const APPLEGPU: &str = "Dougall Johnson, Apple G13 GPU Architecture Reference, https://github.com/dougallj/applegpu";
const METAL_TABLES: &str = "Apple, Metal Feature Set Tables, \
    https://developer.apple.com/metal/Metal-Feature-Set-Tables.pdf";
const WGPU_SUBGROUPS: &str = "wgpu-hal 30.0.2, src/metal/mod.rs: fixed, as Metal does not report them";
const M1_LOCAL: &str = "Chips and Cheese, iGPU Cache Setups Compared, Including M1: 671 GB/s of local memory \
    on 8 cores at 1.278 GHz, https://chipsandcheese.com/2022/05/21/igpu-cache-setups-compared-including-m1/";
const BUFFER_SHARE: &str = "9/16 of the memory of the smallest machine, as on an M1 Max with 64 GB \
    (https://github.com/gfx-rs/wgpu/pull/2502)";

/// The Apple M2 with a GPU of 10 cores. One processor is a core.
pub const M2: Model = Model {
    name: "m2",
    title: "Apple M2 (10 cores)",
    vendor: Vendor::Apple,
    discrete: false,
    processors: published(10.0, ANNOUNCEMENT),
    clock: measured(1.398e9, METAL_BENCHMARKS),
    peak_flops: published(3.6e12, "Apple unveils M2 (newsroom, 6 June 2022)"),
    subgroup: published(32, APPLEGPU),
    smallest_subgroup: published(4, WGPU_SUBGROUPS),
    largest_subgroup: published(64, WGPU_SUBGROUPS),
    multiply_adds: measured(128.0, METAL_BENCHMARKS),
    sustained_multiply_adds: measured(128.0, METAL_BENCHMARKS),
    integers: measured(128.0, METAL_BENCHMARKS),
    integer_multiplies: measured(32.0, METAL_BENCHMARKS),
    integers_beside: false,
    issue: derived(4.0, "128 lanes in subgroups of 32"),
    separate_issue: true,
    scalar_unit: false,
    workgroup_memory: WorkgroupMemory::Separate,
    workgroup_bandwidth: measured(64.0, M1_LOCAL),
    cache_bandwidth: assumed(64.0, "As the workgroup memory of the M1"),
    cache_bytes: measured(
        8.0 * KIB,
        "Chips and Cheese, A Brief Look at Apple's M2 Pro iGPU, \
         https://chipsandcheese.com/2023/10/31/a-brief-look-at-apples-m2-pro-igpu/",
    ),
    l2_bandwidth: assumed(5.2e11, "The 384 GB/s that Chips and Cheese measured on the M1, scaled by cores and clock"),
    l2_bytes: assumed(2.0 * MIB, "Between the 1 MiB of an M1 and the 3 MiB of an M2 Pro"),
    last_level: Some(LastLevel {
        bytes: assumed(8.0 * MIB, "The system cache of the M1; Apple publishes none"),
        bandwidth: assumed(1.5e11, "A little above the 134 GB/s that Chips and Cheese measured on the M1"),
    }),
    bandwidth: published(1e11, ANNOUNCEMENT),
    latency: measured(
        3.42e-7,
        "Chips and Cheese, A Brief Look at Apple's M2 Pro iGPU, \
         https://chipsandcheese.com/2023/10/31/a-brief-look-at-apples-m2-pro-igpu/",
    ),
    launch: assumed(
        5e-6,
        "No public number for dispatches of one encoder; above the 3.4 microseconds of an RX 6900 XT",
    ),
    residency: Residency {
        workgroups: assumed(32, "No public number; larger workgroups reach the limit of subgroups first"),
        subgroups: measured(
            96,
            "metal-benchmarks: 3072 invocations a core, https://github.com/philipturner/metal-benchmarks",
        ),
        registers: assumed(208 * 256, "208 KiB, as in later editions of metal-benchmarks; an early edition has 384 KB"),
        max_registers: published(128, APPLEGPU),
        register_step: assumed(4, "Occupancy changes in steps of 8 registers of 16 bits on the M1"),
        workgroup_bytes: measured(64 << 10, METAL_BENCHMARKS),
        workgroup_reserve: None,
    },
    limits: Limits {
        max_workgroup_bytes: published(32 << 10, METAL_TABLES),
        max_invocations: published(1024, METAL_TABLES),
        max_binding_bytes: assumed((9 << 30) / 2, BUFFER_SHARE),
        max_buffer_bytes: assumed((9 << 30) / 2, BUFFER_SHARE),
        max_workgroups: workgroups_65535(),
        storage_alignment: published(32, "wgpu-hal 30.0.2, src/metal/adapter.rs"),
        max_storage_buffers: published(29, "wgpu-hal 30.0.2, src/metal/adapter.rs: 31 buffers less 2 of its own"),
    },
};

/// The Apple M4 with a GPU of 10 cores. One processor is a core.
pub const M4: Model = Model {
    name: "m4",
    title: "Apple M4 (10 cores)",
    processors: published(10.0, "Apple M4, https://cputime.net/en/apple-m4"),
    clock: measured(
        1.578e9,
        "Howard Oakley, M4 Pro full on (The Eclectic Light Company, 22 January 2025): the GPU clock of an M4 Pro",
    ),
    peak_flops: published(4.1e12, "Apple publishes none; from https://cputime.net/en/apple-m4"),
    multiply_adds: assumed(128.0, "As the M2; Apple publishes none"),
    sustained_multiply_adds: assumed(128.0, "As the M2; Apple publishes none"),
    integers: assumed(128.0, "As the M2; Apple publishes none"),
    integer_multiplies: assumed(32.0, "As the M2; Apple publishes none"),
    workgroup_memory: WorkgroupMemory::Cached,
    workgroup_bandwidth: assumed(64.0, "As the M1; Apple publishes none"),
    cache_bandwidth: assumed(64.0, "As the M2; Apple publishes none"),
    cache_bytes: assumed(
        64.0 * KIB,
        "The first-level cache shares one memory with registers and workgroup memory; 64 KiB of it stay for data",
    ),
    l2_bandwidth: assumed(5.9e11, "The M2's, scaled by the clock"),
    l2_bytes: assumed(4.0 * MIB, "Twice the M2's; no public number"),
    bandwidth: published(1.2e11, "Apple M4, https://cputime.net/en/apple-m4"),
    latency: assumed(3.42e-7, "As the M2 Pro; Apple publishes none"),
    residency: Residency {
        subgroups: assumed(96, "As the M2; Apple publishes none"),
        max_registers: assumed(128, "As the M1; Apple publishes none"),
        workgroup_bytes: assumed(64 << 10, "As the M2; Apple publishes none"),
        ..M2.residency
    },
    limits: Limits {
        max_binding_bytes: assumed(9 << 30, BUFFER_SHARE),
        max_buffer_bytes: assumed(9 << 30, BUFFER_SHARE),
        ..M2.limits
    },
    ..M2
};
