//! Shaders of the caller, bound by the names of their variables.

use super::prepared::{Bound, BoundDispatch};
use super::{Gpu, Pipeline};
use crate::error::{Error, Result};
use crate::kernels::program::{Shader, folded};
use crate::shader::{BindingKind, Variable};
use std::sync::Arc;

/// A compiled [`Shader`], ready to be bound any number of times.
#[derive(Debug, Clone)]
pub struct PreparedShader {
    gpu: Gpu,
    shader: Shader,
    pipeline: Arc<Pipeline>,
}

/// The buffers and the parameters of a [`Shader`], by name.
///
/// A uniform struct of 32-bit numbers takes one [`value`](Bindings::value) for each field; the [`Bound`] holds the buffer with its
/// bytes. Other uniforms take a buffer, and so do those whose values change without a new bind.
#[derive(Debug, Clone, Default)]
pub struct Bindings<'a> {
    buffers: Vec<(&'a str, wgpu::BufferSlice<'a>)>,
    values: Vec<(&'a str, Scalar)>,
}

/// A 32-bit number of a uniform struct.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Scalar {
    /// `u32`.
    U32(u32),
    /// `i32`.
    I32(i32),
    /// `f32`.
    F32(f32),
}

/// The number of workgroups of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workgroups {
    /// One invocation for each of this many elements. In workgroups of `LANES`, the part `element` gives an invocation the index of its
    /// element.
    Elements(u64),
    /// This many workgroups, folded into two dimensions if one cannot hold them. The part `workgroup` gives a workgroup its index.
    Count(u64),
    /// Workgroups along x, y and z.
    Grid([u32; 3]),
}

impl Scalar {
    fn bytes(self) -> [u8; 4] {
        match self {
            Scalar::U32(value) => value.to_ne_bytes(),
            Scalar::I32(value) => value.to_ne_bytes(),
            Scalar::F32(value) => value.to_ne_bytes(),
        }
    }

    const fn kind(self) -> naga::ScalarKind {
        match self {
            Scalar::U32(_) => naga::ScalarKind::Uint,
            Scalar::I32(_) => naga::ScalarKind::Sint,
            Scalar::F32(_) => naga::ScalarKind::Float,
        }
    }
}

impl From<u32> for Scalar {
    fn from(value: u32) -> Self {
        Scalar::U32(value)
    }
}

impl From<i32> for Scalar {
    fn from(value: i32) -> Self {
        Scalar::I32(value)
    }
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Self {
        Scalar::F32(value)
    }
}

impl<'a> Bindings<'a> {
    /// No bindings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the buffer of a variable.
    #[must_use]
    pub fn with(mut self, variable: &'a str, slice: wgpu::BufferSlice<'a>) -> Self {
        self.buffers.push((variable, slice));
        self
    }

    /// Adds the value of a field of a uniform struct; `outer.inner` for a field of a nested struct.
    #[must_use]
    pub fn value(mut self, field: &'a str, value: impl Into<Scalar>) -> Self {
        self.values.push((field, value.into()));
        self
    }

    /// Adds values of fields of uniform structs.
    #[must_use]
    pub fn values(mut self, values: impl IntoIterator<Item = (&'a str, Scalar)>) -> Self {
        self.values.extend(values);
        self
    }
}

/// Name of a kind of number, for errors.
const fn kind_name(kind: naga::ScalarKind) -> &'static str {
    match kind {
        naga::ScalarKind::Uint => "u32",
        naga::ScalarKind::Sint => "i32",
        naga::ScalarKind::Float => "f32",
        _ => "another type",
    }
}

impl Gpu {
    /// Compiles a shader, unless it is compiled already.
    ///
    /// # Errors
    /// [`Error::Shader`] says where the text is wrong; [`Error::DeviceLimit`] which limit of the device is too low for it.
    pub fn prepare_shader(&self, shader: &Shader) -> Result<PreparedShader> {
        self.check_lost()?;
        let pipeline = self.pipeline(shader)?;
        Ok(PreparedShader { gpu: self.clone(), shader: shader.clone(), pipeline })
    }
}

impl PreparedShader {
    /// The shader.
    pub fn shader(&self) -> &Shader {
        &self.shader
    }

