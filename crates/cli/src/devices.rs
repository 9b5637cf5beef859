//! Devices by name, for plans without an adapter.

use conv1d::models::{MODELS, Model};
use conv1d::{Caps, DeviceClass, models};

/// The caps of a class, with the limits that WebGPU guarantees, or of a model.
pub(crate) fn caps(name: &str) -> Result<Caps, String> {
    Ok(match name {
        "webgpu" => Caps::WEBGPU,
        "software" => Caps::of(DeviceClass::Software),
        "integrated" => Caps::of(DeviceClass::Integrated),
        "discrete" => Caps::of(DeviceClass::Discrete),
        name => {
            let other = |error| format!("expected webgpu, software, integrated, discrete, or a model: {error}");
            Caps::of_model(model(name).map_err(other)?)
        }
    })
}

/// The model of this name, in any case.
pub(crate) fn model(name: &str) -> Result<&'static Model, String> {
    models::model(&name.trim().to_lowercase()).ok_or_else(|| {
        let known: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("expected one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        assert_eq!(caps("discrete"), Ok(Caps::of(DeviceClass::Discrete)));
        assert_eq!(caps("m2").map(|caps| caps.model), Ok(models::model("m2")));
        assert!(caps("rtx-9000").unwrap_err().contains("rtx-4090"));
    }
}
