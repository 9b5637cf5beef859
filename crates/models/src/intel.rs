//! Intel. A processor is an Xe-core of 16 vector engines (Arc), or a dual subslice of 16 execution units (Xe-LP). Each
//! engine does 8 multiply-adds a clock.
//!
//! An engine keeps 8 (Arc) or 7 (Xe-LP) threads, each with 4 KiB of registers that no other thread can use. A thread
//! runs one subgroup, so that a subgroup of 16 has 64 registers an invocation, whether it needs them or not. There is
//! no scalar unit: a uniform operation takes an instruction of a narrower width.

use crate::{
    KIB, Limits, MIB, Model, Residency, Vendor, WorkgroupMemory, alignment_32, assumed, buffer_2_gib, derived,
    measured, published, storage_buffers_8, workgroups_65535,
};

const GUIDE_XE_LP: &str = "Intel oneAPI GPU Optimization Guide, Xe-LP, \
    https://intel.com/content/www/us/en/docs/oneapi/optimization-guide-gpu/2024-1/xe-arch.html";
const OCCUPANCY: &str = "Intel GPU Occupancy Calculator, xe_hpg_dg2_arc, \
    https://github.com/oneapi-src/oneAPI-samples/pull/1309.diff";
const XE_HPG: &str = "Introduction to the Xe-HPG Architecture (white paper), \
    https://cdrdv2-public.intel.com/758302/introduction-to-the-xe-hpg-architecture-white-paper.pdf";
const A770_SHEET: &str = "Intel's specifications of Arc A-series cards, \
    https://www.svethardware.cz/intel-zverejnil-oficialni-specifikace-grafickych-karet-arc/58344";
const CLPEAK: &str = "clpeak on an Arc A770: 4.3 to 5.1 Tops/s of integer multiply-adds on 32 Xe-cores at 2.4 GHz, \
    https://gist.github.com/primenumber/15ebf14d2776c96ab6f0c53dc5934157";
const THREAD_REGISTERS: &str = "128 registers of 32 bytes, over the 16 lanes of a subgroup";

const LIMITS: Limits = Limits {
    max_workgroup_bytes: published(
        64 << 10,
        "Intel GPU Occupancy Calculator, SLM_Size_Per_Work_Group of Arc; Direct3D 12 allows 32 KiB, \
         https://github.com/oneapi-src/oneAPI-samples/pull/1309.diff",
    ),
    max_invocations: published(1024, OCCUPANCY),
    max_binding_bytes: assumed(1 << 30, "The maxStorageBufferRange of Mesa's older drivers; newer ones report more"),
    max_buffer_bytes: buffer_2_gib(),
    max_workgroups: workgroups_65535(),
    storage_alignment: alignment_32(),
    max_storage_buffers: storage_buffers_8(),
};

