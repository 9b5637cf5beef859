//! WGSL text of one plan's shader: composes it with the values of its `const` lines, and reads its interface back from naga, so
//! that it is not written down twice.

mod compose;
mod parts;

pub(crate) use compose::{Composed, compose};
pub(crate) use parts::public as public_parts;

use crate::error::Result;
use crate::kernels::operands::PhaseParams;
use crate::kernels::params::fields;
use crate::kernels::program::Shader;
use crate::plan::Plan;
use compose::failed;

/// A binding that a shader declares in group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingKind {
    Uniform,
    Read,
    ReadWrite,
    /// A sampled texture.
    SampledTexels,
    /// Storage textures with four floats per texel.
    TexelRead,
    TexelWrite,
}

/// The properties of a shader that the host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) entry_point: String,
    pub(crate) workgroup_size: [u32; 3],
    /// Bytes of workgroup memory.
    pub(crate) workgroup_bytes: u64,
    /// The bindings of group 0, in ascending order. Binding 0 of a kernel is its parameters.
    pub(crate) bindings: Vec<Variable>,
}

/// A variable of a shader that a resource is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) binding: u32,
    pub(crate) kind: BindingKind,
    /// Fewest bytes that can be bound: the size of its type, with one element of a runtime-sized array.
    pub(crate) bytes: u64,
    /// The fields of a uniform struct of 32-bit numbers. Empty for other types.
    pub(crate) fields: Vec<Field>,
}

/// A field of a uniform struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name; `outer.inner` for a field of a nested struct.
    pub(crate) name: String,
    /// First byte in the struct.
    pub(crate) offset: usize,
    pub(crate) kind: naga::ScalarKind,
}

impl Shader {
    /// The text that is compiled: the parts and the shader's own text, with the values of its constants.
    ///
    /// # Errors
    /// [`Error::Shader`](crate::Error::Shader) names the part or the constant that does not exist.
    pub fn wgsl(&self) -> Result<String> {
        Ok(compose(self)?.text)
    }
}

impl Plan {
    /// Names and WGSL texts of the shaders as they are compiled; each text once.
    pub fn shaders(&self) -> Result<Vec<(String, String)>> {
        let mut shaders: Vec<(String, String)> = Vec::new();
        for dispatch in &self.program.dispatches {
            let text = dispatch.shader.wgsl()?;
            if !shaders.iter().any(|(_, known)| *known == text) {
                shaders.push((dispatch.shader.name().to_owned(), text));
            }
        }
        Ok(shaders)
    }
}

/// Parses a shader. Errors name the file and the line.
pub(crate) fn parse(shader: &Shader, composed: &Composed) -> Result<naga::Module> {
    naga::front::wgsl::parse_str(&composed.text).map_err(|e| {
        let message = e.emit_to_string(&composed.text);
        failed(
            shader,
            match e.location(&composed.text) {
                Some(at) => {
                    let (file, line) = composed.place(at.line_number as usize);
                    format!("{file}:{line}:{}: {message}", at.line_position)
                }
                None => message,
            },
        )
    })
}

/// Fails with the file, the line and the column of the error that naga's validation finds in a module. A browser validates by itself.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn validate(shader: &Shader, composed: &Composed, module: &naga::Module) -> Result<()> {
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let Err(error) = validator.validate(module) else { return Ok(()) };
    let message = error.emit_to_string(&composed.text);
    Err(failed(
        shader,
        match error.location(&composed.text) {
            Some(at) => {
                let (file, line) = composed.place(at.line_number as usize);
                format!("{file}:{line}:{}: {message}", at.line_position)
            }
            None => format!("{}: {message}", shader.source.file),
        },
    ))
}