    /// Invocations of a workgroup along x, y and z.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.pipeline.workgroup_size
    }

    /// Binds buffers and values. Slices must start at multiples of the device's alignment ([`Caps`](crate::Caps)). Several ranges of
    /// one buffer may be bound if no range that the shader writes overlaps another. If the shader writes one and reads another, it is
    /// compiled again with all storage variables `read_write`.
    ///
    /// # Errors
    /// [`Error::Binding`] names the variable: it is missing, unknown or given twice, its buffer is too small, too large, not aligned
    /// or without its usage, its value is of another type, or its range overlaps another. [`Error::TooLarge`] for more workgroups than
    /// the device can dispatch.
    pub fn bind(&self, bindings: &Bindings<'_>, workgroups: Workgroups) -> Result<Bound> {
        let (gpu, caps) = (&self.gpu, self.gpu.caps());
        gpu.check_lost()?;
        let workgroups = self.folded(workgroups)?;
        self.check_names(bindings)?;
        for variable in &self.pipeline.bindings {
            match bindings.buffer(&variable.name) {
                Some(slice) => self.check_slice(variable, slice)?,
                None if variable.kind == BindingKind::Uniform && !variable.fields.is_empty() => {}
                None => return Err(self.wrong(&variable.name, "no buffer is given for it")),
            }
        }
        let shares = self.shared(bindings)?;
        let pipeline = match shares {
            Some(variable) => self.writable().map_err(|e| {
                let reason = format!("it shares a buffer with what is written, which the shader does not allow: {e}");
                self.wrong(&variable, reason)
            })?,
            None => self.pipeline.clone(),
        };
        // The bytes of each uniform without a buffer.
        let mut contents: Vec<u8> = Vec::new();
        let mut offsets: Vec<(u32, u64)> = Vec::new();
        for variable in self.filled(bindings) {
            offsets.push((variable.binding, contents.len() as u64));
            contents.extend(self.bytes_of(variable, bindings)?);
            contents.resize(contents.len().next_multiple_of(caps.uniform_alignment.max(4) as usize), 0);
        }
        if workgroups.contains(&0) {
            return Ok(Bound::of(gpu, Vec::new()));
        }
        let uniforms = match contents.as_slice() {
            [] => None,
            contents => Some(gpu.filled_buffer("conv1d parameters", contents, wgpu::BufferUsages::UNIFORM)?),
        };
        let group = gpu.guarded(|| {
            let buffer = |slice: wgpu::BufferSlice<'_>| (slice.offset(), wgpu::BufferSize::new(slice.size()));
            let entry = |variable: &Variable| {
                let (buffer, (offset, size)) = match bindings.buffer(&variable.name) {
                    Some(slice) => (slice.buffer().clone(), buffer(slice)),
                    None => {
                        let uniforms = uniforms.clone()?;
                        let offset = offsets.iter().find(|(binding, _)| *binding == variable.binding)?.1;
                        (uniforms, (offset, wgpu::BufferSize::new(variable.bytes)))
                    }
                };
                Some((variable.binding, buffer, offset, size))
            };
            let bound: Vec<_> = pipeline.bindings.iter().filter_map(entry).collect();
            let entries = bound.iter().map(|(binding, buffer, offset, size)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: *offset, size: *size }),
            });
            gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(self.shader.name()),
                layout: &pipeline.layout,
                entries: &entries.collect::<Vec<_>>(),
            })
        })?;
        Ok(Bound::of(gpu, vec![BoundDispatch { pipeline, bindings: group, workgroups }]))
    }

    fn folded(&self, workgroups: Workgroups) -> Result<[u32; 3]> {
        let caps = self.gpu.caps();
        let count = match workgroups {
            Workgroups::Count(count) => count,
            Workgroups::Elements(elements) => {
                elements.div_ceil(self.workgroup_size().iter().map(|&n| u64::from(n)).product::<u64>().max(1))
            }
            Workgroups::Grid(grid) => {
                let limit = caps.max_workgroups.into();
                return match grid.into_iter().map(u64::from).find(|&count| count > limit) {
                    Some(value) => Err(Error::TooLarge { what: "workgroups of a dimension", value, limit }),
                    None => Ok(grid),
                };
            }
        };
        let [x, y] = folded(count, caps)?;
        Ok([x, y, 1])
    }

    fn wrong(&self, variable: &str, reason: impl Into<String>) -> Error {
        Error::Binding { shader: self.shader.name().to_owned(), variable: variable.to_owned(), reason: reason.into() }
    }

    /// The uniforms without a buffer, which values fill.
    fn filled<'s>(&'s self, bindings: &'s Bindings<'_>) -> impl Iterator<Item = &'s Variable> {
        let uniforms = self.pipeline.bindings.iter().filter(|variable| variable.kind == BindingKind::Uniform);
        uniforms.filter(|variable| bindings.buffer(&variable.name).is_none())
    }

    /// Checks that every name is in the shader and is given once.
    fn check_names(&self, bindings: &Bindings<'_>) -> Result<()> {
        let variables: Vec<&str> = self.pipeline.bindings.iter().map(|variable| &*variable.name).collect();
        let fields: Vec<&str> =
            self.filled(bindings).flat_map(|variable| &variable.fields).map(|field| &*field.name).collect();
        let names = bindings.buffers.iter().map(|(name, _)| (*name, &variables, "variables"));
        let values = bindings.values.iter().map(|(name, _)| (*name, &fields, "fields without a buffer"));
        let all: Vec<_> = names.chain(values).collect();
        for (index, (name, known, what)) in all.iter().enumerate() {
            if !known.contains(name) {
                let given_as_value = index >= bindings.buffers.len();
                let is_field = |v: &Variable| v.fields.iter().any(|field| field.name == *name);
                let uniform = self.pipeline.bindings.iter().find(|v| is_field(v));
                let reason = match uniform {
                    Some(uniform) if given_as_value => format!("its uniform {} has a buffer", uniform.name),
                    Some(_) => "it is a number: give it by Bindings::value".to_owned(),
                    None if variables.contains(name) => "it is a buffer: give it by Bindings::with".to_owned(),
                    None => format!("there is no such name; the shader's {what} are {known:?}"),
                };
                return Err(self.wrong(name, reason));
            }
            if all[..index].iter().any(|(other, _, kind)| other == name && kind == what) {
                return Err(self.wrong(name, "it is given twice"));
            }
        }
        if let Some(twice) = fields.iter().enumerate().find(|&(index, field)| fields[..index].contains(field)) {
            return Err(self.wrong(twice.1, "two uniforms have this field: give one of them a buffer"));
        }
        Ok(())
    }

    fn check_slice(&self, variable: &Variable, slice: wgpu::BufferSlice<'_>) -> Result<()> {
        let caps = self.gpu.caps();
        let (alignment, usage, name) = match variable.kind {
            BindingKind::Uniform => (caps.uniform_alignment, wgpu::BufferUsages::UNIFORM, "UNIFORM"),
            _ => (caps.storage_alignment, wgpu::BufferUsages::STORAGE, "STORAGE"),
        };
        let (offset, size) = (slice.offset(), slice.size());
        if !offset.is_multiple_of(u64::from(alignment.max(4))) {
            return Err(
                self.wrong(&variable.name, format!("its offset {offset} is not a multiple of {alignment} bytes"))
            );
        }
        if size < variable.bytes || !size.is_multiple_of(4) {
            let needed = variable.bytes;
            return Err(self.wrong(
                &variable.name,
                format!("it has {size} bytes; a multiple of 4 and at least {needed} are needed"),
            ));
        }
        let limit = match variable.kind {
            BindingKind::Uniform => self.gpu.device().limits().max_uniform_buffer_binding_size,
            _ => caps.max_binding_bytes,
        };
        if size > limit {
            return Err(self.wrong(&variable.name, format!("it has {size} bytes; a binding has {limit} at most")));
        }
        if !slice.buffer().usage().contains(usage) {
            return Err(self.wrong(&variable.name, format!("its buffer lacks the usage {name}")));
        }
        Ok(())
    }

    /// The form of the shader whose storage variables are all `read_write`, so that ranges of one buffer can be bound beside one that it
    /// writes.
    fn writable(&self) -> Result<Arc<Pipeline>> {
        let pipeline = self.gpu.pipeline(&Shader { writable: true, ..self.shader.clone() })?;
        match pipeline.bindings.iter().find(|variable| variable.kind == BindingKind::Read) {
            None => Ok(pipeline),
            Some(variable) => Err(self.wrong(&variable.name, "it cannot be declared read_write")),
        }
    }

    /// A variable that reads a range of a buffer of which the shader writes another range, if there is one. Two ranges that it writes need
    /// no other form.
    fn shared(&self, bindings: &Bindings<'_>) -> Result<Option<String>> {
        let kind = |name: &str| self.pipeline.bindings.iter().find(|v| v.name == name).map(|v| v.kind);
        let mut shared = None;
        for (index, (name, slice)) in bindings.buffers.iter().enumerate() {
            for (other, beside) in &bindings.buffers[..index] {
                let kinds = [kind(name), kind(other)];
                if slice.buffer() != beside.buffer() || !kinds.contains(&Some(BindingKind::ReadWrite)) {
                    continue;
                }
                if let Some(uniform) = kinds.iter().position(|kind| *kind == Some(BindingKind::Uniform)) {
                    return Err(self.wrong([name, other][uniform], "the shader writes another range of its buffer"));
                }
                if slice.offset() < beside.offset() + beside.size() && beside.offset() < slice.offset() + slice.size() {
                    return Err(
                        self.wrong(name, format!("it overlaps {other} in one buffer, and one of them is written"))
                    );
                }
                if let Some(read) = kinds.iter().position(|kind| *kind == Some(BindingKind::Read)) {
                    shared = Some([name, other][read].to_string());
                }
            }
        }
        Ok(shared)
    }

    /// The bytes of a uniform, from the values of its fields.
    fn bytes_of(&self, variable: &Variable, bindings: &Bindings<'_>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; variable.bytes as usize];
        for field in &variable.fields {
            let value = bindings.values.iter().find(|(name, _)| *name == field.name).map(|(_, value)| *value);
            let value = value.ok_or_else(|| self.wrong(&field.name, "no value is given for it"))?;
            if value.kind() != field.kind {
                let (got, expected) = (kind_name(value.kind()), kind_name(field.kind));
                return Err(self.wrong(&field.name, format!("it is {expected}, the value is {got}")));
            }
            bytes[field.offset..field.offset + 4].copy_from_slice(&value.bytes());
        }
        Ok(bytes)
    }
}

impl<'a> Bindings<'a> {
    fn buffer(&self, variable: &str) -> Option<wgpu::BufferSlice<'a>> {
        self.buffers.iter().find(|(name, _)| *name == variable).map(|(_, slice)| *slice)
    }
}