/// The Intel Arc A770 with 16 GB. One processor is an Xe-core of 16 vector engines.
pub const ARC_A770: Model = Model {
    name: "arc-a770",
    title: "Intel Arc A770",
    vendor: Vendor::Intel,
    discrete: true,
    processors: published(32.0, A770_SHEET),
    clock: published(2.1e9, A770_SHEET),
    peak_flops: derived(
        17.2e12,
        "256 operations a clock and Xe-core (Xe-HPG white paper) at the graphics clock; cards often run at 2.4 GHz",
    ),
    subgroup: assumed(16, "Of 8, 16 and 32 the compilers mostly take 16, for the registers"),
    smallest_subgroup: published(8, OCCUPANCY),
    largest_subgroup: published(32, OCCUPANCY),
    multiply_adds: published(128.0, XE_HPG),
    sustained_multiply_adds: published(128.0, XE_HPG),
    integers: measured(
        128.0,
        "Chips and Cheese, Intel's Battlemage Architecture: as many additions as float operations, \
         https://chipsandcheese.com/p/intels-battlemage-architecture",
    ),
    integer_multiplies: measured(32.0, CLPEAK),
    integers_beside: true,
    issue: derived(16.0, "16 engines that start a float and an integer instruction of 16 lanes every 2 clocks"),
    separate_issue: true,
    scalar_unit: false,
    workgroup_memory: WorkgroupMemory::Carved,
    workgroup_bandwidth: assumed(128.0, "The data port of Xe-LP's dual subslice; Intel publishes none for Xe-HPG"),
    cache_bandwidth: assumed(128.0, "The data port of Xe-LP's dual subslice; Intel publishes none for Xe-HPG"),
    cache_bytes: published(192.0 * KIB, XE_HPG),
    l2_bandwidth: assumed(2e12, "About 30 bytes a clock and Xe-core; Intel publishes none"),
    l2_bytes: published(16.0 * MIB, XE_HPG),
    last_level: None,
    bandwidth: published(5.6e11, A770_SHEET),
    latency: assumed(
        4.5e-7,
        "Arc reaches memory more slowly than its rivals (Chips and Cheese, Arc A770); no number found",
    ),
    launch: assumed(5e-6, "Above the 3.4 microseconds of an RX 6900 XT, for the slower start of work on Arc"),
    residency: Residency {
        workgroups: published(
            32,
            "Intel GPU Occupancy Calculator: 32 barrier registers, so that each workgroup has one",
        ),
        subgroups: published(128, OCCUPANCY),
        registers: derived(128 * 128 * 8, "128 threads with 128 registers of 32 bytes (oneAPI GPU Optimization Guide)"),
        max_registers: derived(64, THREAD_REGISTERS),
        register_step: derived(64, THREAD_REGISTERS),
        workgroup_bytes: published(128 << 10, OCCUPANCY),
        workgroup_reserve: None,
    },
    limits: LIMITS,
};

/// Intel Iris Xe graphics with 96 execution units, as in a Core i7-1185G7. One processor is a dual subslice of 16.
pub const XE_INTEGRATED: Model = Model {
    name: "xe-integrated",
    title: "Intel Iris Xe Graphics (96 EU)",
    discrete: false,
    processors: derived(6.0, "96 execution units in dual subslices of 16"),
    clock: published(
        1.35e9,
        "Iris Xe G7 96EUs, \
         https://www.notebookcheck.se/Intel-Iris-Xe-G7-96EUs-benchmarks-prestanda-specifikationer.554577.0.html",
    ),
    peak_flops: derived(
        2.07e12,
        "96 execution units with 8 lanes (oneAPI GPU Optimization Guide), 2 operations each, at 1.35 GHz",
    ),
    multiply_adds: published(128.0, GUIDE_XE_LP),
    sustained_multiply_adds: published(128.0, GUIDE_XE_LP),
    integers: published(128.0, GUIDE_XE_LP),
    integer_multiplies: assumed(32.0, "As measured on Xe-HPG"),
    integers_beside: false,
    issue: derived(8.0, "16 units that start an instruction of 16 lanes every 2 clocks"),
    workgroup_memory: WorkgroupMemory::Separate,
    workgroup_bandwidth: published(128.0, GUIDE_XE_LP),
    cache_bandwidth: published(128.0, GUIDE_XE_LP),
    cache_bytes: assumed(64.0 * KIB, "The L1 that Intel introduced with Xe-LP, from memory of its presentation"),
    l2_bandwidth: assumed(5.2e11, "64 bytes a clock for each of 6 dual subslices; Intel publishes none"),
    l2_bytes: published(
        3.75 * MIB,
        "The GPU's L3, https://sysrqmts.com/ru/gpus/compare/intel-iris-xe-graphics-g7-96eu-vs-intel-uhd-graphics-770",
    ),
    bandwidth: derived(6.83e10, "128 bits of LPDDR4x-4267"),
    latency: assumed(3e-7, "Near the 312 ns that Chips and Cheese measured on the older HD Graphics 530"),
    launch: assumed(5e-6, "As the Arc A770"),
    residency: Residency {
        workgroups: assumed(32, "The occupancy calculator's 32 barrier registers of the discrete Xe-LP"),
        subgroups: derived(112, "16 execution units with 7 threads (oneAPI GPU Optimization Guide)"),
        registers: derived(112 * 128 * 8, "112 threads with 128 registers of 32 bytes (oneAPI GPU Optimization Guide)"),
        workgroup_bytes: published(128 << 10, GUIDE_XE_LP),
        ..ARC_A770.residency
    },
    ..ARC_A770
};
