//! Translation to Metal and DirectX 12: naga writes every shader in their languages, with the options that wgpu uses there.
//!
//! Whether a driver compiles these texts, and computes the right results, can be tested only on a Mac and on a Windows machine.

use super::*;
use crate::kernels::program::Source;
use naga::back::{hlsl, msl};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// The oldest Metal with `[[buffer]]` arguments that may be read and written (macOS 10.13), and the newest that wgpu requests.
const METAL: [(u8, u8); 2] = [(2, 0), (4, 0)];
/// The shader model that wgpu uses without DXC, and the oldest and the newest that it uses with DXC.
const DIRECT3D: [hlsl::ShaderModel; 3] = [hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_0, hlsl::ShaderModel::V6_9];

/// Fails if naga cannot translate a shader to Metal or DirectX 12, with index checks and without.
pub(crate) fn assert_translates(shader: &Shader, module: &naga::Module, info: &ModuleInfo) {
    let interface = interface(shader, module).unwrap();
    let name = shader.name();
    for checked in [false, true] {
        for version in METAL {
            let text = to_metal(&interface, module, info, version, checked);
            let text = text.unwrap_or_else(|e| panic!("{name} {:?} in Metal {version:?}: {e}", shader.constants));
            assert!(text.contains("kernel void "), "{name}\n{text}");
        }
        for model in DIRECT3D {
            let text = to_direct3d(&interface, module, info, model, checked);
            let text = text.unwrap_or_else(|e| panic!("{name} {:?} in HLSL {model:?}: {e}", shader.constants));
            let [x, y, z] = interface.workgroup_size;
            assert!(text.contains(&format!("[numthreads({x}, {y}, {z})]")), "{name}\n{text}");
        }
    }
}

fn places(interface: &Interface) -> impl Iterator<Item = (naga::ResourceBinding, BindingKind)> {
    let place = |binding| naga::ResourceBinding { group: 0, binding };
    interface.bindings.iter().map(move |variable| (place(variable.binding), variable.kind))
}

/// As `wgpu-hal` does in `metal/device.rs`: buffers and textures are numbered separately; the sizes of the buffers come last.
fn to_metal(
    interface: &Interface,
    module: &naga::Module,
    info: &ModuleInfo,
    lang_version: (u8, u8),
    checked: bool,
) -> Result<String, String> {
    let (mut buffers, mut textures) = (0, 0);
    let mut resources = msl::BindingMap::default();
    let take = |counter: &mut msl::Slot| Some(std::mem::replace(counter, *counter + 1));
    for (place, kind) in places(interface) {
        let mutable = matches!(kind, BindingKind::ReadWrite | BindingKind::TexelWrite);
        let target = match kind {
            BindingKind::Uniform | BindingKind::Read | BindingKind::ReadWrite => {
                msl::BindTarget { buffer: take(&mut buffers), mutable, ..Default::default() }
            }
            BindingKind::SampledTexels | BindingKind::TexelRead | BindingKind::TexelWrite => {
                msl::BindTarget { texture: take(&mut textures), mutable, ..Default::default() }
            }
        };
        resources.insert(place, target);
    }
    let resources = msl::EntryPointResources { resources, immediates_buffer: None, sizes_buffer: Some(buffers) };
    let policy = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = msl::Options {
        lang_version,
        per_entry_point_map: [(interface.entry_point.clone(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((naga::ShaderStage::Compute, interface.entry_point.clone())),
        allow_and_force_point_size: false,
        vertex_pulling_transform: true,
        vertex_buffer_mappings: Vec::new(),
        binding_array_length_map: Default::default(),
    };
    let (text, reflection) = msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
    entry_point(reflection.entry_point_names)?;
    Ok(text)
}

/// As `wgpu-hal` does in `dx12/device.rs`: constants, read-only and writable resources are numbered separately.
fn to_direct3d(
    interface: &Interface,
    module: &naga::Module,
    info: &ModuleInfo,
    shader_model: hlsl::ShaderModel,
    checked: bool,
) -> Result<String, String> {
    let (mut constants, mut read, mut written) = (0, 0, 0);
    let mut binding_map = hlsl::BindingMap::default();
    for (place, kind) in places(interface) {
        let counter = match kind {
            BindingKind::Uniform => &mut constants,
            BindingKind::Read | BindingKind::SampledTexels => &mut read,
            // Storage textures are unordered access views even if they are only read.
            BindingKind::ReadWrite | BindingKind::TexelRead | BindingKind::TexelWrite => &mut written,
        };
        let register = std::mem::replace(counter, *counter + 1);
        binding_map.insert(place, hlsl::BindTarget { register, ..Default::default() });
    }
    let special = hlsl::BindTarget { register: constants, ..Default::default() };
    let options = hlsl::Options {
        shader_model,
        binding_map,
        fake_missing_bindings: false,
        special_constants_binding: Some(special),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: checked,
        force_loop_bounding: checked,
        ..Default::default()
    };
    let pipeline =
        hlsl::PipelineOptions { entry_point: Some((naga::ShaderStage::Compute, interface.entry_point.clone())) };
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    let reflection = writer.write(module, info, None).map_err(|e| e.to_string())?;
    entry_point(reflection.entry_point_names)?;
    Ok(text)
}

/// The writers report the error of an entry point only here.
fn entry_point<E: std::fmt::Display>(names: Vec<Result<String, E>>) -> Result<(), String> {
    match names.as_slice() {
        [Ok(_)] => Ok(()),
        [Err(error)] => Err(error.to_string()),
        names => Err(format!("{} entry points", names.len())),
    }
}

/// Every WGSL file is one of the shaders. Each is valid without optional capabilities, as in a browser, its parameters are those of
/// the host, and naga translates it to Metal and DirectX 12.
#[test]
fn every_file_translates() {
    // If the tests run away from their sources, the environment variable has the path of the sources.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = std::path::Path::new(&root);
    let sources = crate::sources();
    for entry in std::fs::read_dir(root.join("shaders")).unwrap() {
        let path = entry.unwrap().path();
        let known = |source: &&Source| root.join(&*source.file) == path;
        assert!(path.is_dir() || sources.iter().any(known), "{} is no shader of the library", path.display());
    }
    for source in sources {
        let shader = Shader::of(source);
        let module = parse(&shader, &compose(&shader).unwrap()).unwrap();
        assert_eq!(interface(&shader, &module).unwrap().entry_point, source.name);
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).unwrap();
        assert_translates(&shader, &module, &info);
    }
}
