//! WGSL text to the module of one plan: the values of `const` lines replaced, and what the host must know read back from
//! naga rather than written down twice.

use crate::error::{Error, Result};
use crate::kernels::params::Field;
use crate::kernels::program::{PhaseEntry, Specialised};

/// A binding that a shader declares in group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingKind {
    Uniform,
    Read,
    ReadWrite,
    /// A sampled texture.
    SampledTexels,
    /// Storage textures of four floats a texel.
    TexelRead,
    TexelWrite,
}

/// What the host must know of a shader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) entry_point: String,
    pub(crate) workgroup_size: [u32; 3],
    /// Bytes of workgroup memory.
    pub(crate) workgroup_bytes: u32,
    /// Kinds of the bindings 0, 1, 2, ... of group 0.
    pub(crate) bindings: Vec<BindingKind>,
}

/// The text of a shader with the values of its constants set: of each line `const NAME: u32 = VALUE;` the value is
/// replaced, and nothing else.
pub(crate) fn specialise(shader: &Specialised) -> Result<String> {
    let mut text = shader.source.wgsl.to_owned();
    for (name, value) in &shader.constants {
        let head = format!("\nconst {name}: u32 = ");
        let missing = || failed(shader, format!("it has no line 'const {name}: u32 = ...;'"));
        let start = text.find(&head).ok_or_else(missing)? + head.len();
        let length = text[start..].find(';').ok_or_else(missing)?;
        text.replace_range(start..start + length, &format!("{value}u"));
    }
    Ok(text)
}

/// Parses a specialised text.
pub(crate) fn parse(shader: &Specialised, text: &str) -> Result<naga::Module> {
    naga::front::wgsl::parse_str(text).map_err(|e| failed(shader, e.emit_to_string(text)))
}

/// Reads back what the host must know.
pub(crate) fn interface(shader: &Specialised, module: &naga::Module) -> Result<Interface> {
    let [entry] = module.entry_points.as_slice() else {
        return Err(failed(shader, format!("it has {} entry points, not one", module.entry_points.len())));
    };
    let mut bindings = Vec::new();
    let mut workgroup_bytes = 0;
    check_struct(shader, "Params", members(module, "Params"), shader.source.params)?;
    if let Some(theirs) = members(module, "Phase") {
        check_struct(shader, "Phase", Some(theirs), PhaseEntry::FIELDS)?;
    }
    for (_, variable) in module.global_variables.iter() {
        let kind = match variable.space {
            naga::AddressSpace::Uniform => BindingKind::Uniform,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                BindingKind::ReadWrite
            }
            naga::AddressSpace::Storage { .. } => BindingKind::Read,
            naga::AddressSpace::WorkGroup => {
                workgroup_bytes += module.types[variable.ty].inner.size(module.to_ctx());
                continue;
            }
            naga::AddressSpace::Handle => texel_kind(&module.types[variable.ty].inner)
                .ok_or_else(|| failed(shader, format!("{:?} is not a texture of the workspace", variable.name)))?,
            _ => continue,
        };
        match &variable.binding {
            Some(place) if place.group == 0 => bindings.push((place.binding, kind)),
            place => return Err(failed(shader, format!("a binding at {place:?}, expected group 0"))),
        }
    }
    bindings.sort_unstable_by_key(|&(index, _)| index);
    if bindings.iter().enumerate().any(|(expected, &(index, _))| expected as u32 != index) {
        return Err(failed(shader, "its bindings are not 0, 1, 2, ...".into()));
    }
    Ok(Interface {
        entry_point: entry.name.clone(),
        workgroup_size: entry.workgroup_size,
        workgroup_bytes,
        bindings: bindings.into_iter().map(|(_, kind)| kind).collect(),
    })
}

fn texel_kind(variable: &naga::TypeInner) -> Option<BindingKind> {
    let naga::TypeInner::Image { dim: naga::ImageDimension::D2, arrayed: false, class } = variable else { return None };
    match *class {
        naga::ImageClass::Sampled { kind: naga::ScalarKind::Float, multi: false } => Some(BindingKind::SampledTexels),
        naga::ImageClass::Storage { format: naga::StorageFormat::Rgba32Float, access } => match access {
            naga::StorageAccess::LOAD => Some(BindingKind::TexelRead),
            naga::StorageAccess::STORE => Some(BindingKind::TexelWrite),
            _ => None,
        },
        _ => None,
    }
}

/// Compares the host's idea of a struct with the shader's, field by field.
fn check_struct(shader: &Specialised, name: &str, theirs: Option<&[naga::StructMember]>, ours: &[Field]) -> Result<()> {
    let theirs: Vec<Field<'_>> =
        theirs.unwrap_or_default().iter().map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize)).collect();
    if theirs != ours {
        return Err(failed(shader, format!("its struct {name} is {theirs:?}, the host has {ours:?}")));
    }
    Ok(())
}

fn members<'m>(module: &'m naga::Module, name: &str) -> Option<&'m [naga::StructMember]> {
    module.types.iter().find_map(|(_, t)| match &t.inner {
        naga::TypeInner::Struct { members, .. } if t.name.as_deref() == Some(name) => Some(members.as_slice()),
        _ => None,
    })
}

fn failed(shader: &Specialised, message: String) -> Error {
    Error::Shader { shader: shader.source.name, message }
}

