use std::collections::HashSet;

use crate::{MODELS, Source, WorkgroupMemory, model};

#[test]
fn names_are_unique_and_kebab_case() {
    let mut names = HashSet::new();
    for device in MODELS {
        assert!(names.insert(device.name), "{} twice", device.name);
        for word in device.name.split('-') {
            assert!(!word.is_empty(), "{}", device.name);
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{}", device.name);
        }
        assert_eq!(model(device.name), Some(*device));
    }
    assert_eq!(model("rtx-0000"), None);
    for name in ["h100", "rtx-4090", "rtx-3060", "rtx-a6000", "rx-7900-xtx", "radeon-780m", "arc-a770"] {
        assert!(names.contains(name), "{name}");
    }
    for name in ["xe-integrated", "m2", "m4", "adreno-740", "mali-g715"] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn figures_are_positive_with_a_source() {
    for device in MODELS {
        let figures = device.figures();
        let names: HashSet<_> = figures.iter().map(|figure| figure.0).collect();
        assert_eq!(names.len(), figures.len(), "{}: a name twice", device.name);
        for (name, value, source) in figures {
            assert!(value.is_finite() && value > 0.0, "{}: {name} is {value}", device.name);
            assert!(source.text().len() >= 10, "{}: {name} from {source}", device.name);
            assert_eq!(source.text().trim(), source.text(), "{}: {name}", device.name);
            assert!(!source.text().contains("  "), "{}: {name}", device.name);
        }
    }
}

#[test]
fn rates_give_the_published_peak() {
    for device in MODELS {
        let rate = 2.0 * device.processors.value * device.clock.value * device.multiply_adds.value;
        let ratio = rate / device.peak_flops.value;
        assert!((ratio - 1.0).abs() < 0.03, "{}: {rate:e} is {ratio} of the peak", device.name);
        assert!(!device.peak_flops.source.is_assumed(), "{}", device.name);
    }
}

#[test]
fn lanes_agree_with_each_other() {
    for device in MODELS {
        let lanes = device.issue.value * f64::from(device.subgroup.value);
        assert!(device.sustained_multiply_adds.value <= device.multiply_adds.value, "{}", device.name);
        assert!(device.multiply_adds.value <= lanes, "{}: more lanes than issue", device.name);
        assert!(device.integers.value <= lanes, "{}: more lanes than issue", device.name);
        assert!(device.integer_multiplies.value <= device.integers.value, "{}", device.name);
        // All invocations of one subgroup read 4 bytes in at most 8 clocks.
        assert!(8.0 * device.workgroup_bandwidth.value >= 4.0 * f64::from(device.subgroup.value), "{}", device.name);
    }
}

#[test]
fn memory_gets_slower_and_larger() {
    for device in MODELS {
        let first = device.cache_bandwidth.value * device.processors.value * device.clock.value;
        let first_bytes = device.cache_bytes.value * device.processors.value;
        assert!(first > device.l2_bandwidth.value, "{}: first level {first:e}", device.name);
        assert!(device.l2_bandwidth.value > device.bandwidth.value, "{}", device.name);
        assert!(device.l2_bytes.value > first_bytes / device.processors.value, "{}", device.name);
        if let Some(last) = device.last_level {
            assert!(device.l2_bandwidth.value > last.bandwidth.value, "{}", device.name);
            assert!(last.bandwidth.value > device.bandwidth.value, "{}", device.name);
            assert!(last.bytes.value > device.l2_bytes.value, "{}", device.name);
        }
        assert!((1e-7..1e-6).contains(&device.latency.value), "{}: a latency in seconds", device.name);
        assert!((5e-7..1e-4).contains(&device.launch.value), "{}: a launch in seconds", device.name);
        assert!((3e8..4e9).contains(&device.clock.value), "{}: a clock in hertz", device.name);
    }
}

#[test]
fn subgroups_are_in_the_range() {
    for device in MODELS {
        let (smallest, usual, largest) =
            (device.smallest_subgroup.value, device.subgroup.value, device.largest_subgroup.value);
        assert!(smallest <= usual && usual <= largest, "{}: {smallest} {usual} {largest}", device.name);
        for lanes in [smallest, usual, largest] {
            assert!(lanes.is_power_of_two() && (4..=128).contains(&lanes), "{}: {lanes}", device.name);
        }
    }
}

#[test]
fn a_workgroup_of_256_is_resident() {
    for device in MODELS {
        let residency = &device.residency;
        let subgroups = 256_u32.div_ceil(device.subgroup.value);
        assert!(residency.workgroups.value >= 1 && residency.subgroups.value >= subgroups, "{}", device.name);
        // NVIDIA's 255 registers are allocated as 256, for one.
        let step = residency.register_step.value;
        let registers = residency.max_registers.value.div_ceil(step) * step;
        assert!(registers * 256 <= residency.registers.value, "{}: {registers}", device.name);
        let reserve = residency.workgroup_reserve.map_or(0, |reserve| reserve.value);
        let bytes = device.limits.max_workgroup_bytes.value + reserve;
        assert!(bytes <= residency.workgroup_bytes.value, "{}: {bytes}", device.name);
        // The largest workgroup that the adapter allows fits with some registers.
        let most = device.limits.max_invocations.value;
        assert!(most.div_ceil(device.subgroup.value) <= residency.subgroups.value, "{}", device.name);
        assert!(most * step <= residency.registers.value, "{}", device.name);
        if device.workgroup_memory == WorkgroupMemory::Carved {
            assert!(f64::from(residency.workgroup_bytes.value) <= device.cache_bytes.value, "{}", device.name);
        }
    }
}

#[test]
fn register_files_have_their_known_sizes() {
    // KiB a processor.
    let sizes = [
        ("h100", 256),
        ("rtx-4090", 256),
        ("rtx-3060", 256),
        ("rtx-a6000", 256),
        ("rx-7900-xtx", 4 * 192),
        ("radeon-780m", 4 * 128),
        ("arc-a770", 16 * 32),
        ("xe-integrated", 16 * 28),
        ("m2", 208),
        ("m4", 208),
        ("adreno-740", 192),
        ("mali-g715", 256),
    ];
    assert_eq!(sizes.len(), MODELS.len());
    for (name, kib) in sizes {
        let device = model(name).expect(name);
        assert_eq!(device.residency.registers.value * 4, kib << 10, "{name}");
    }
}

#[test]
fn limits_meet_what_webgpu_guarantees() {
    for device in MODELS {
        let limits = &device.limits;
        assert!(limits.max_workgroup_bytes.value >= 16384, "{}", device.name);
        assert!(limits.max_invocations.value >= 256, "{}", device.name);
        assert!(limits.max_binding_bytes.value >= 1 << 27, "{}", device.name);
        assert!(limits.max_buffer_bytes.value >= 1 << 28, "{}", device.name);
        assert!(limits.max_binding_bytes.value <= limits.max_buffer_bytes.value, "{}", device.name);
        assert_eq!(limits.max_binding_bytes.value % 4, 0, "{}", device.name);
        assert!(limits.max_workgroups.value >= 65535, "{}", device.name);
        assert!(limits.max_storage_buffers.value >= 8, "{}", device.name);
        let alignment = limits.storage_alignment.value;
        assert!(alignment.is_power_of_two() && (32..=256).contains(&alignment), "{}", device.name);
    }
}

#[test]
fn sources_name_their_kind() {
    assert_eq!(Source::Assumed("a reason").to_string(), "assumed: a reason");
    assert!(Source::Assumed("a reason").is_assumed() && !Source::Derived("a formula").is_assumed());
    let published = MODELS.iter().flat_map(|device| device.figures());
    let (assumed, all) = published.fold((0, 0), |(a, n), (_, _, s)| (a + usize::from(s.is_assumed()), n + 1));
    assert!(assumed * 2 < all, "{assumed} of {all} figures are assumed");
}
