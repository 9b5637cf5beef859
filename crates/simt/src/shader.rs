//! Shaders: parsed, validated and compiled.

use crate::code::Space;
use crate::compile::compile;
use crate::error::{Error, Result};
use crate::program::{Analysed, analyse};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A compute shader that the interpreter can run.
#[derive(Debug, Clone)]
pub struct Shader {
    pub(crate) analysed: Analysed,
}

/// The kind of a variable that a resource is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A uniform variable.
    Uniform,
    /// A storage variable.
    Storage,
    /// A texture.
    Texture,
}

/// A variable that a resource is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its group and binding.
    pub binding: (u32, u32),
    /// Its kind.
    pub kind: Kind,
}

impl Shader {
    /// Compiles the first compute entry point of a WGSL text.
    ///
    /// # Errors
    /// [`Error::Invalid`] with naga's message, or [`Error::Unknown`] with the name of what the interpreter does not know.
    pub fn new(wgsl: &str) -> Result<Shader> {
        Shader::with_entry_point(wgsl, "")
    }

    /// Compiles the compute entry point of this name.
    ///
    /// # Errors
    /// As [`Shader::new`]; [`Error::EntryPoint`] if there is none of this name.
    pub fn with_entry_point(wgsl: &str, name: &str) -> Result<Shader> {
        let module = naga::front::wgsl::parse_str(wgsl)
            .map_err(|error| Error::Invalid { message: error.emit_to_string(wgsl) })?;
        Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .map_err(|error| Error::Invalid { message: error.emit_to_string(wgsl) })?;
        Shader::of_module(&module, wgsl, name)
    }

    /// Compiles an entry point of a module that naga has validated. The text is for messages; it may be empty.
    ///
    /// # Errors
    /// As [`Shader::with_entry_point`], without [`Error::Invalid`].
    pub fn of_module(module: &naga::Module, text: &str, name: &str) -> Result<Shader> {
        let entry = module
            .entry_points
            .iter()
            .find(|entry| entry.stage == naga::ShaderStage::Compute && (name.is_empty() || entry.name == name))
            .ok_or_else(|| Error::EntryPoint { name: name.to_owned() })?;
        let lanes = entry.workgroup_size.iter().try_fold(1_u32, |lanes, &size| lanes.checked_mul(size));
        match lanes {
            Some(lanes) if (1..=crate::run::MOST_LANES as u32).contains(&lanes) => {}
            lanes => {
                let value = lanes.map_or(u64::MAX, u64::from);
                return Err(Error::Value { what: "the invocations of a workgroup", value, expected: "1 to 1024" });
            }
        }
        Ok(Shader { analysed: analyse(compile(module, entry, text)?) })
    }

    /// The name of the entry point.
    pub fn name(&self) -> &str {
        &self.analysed.program.name
    }

    /// The size of its workgroups.
    pub fn workgroup_size(&self) -> [u32; 3] {
        self.analysed.program.workgroup_size
    }

    /// The variables that resources are bound to.
    pub fn variables(&self) -> Vec<Variable> {
        let variables = self.analysed.program.variables.iter();
        variables
            .filter_map(|variable| {
                let kind = match variable.space {
                    Space::Uniform => Kind::Uniform,
                    Space::Storage { .. } => Kind::Storage,
                    Space::Texture { .. } => Kind::Texture,
                    Space::Workgroup => return None,
                };
                Some(Variable { name: variable.name.clone(), binding: variable.binding.unwrap_or_default(), kind })
            })
            .collect()
    }
}