#[cfg(test)]
pub(crate) mod translation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::program::Source;
    use crate::kernels::{KERNELS, SHARED_SOURCES};
    use crate::{Caps, Conv1d, ConvTranspose1d, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Plans that between them reach every shader in every specialisation: all kernels in all tiles, all operations, all
    /// padding modes.
    fn plans() -> Vec<Plan> {
        let modes = [
            PaddingMode::Zeros,
            PaddingMode::Constant(1.0),
            PaddingMode::Reflect,
            PaddingMode::Symmetric,
            PaddingMode::Replicate,
            PaddingMode::Circular,
        ];
        let conv = |mode| Conv1d::new(4, 6, 3).groups(2).padding(Padding::both(2)).padding_mode(mode);
        let mut layers: Vec<(Layer, usize)> = modes.into_iter().map(|mode| (conv(mode).into(), 40_000)).collect();
        layers.push((ConvTranspose1d::new(4, 6, 3).groups(2).stride(2).into(), 40_000));
        // Padding that repeats the input more than once, and a kernel far longer than what it slides over.
        let long = |mode| conv(mode).padding(Padding::both(9)).unbounded_padding(true);
        layers.extend(modes.into_iter().map(|mode| (long(mode).into(), 3)));
        layers.push((Conv1d::new(4, 6, 90).padding(Padding::Full).into(), 3));
        let mut plans = Vec::new();
        for (layer, length) in layers {
            for operation in Operation::ALL {
                for storage_texture_reads in [false, true] {
                    let caps = Caps { storage_texture_reads, ..Caps::WEBGPU };
                    let plan = |options: &PlanOptions| Plan::new(layer, operation, [2, 4, length], &caps, options);
                    let chosen = plan(&PlanOptions::default()).unwrap();
                    let forced = chosen.candidates().iter().map(|c| c.choice.to_string());
                    plans.extend(forced.map(|kernel| plan(&PlanOptions::default().kernel(kernel)).unwrap()));
                }
            }
        }
        plans
    }

    /// Naga accepts every specialisation with nothing but what a browser has, and its parameters are the host's; and it writes
    /// each for Metal and for DirectX 12.
    #[test]
    fn every_specialisation_is_valid_webgpu() {
        let mut reached = std::collections::BTreeSet::new();
        let mut translated = Vec::new();
        for plan in plans() {
            for step in &plan.program.steps {
                let text = specialise(&step.shader).unwrap();
                let module = parse(&step.shader, &text).unwrap();
                let interface = interface(&step.shader, &module).unwrap();
                let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
                let info = info.unwrap_or_else(|e| panic!("{}: {e:?}", step.shader.source.name));
                if !translated.contains(&step.shader) {
                    translation::assert_translates(&step.shader, &module, &info);
                    translated.push(step.shader.clone());
                }
                let name = step.shader.source.name;
                assert_eq!(interface.bindings.len(), step.bindings.len() + 1, "{name}");
                assert!(interface.workgroup_bytes <= Caps::LEAST_WORKGROUP_BYTES, "{name}");
                let invocations: u32 = interface.workgroup_size.iter().product();
                assert!(invocations <= Caps::LEAST_INVOCATIONS, "{name}");
                let buffer = |kind: &&BindingKind| matches!(kind, BindingKind::Read | BindingKind::ReadWrite);
                let buffers = interface.bindings.iter().filter(buffer).count();
                assert!(buffers <= Caps::LEAST_STORAGE_BUFFERS as usize, "{name}");
                assert!(name.starts_with(&interface.entry_point), "{name}");
                reached.insert(name);
            }
        }
        let all = KERNELS.iter().flat_map(|k| k.sources()).chain(SHARED_SOURCES.iter().copied());
        assert_eq!(reached, all.map(|s| s.name).collect());
    }

    /// Every WGSL file.
    fn sources() -> impl Iterator<Item = &'static Source> {
        #[cfg(feature = "nn")]
        let networks = crate::nn::SOURCES.iter();
        #[cfg(not(feature = "nn"))]
        let networks = [].iter();
        let kernels = KERNELS.iter().flat_map(|k| k.sources()).chain(SHARED_SOURCES.iter().copied());
        kernels.chain(networks.copied())
    }

    /// WGSL has no include: what several shaders share is the same text in each.
    #[test]
    fn shared_wgsl_is_the_same_everywhere() {
        let heads = [
            "fn extend(",
            "fn repeat(",
            "fn sample(",
            "struct Phase {",
            "fn sigmoid(",
            "fn erf(",
            "fn activate(",
            "fn store(",
            "fn derivative(",
            "fn threefry(",
            "fn mask(",
            "fn pre_activation(",
            "fn sum_lanes(",
            "fn at(",
            "fn normalised(",
            "fn gradient(",
        ];
        for head in heads {
            let mut copies: Vec<&str> = Vec::new();
            for source in sources() {
                if let Some(start) = source.wgsl.find(head) {
                    let length = source.wgsl[start..].find("\n}").unwrap();
                    copies.push(&source.wgsl[start..start + length]);
                }
            }
            assert!(copies.len() > 1, "{head}");
            assert!(copies.windows(2).all(|pair| pair[0] == pair[1]), "{head}");
        }
    }

    /// A constant that a shader does not have is an error, not a silently unspecialised shader.
    #[test]
    fn unknown_constants_are_refused() {
        let source = KERNELS[0].sources()[0];
        let shader = Specialised { source, constants: vec![("NO_SUCH_CONSTANT", 1)] };
        assert!(matches!(specialise(&shader), Err(Error::Shader { .. })));
    }
}
