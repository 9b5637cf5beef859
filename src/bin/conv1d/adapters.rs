//! `conv1d adapters`: what is there.

use crate::Outcome;
use conv1d::{Gpu, wgpu};

pub(crate) fn run() -> Outcome {
    let adapters = conv1d::adapters();
    if adapters.is_empty() {
        return Err("no adapter. On Linux without a GPU, the package mesa-vulkan-drivers brings a software one".into());
    }
    let used = Gpu::new().map(|gpu| gpu.adapter_info());
    for adapter in &adapters {
        let (info, limits, features) = (&adapter.info, &adapter.limits, adapter.features);
        let is_used = used.as_ref().is_ok_and(|u| (&u.name, u.backend) == (&info.name, info.backend));
        let mark = if is_used { " (used unless told otherwise)" } else { "" };
        println!("{}{mark}", info.name);
        println!("  type          {:?}, {}", info.device_type, info.backend);
        println!("  driver        {} {}", info.driver, info.driver_info);
        println!("  binding       {} MiB", limits.max_storage_buffer_binding_size >> 20);
        println!("  buffer        {} MiB", limits.max_buffer_size >> 20);
        println!("  workgroups    {} in a dimension", limits.max_compute_workgroups_per_dimension);
        println!(
            "  workgroup     {} invocations, {} KiB of memory",
            limits.max_compute_invocations_per_workgroup,
            limits.max_compute_workgroup_storage_size >> 10
        );
        println!("  alignment     {} bytes", limits.min_storage_buffer_offset_alignment);
        println!("  subgroups     {} to {}", info.subgroup_min_size, info.subgroup_max_size);
        for (name, feature) in [
            ("time stamps", wgpu::Features::TIMESTAMP_QUERY),
            ("f16", wgpu::Features::SHADER_F16),
            ("subgroup operations", wgpu::Features::SUBGROUP),
            ("cooperative matrices", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        ] {
            println!("  {name:<21} {}", if features.contains(feature) { "yes" } else { "no" });
        }
    }
    if let Err(error) = used {
        return Err(error.to_string());
    }
    Ok(true)
}