/// Reads the interface of a shader, and checks that the parameter structs are those of the host.
pub(crate) fn interface(shader: &Shader, module: &naga::Module) -> Result<Interface> {
    let [entry] = module.entry_points.as_slice() else {
        return Err(failed(shader, format!("it has {} entry points, not one", module.entry_points.len())));
    };
    if !module.overrides.is_empty() {
        return Err(failed(shader, "it has overrides: use `const NAME: u32 = VALUE;` and Shader::constant".into()));
    }
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|e| failed(shader, format!("a type has no layout: {e}")))?;
    let mut bindings: Vec<Variable> = Vec::new();
    let mut workgroup_bytes = 0_u64;
    if let Some(blocks) = shader.source.params {
        check_struct(shader, "Params", all_fields(module, "Params"), fields(blocks))?;
        let phase = all_fields(module, "Phase");
        if !phase.is_empty() {
            let ours = PhaseParams::FIELDS.iter().map(|&(name, offset)| (name.to_owned(), offset)).collect();
            check_struct(shader, "Phase", phase, ours)?;
        }
    }
    for (_, variable) in module.global_variables.iter() {
        let kind = match variable.space {
            naga::AddressSpace::Uniform => BindingKind::Uniform,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                BindingKind::ReadWrite
            }
            naga::AddressSpace::Storage { .. } => BindingKind::Read,
            naga::AddressSpace::WorkGroup => {
                workgroup_bytes = workgroup_bytes.saturating_add(layouter[variable.ty].size.into());
                continue;
            }
            naga::AddressSpace::Handle => {
                texel_kind(&module.types[variable.ty].inner).filter(|_| !shader.source.callers).ok_or_else(|| {
                    failed(shader, format!("{:?} is a texture or a sampler: bind buffers", variable.name))
                })?
            }
            _ => continue,
        };
        match &variable.binding {
            Some(place) if place.group == 0 => bindings.push(Variable {
                name: variable.name.clone().unwrap_or_default(),
                binding: place.binding,
                kind,
                bytes: layouter[variable.ty].size.into(),
                fields: if kind == BindingKind::Uniform { scalars(module, variable.ty) } else { Vec::new() },
            }),
            place => return Err(failed(shader, format!("a binding at {place:?}, expected group 0"))),
        }
    }
    bindings.sort_unstable_by_key(|variable| variable.binding);
    if bindings.windows(2).any(|pair| pair[0].binding == pair[1].binding) {
        return Err(failed(shader, format!("two of its bindings have the same number: {bindings:?}")));
    }
    if !shader.source.callers
        && !matches!(bindings.first(), Some(Variable { binding: 0, kind: BindingKind::Uniform, .. }))
    {
        return Err(failed(shader, "its binding 0 is not the uniform with its parameters".into()));
    }
    Ok(Interface { entry_point: entry.name.clone(), workgroup_size: entry.workgroup_size, workgroup_bytes, bindings })
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

/// Checks that a struct has the same fields in the shader and on the host.
fn check_struct(shader: &Shader, name: &str, theirs: Vec<(String, usize)>, ours: Vec<(String, usize)>) -> Result<()> {
    if theirs != ours {
        return Err(failed(shader, format!("its struct {name} is {theirs:?}, the host has {ours:?}")));
    }
    Ok(())
}

/// Names and byte offsets of the fields of a struct; `outer.inner` for those of nested structs. Empty if there is no such struct.
fn all_fields(module: &naga::Module, name: &str) -> Vec<(String, usize)> {
    let found = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name));
    let all = found.map(|(ty, _)| leaves(module, ty)).unwrap_or_default();
    all.into_iter().map(|(name, offset, _)| (name, offset)).collect()
}

