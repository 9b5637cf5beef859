use crate::error::{Error, Result};

/// Environment variable with part of the name of the adapter to use.
const ADAPTER_VARIABLE: &str = "CONV1D_ADAPTER";

/// An adapter of this machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Adapter {
    /// Name, type, backend and driver.
    pub info: wgpu::AdapterInfo,
    /// Its limits.
    pub limits: wgpu::Limits,
    /// Its features.
    pub features: wgpu::Features,
}

/// All adapters of this machine.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<Adapter> {
    pollster::block_on(adapters_async())
}

/// As `adapters`, without blocking. A browser lists one adapter.
pub async fn adapters_async() -> Vec<Adapter> {
    let adapters = instance().enumerate_adapters(wgpu::Backends::all()).await;
    adapters.iter().map(|a| Adapter { info: a.get_info(), limits: a.limits(), features: a.features() }).collect()
}

/// One instance for the whole program: wgpu cannot tell the resources of another instance from its own.
#[cfg(not(target_arch = "wasm32"))]
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: std::sync::OnceLock<wgpu::Instance> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle()))
}

/// A browser has a single instance anyway.
#[cfg(target_arch = "wasm32")]
fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

/// The adapter whose name contains `name`, case-insensitive. Without a name, the environment variable is used; without both, the
/// adapter that wgpu prefers for high performance.
pub(super) async fn choose(name: Option<&str>) -> Result<wgpu::Adapter> {
    let instance = instance();
    let variable = std::env::var(ADAPTER_VARIABLE).ok().filter(|name| !name.is_empty());
    let Some(name) = name.map(str::to_owned).or(variable) else {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        return match instance.request_adapter(&options).await {
            Ok(adapter) => Ok(adapter),
            Err(_) => Err(none("that computes", &instance.enumerate_adapters(wgpu::Backends::all()).await)),
        };
    };
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let wanted = name.to_lowercase();
    match adapters.iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted)) {
        Some(adapter) => Ok(adapter.clone()),
        None => Err(none(&format!("whose name contains {name:?}"), &adapters)),
    }
}

fn none(wanted: &str, adapters: &[wgpu::Adapter]) -> Error {
    let names: Vec<String> = adapters.iter().map(|a| a.get_info().name).collect();
    let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Error::NoAdapter { wanted: wanted.to_owned(), found }
}
