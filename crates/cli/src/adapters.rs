//! `conv1d adapters`: lists the adapters of this machine.

use crate::Outcome;
use conv1d::{Gpu, GpuOptions, wgpu};

/// Opens the adapter whose name contains `adapter`, or the default adapter.
pub(crate) fn open(adapter: Option<&str>, checked: bool) -> conv1d::Result<Gpu> {
    let mut options = GpuOptions::default().checked(checked);
    options.adapter = adapter.map(str::to_owned);
    Gpu::with_options(&options)
}

pub(crate) fn run() -> Outcome {
    let adapters = conv1d::adapters();
    if adapters.is_empty() {
        return Err("no adapter found. On Linux without a GPU, mesa-vulkan-drivers provides a software adapter".into());
    }
    let used = Gpu::new().map(|gpu| gpu.adapter_info());
    for adapter in &adapters {
        let (info, limits, features) = (&adapter.info, &adapter.limits, adapter.features);
        let is_used = used.as_ref().is_ok_and(|u| (&u.name, u.backend) == (&info.name, info.backend));
        let mark = if is_used { " (default)" } else { "" };
        say!("{}{mark}", info.name);
        say!("  type          {:?}, {}", info.device_type, info.backend);
        say!("  driver        {} {}", info.driver, info.driver_info);
        say!("  binding       {} MiB", limits.max_storage_buffer_binding_size >> 20);
        say!("  buffer        {} MiB", limits.max_buffer_size >> 20);
        say!("  workgroups    {} per dimension", limits.max_compute_workgroups_per_dimension);
        say!(
            "  workgroup     {} invocations, {} KiB of memory",
            limits.max_compute_invocations_per_workgroup,
            limits.max_compute_workgroup_storage_size >> 10
        );
        say!("  alignment     {} bytes", limits.min_storage_buffer_offset_alignment);
        say!("  subgroups     {} to {}", info.subgroup_min_size, info.subgroup_max_size);
        for (name, feature) in [
            ("time stamps", wgpu::Features::TIMESTAMP_QUERY),
            ("f16", wgpu::Features::SHADER_F16),
            ("subgroup operations", wgpu::Features::SUBGROUP),
            ("cooperative matrices", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        ] {
            say!("  {name:<21} {}", if features.contains(feature) { "yes" } else { "no" });
        }
    }
    if let Err(error) = used {
        return Err(error.to_string());
    }
    Ok(true)
}