/// The fields of a struct whose fields are all 32-bit numbers; none for other types.
fn scalars(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Vec<Field> {
    let field = |(name, offset, ty): (String, usize, naga::Handle<naga::Type>)| match module.types[ty].inner {
        naga::TypeInner::Scalar(scalar) if scalar.width == 4 => Some(Field { name, offset, kind: scalar.kind }),
        _ => None,
    };
    leaves(module, ty).into_iter().map(field).collect::<Option<_>>().unwrap_or_default()
}

/// Name, byte offset and type of the fields of a struct; `outer.inner` for those of nested structs.
fn leaves(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Vec<(String, usize, naga::Handle<naga::Type>)> {
    let naga::TypeInner::Struct { members, .. } = &module.types[ty].inner else { return Vec::new() };
    let mut fields = Vec::new();
    for member in members {
        let (name, offset) = (member.name.clone().unwrap_or_default(), member.offset as usize);
        match module.types[member.ty].inner {
            naga::TypeInner::Struct { .. } => {
                let inner = leaves(module, member.ty).into_iter();
                fields.extend(inner.map(|(field, at, ty)| (format!("{name}.{field}"), offset + at, ty)));
            }
            _ => fields.push((name, offset, member.ty)),
        }
    }
    fields
}

#[cfg(test)]
pub(crate) mod translation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::program::{Binding, Dispatch};
    use crate::{Caps, Conv1d, ConvTranspose1d, Layer, Operation, Padding, PaddingMode, PlanOptions};
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use std::collections::{BTreeMap, BTreeSet};

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
        // Padding that repeats the input more than once, and a kernel far longer than its input.
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
                    let forced = chosen.candidates().iter().map(|c| c.variant.to_string());
                    plans.extend(forced.map(|kernel| plan(&PlanOptions::default().kernel(kernel)).unwrap()));
                }
            }
        }
        plans
    }

    /// Every specialisation is valid without optional capabilities, as in a browser. Its parameters are those of the host, and
    /// naga translates it to Metal and DirectX 12.
    #[test]
    fn every_specialisation_is_valid_webgpu() {
        let mut reached = BTreeSet::new();
        let mut seen: Vec<Shader> = Vec::new();
        for plan in plans() {
            for dispatch in &plan.program.dispatches {
                for form in forms(dispatch) {
                    if !seen.contains(&form) {
                        assert_valid(&form, dispatch);
                        reached.insert(form.source.file.clone());
                        seen.push(form);
                    }
                }
            }
        }
        let all = crate::kernels::sources();
        assert_eq!(reached, all.map(|s| s.file.clone()).collect());
    }

    /// The shader of a dispatch with all optional operands and without each, unchanged and with all storage bindings writable.
    fn forms(dispatch: &Dispatch) -> Vec<Shader> {
        let optional = dispatch.bindings.iter().filter(|b| b.optional).map(|b| b.variable);
        let without = optional.map(|variable| dispatch.shader.clone().without(variable));
        let forms: Vec<Shader> = std::iter::once(dispatch.shader.clone()).chain(without).collect();
        let writable = forms.iter().map(|shader| Shader { writable: true, ..shader.clone() });
        forms.iter().cloned().chain(writable).collect()
    }

    /// The shader is valid, has exactly the variables that the dispatch binds, and stays within the limits of every device.
    fn assert_valid(shader: &Shader, dispatch: &Dispatch) {
        let name = &*shader.source.name;
        let module = parse(shader, &compose(shader).unwrap()).unwrap();
        let interface = interface(shader, &module).unwrap();
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        let info = info.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        translation::assert_translates(shader, &module, &info);
        let left_out = |b: &&Binding| b.optional && !shader.parts.iter().any(|(folder, _)| *folder == b.variable);
        let bound = dispatch.bindings.iter().filter(|b| !left_out(b)).map(|b| b.variable).collect::<BTreeSet<_>>();
        let declared = interface.bindings[1..].iter().map(|v| v.name.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(bound, declared, "{name}");
        let readable = |v: &Variable| v.kind == BindingKind::Read && v.name != "phases";
        assert!(!shader.writable || !interface.bindings.iter().any(readable), "{name}");
        assert!(interface.workgroup_bytes <= Caps::LEAST_WORKGROUP_BYTES.into(), "{name}");
        let invocations: u32 = interface.workgroup_size.iter().product();
        assert!(invocations <= Caps::LEAST_INVOCATIONS, "{name}");
        let buffer = |variable: &&Variable| matches!(variable.kind, BindingKind::Read | BindingKind::ReadWrite);
        let buffers = interface.bindings.iter().filter(buffer).count();
        assert!(buffers <= Caps::LEAST_STORAGE_BUFFERS as usize, "{name}");
        assert_eq!(interface.entry_point, name);
    }

    /// No function, struct or variable is declared in two files, except in files of one folder of parts: a shader has one of them.
    #[test]
    fn nothing_is_declared_twice() {
        let mut files: Vec<(String, &str)> =
            parts::all().map(|(name, text)| (format!("shaders/lib/{name}.wgsl"), text)).collect();
        files.extend(crate::sources().into_iter().map(|source| (source.file.to_string(), &*source.wgsl)));
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        for (file, text) in &files {
            for (head, end) in [("\nfn ", '}'), ("\nstruct ", '}'), ("\nvar<", ';'), ("\nalias ", ';')] {
                for (start, _) in text.match_indices(head) {
                    let declaration = text[start + 1..].split_inclusive(end).next().unwrap();
                    let folder = |file: &str| file.rsplit_once('/').map(|(folder, _)| folder.to_owned());
                    let choices = |other: &str| {
                        folder(other) == folder(file)
                            && file.strip_prefix("shaders/lib/").is_some_and(|f| f.contains('/'))
                    };
                    if let Some(other) = known.insert(declaration, file)
                        && other != file
                        && !choices(other)
                    {
                        panic!("{other} and {file} both have\n{declaration}");
                    }
                }
            }
        }
        assert_no_repeated_lines(&files);
    }

    /// No six consecutive lines of a file occur in another place.
    fn assert_no_repeated_lines(files: &[(String, &str)]) {
        let mut places: BTreeMap<Vec<&str>, String> = BTreeMap::new();
        for (file, text) in files {
            let lines: Vec<&str> =
                text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "}").collect();
            for (number, run) in lines.windows(6).enumerate() {
                let place = format!("{file}, statement {}", number + 1);
                if let Some(other) = places.insert(run.to_vec(), place.clone()) {
                    panic!("{other} and {place}:\n{}", run.join("\n"));
                }
            }
        }
    }
}
