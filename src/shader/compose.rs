//! Composes a kernel's file and the parts of `shaders/lib` that it names into one WGSL text.
//!
//! A line `// use: extension/*, output, activation/relu` names parts. A name with a star is a choice: the variant names the part of
//! that folder ([`Shader::parts`]). Module scope in WGSL has no order, so composition is concatenation: the header, each part once,
//! the kernel. In lines `const NAME: u32 = VALUE;`, the value is replaced if the variant has one for that name.

use super::parts;
use crate::error::{Error, Result};
use crate::kernels::program::{LANES, Shader, TEXTURE_WIDTH};
use std::borrow::Cow;

/// The start of every composed shader: the type of stored elements, the type of sums, and the sizes that shaders and host
/// share.
fn header() -> String {
    format!(
        "alias Stored = f32;\nalias Sum = f32;\nconst LANES: u32 = {LANES}u;\nconst TEXTURE_WIDTH: u32 = {TEXTURE_WIDTH}u;\n"
    )
}

/// A shader's text, and the file of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composed {
    pub(crate) text: String,
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    /// Lines of the text before the first line of this file.
    lines_before: usize,
}

impl Composed {
    fn push(&mut self, path: &str, text: &str) {
        self.text += &format!("// ---- {path}\n");
        self.files.push(File { path: path.to_owned(), lines_before: self.text.lines().count() });
        self.text += text;
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The file of a line of the text, and the line in that file. Lines count from 1.
    pub(super) fn place(&self, line: usize) -> (&str, usize) {
        let file = self.files.iter().rev().find(|file| file.lines_before < line);
        file.map_or(("", line), |file| (&file.path, line - file.lines_before))
    }
}

/// Composes a shader.
pub(crate) fn compose(shader: &Shader) -> Result<Composed> {
    let mut names = Vec::new();
    collect(shader, &shader.source.wgsl, None, &mut names)?;
    if let Some((folder, part)) =
        shader.parts.iter().find(|(folder, part)| !names.contains(&format!("{folder}/{part}")))
    {
        return Err(failed(shader, format!("it does not use {folder}/{part}")));
    }
    if let Some((folder, part)) = shader
        .parts
        .iter()
        .find(|(folder, part)| shader.parts.iter().any(|(other, chosen)| other == folder && chosen != part))
    {
        return Err(failed(shader, format!("{folder} has two chosen parts, one of them {part}")));
    }
    let mut composed = Composed { text: String::new(), files: Vec::new() };
    // A caller's text that uses no part is complete and gets no header: all names are its own.
    let mut own_text = Cow::Borrowed(&*shader.source.wgsl);
    if !(shader.source.callers && names.is_empty()) {
        let (directives, rest) = without_directives(&own_text);
        if !directives.is_empty() {
            composed.push(&format!("directives of {}", shader.source.file), &directives);
            own_text = Cow::Owned(rest);
        }
        composed.push("header", &header());
    }
    let header_end = composed.text.len();
    for name in &names {
        if let Some(part) = find(shader, name) {
            composed.push(&part.file, part.text);
        }
    }
    composed.push(&shader.source.file, &own_text);
    for (index, (name, value)) in shader.constants.iter().enumerate() {
        if shader.constants[..index].iter().any(|(known, other)| known == name && other != value) {
            return Err(failed(shader, format!("{name} has two values, one of them {value}")));
        }
        let missing = || failed(shader, format!("it has no line 'const {name}: u32 = ...;'"));
        let start = constant(&composed.text, header_end, name).ok_or_else(missing)?;
        let length = composed.text[start..].find(';').ok_or_else(missing)?;
        composed.text.replace_range(start..start + length, &format!("{value}u"));
    }
    if shader.writable {
        composed.text = match shader.source.callers {
            true => all_writable(composed.text),
            // Tables stay `read`: no tensor lies in their buffers, and control flow that depends on a writable variable is not
            // uniform, so that browsers would refuse barriers in it.
            false => {
                let writable = |line: &str| match line.contains("<Stored>") {
                    true => line.replace("var<storage, read>", "var<storage, read_write>") + "\n",
                    false => format!("{line}\n"),
                };
                composed.text.lines().map(writable).collect()
            }
        };
    }
    Ok(composed)
}

/// The directives of a text, which must come before everything else, and the text with empty lines in their places.
fn without_directives(text: &str) -> (String, String) {
    let (mut directives, mut rest) = (String::new(), String::new());
    for line in text.lines() {
        let is_directive = ["enable ", "requires ", "diagnostic("].iter().any(|d| line.trim_start().starts_with(d));
        if is_directive {
            directives += line;
            directives.push('\n');
        } else {
            rest += line;
        }
        rest.push('\n');
    }
    (directives, rest)
}

/// Where the value of a constant starts: of the first line `const NAME: u32 = VALUE;` from a place on.
fn constant(text: &str, from: usize, name: &str) -> Option<usize> {
    let head = format!("const {name}: u32 = ");
    let mut lines = text[from..].match_indices(&head).map(|(index, _)| from + index);
    lines
        .find(|&index| text[..index].rsplit('\n').next().is_some_and(|before| before.trim().is_empty()))
        .map(|i| i + head.len())
}

/// The text with every storage variable `read_write`, wherever naga finds its declaration.
fn all_writable(mut text: String) -> String {
    // Errors are told by the parsing that follows.
    let Ok(module) = naga::front::wgsl::parse_str(&text) else { return text };
    let mut templates: Vec<std::ops::Range<usize>> = Vec::new();
    for (handle, variable) in module.global_variables.iter() {
        let read = matches!(variable.space, naga::AddressSpace::Storage { access } if !access.contains(naga::StorageAccess::STORE));
        let Some(declaration) = module.global_variables.get_span(handle).to_range().filter(|_| read) else { continue };
        let inside = &text[declaration.clone()];
        if let (Some(start), Some(end)) = (inside.find('<'), inside.find('>')) {
            templates.push(declaration.start + start..declaration.start + end + 1);
        }
    }
    templates.sort_unstable_by_key(|template| std::cmp::Reverse(template.start));
    for template in templates {
        text.replace_range(template, "<storage, read_write>");
    }
    text
}

/// A part of the library or of the caller.
#[derive(Debug, Clone)]
struct Part<'s> {
    file: String,
    text: &'s str,
    callers: bool,
}

/// The part of a name. The caller's parts take precedence.
fn find<'s>(shader: &'s Shader, name: &str) -> Option<Part<'s>> {
    let own = shader.source.library.iter().find(|(known, _)| *known == name);
    let own = own.map(|&(name, text)| Part { file: format!("lib/{name}.wgsl"), text, callers: true });
    let part = |text| Part { file: format!("shaders/lib/{name}.wgsl"), text, callers: false };
    own.or_else(|| parts::text(name).map(part))
}

/// Adds the names of the parts that a text uses, and of the parts that these use, each once. `of` is the part with that text.
fn collect(shader: &Shader, text: &str, of: Option<&Part<'_>>, names: &mut Vec<String>) -> Result<()> {
    // Parts of the library may use all parts of the library.
    let public_only = shader.source.callers && of.is_none_or(|part| part.callers);
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("// use: "));
    for name in lines.flat_map(|line| line.split(',')).map(str::trim) {
        let name = match name.strip_suffix("/*") {
            None => name.to_owned(),
            Some(folder) => {
                let chosen = shader.parts.iter().find(|(of, _)| *of == folder).map(|&(_, part)| part);
                let part = chosen.or_else(|| first(shader, folder));
                let part = part.ok_or_else(|| failed(shader, format!("there is no folder of parts {folder}")))?;
                format!("{folder}/{part}")
            }
        };
        if names.contains(&name) {
            continue;
        }
        let known = find(shader, &name).filter(|part| part.callers || !public_only || parts::is_public(&name));
        let part = known.ok_or_else(|| {
            let public: Vec<&str> = parts::public().map(|(name, _)| name).collect();
            failed(shader, format!("there is no part {name}; the library has {}", public.join(", ")))
        })?;
        names.push(name);
        collect(shader, part.text, Some(&part), names)?;
    }
    Ok(())
}

/// The first part of a folder, without the folder's name.
fn first<'s>(shader: &'s Shader, folder: &str) -> Option<&'s str> {
    let inside = |name: &'s str| name.strip_prefix(folder)?.strip_prefix('/');
    let own = shader.source.library.iter().find_map(|&(name, _)| inside(name));
    own.or_else(|| parts::first(folder))
}

pub(super) fn failed(shader: &Shader, message: String) -> Error {
    Error::Shader { shader: shader.name().to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::kernels::program::Source;

    fn shader(wgsl: &'static str) -> Shader {
        let source = Source {
            name: "test".into(),
            file: "shaders/test.wgsl".into(),
            wgsl: wgsl.into(),
            params: None,
            library: &[],
            callers: false,
        };
        Shader::of(Box::leak(Box::new(source)))
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let wrong =
            shader("// use: sum_lanes\n\n@compute @workgroup_size(1)\nfn test() {\n    let x = no_such_name;\n}\n");
        let error = parse(&wrong, &compose(&wrong).unwrap()).unwrap_err().to_string();
        assert!(error.contains("shaders/test.wgsl:5:13") && error.contains("no_such_name"), "{error}");
    }

    /// Errors of naga's validation are located, as those of its parser are.
    #[test]
    fn validation_names_the_file_and_the_line() {
        let validated = |shader: &Shader| {
            let composed = compose(shader).unwrap();
            super::super::validate(shader, &composed, &parse(shader, &composed).unwrap())
        };
        let text = |body: &str| format!("// use: stored\n\n@compute @workgroup_size(1)\nfn test() {{\n{body}}}\n");
        let wrong = text("    var x: array<u32, 2>;\n    x[3] = 1u;\n");
        let error = validated(&shader(Box::leak(wrong.into_boxed_str()))).unwrap_err().to_string();
        assert!(error.contains("shaders/test.wgsl:6:"), "{error}");
        assert_eq!(validated(&shader(Box::leak(text("").into_boxed_str()))), Ok(()));
    }

    /// A constant, a part or a choice that a shader does not have is an error and is not ignored.
    #[test]
    fn what_a_shader_does_not_have_is_refused() {
        let text = "// use: activation/*\nconst A: u32 = 1u;\n";
        let with = |change: fn(&mut Shader)| {
            let mut shader = shader(text);
            change(&mut shader);
            compose(&shader)
        };
        assert!(with(|s| s.constants.push(("A", 2))).unwrap().text.contains("const A: u32 = 2u;"));
        assert!(with(|s| s.parts.push(("activation", "gelu"))).unwrap().text.contains("lib/activation/gelu.wgsl"));
        assert!(with(|s| s.constants.push(("NO_SUCH_CONSTANT", 1))).is_err());
        assert!(with(|s| s.parts.push(("activation", "no_such_part"))).is_err());
        assert!(with(|s| s.parts.push(("no_such_folder", "gelu"))).is_err());
        assert!(compose(&shader("// use: no_such_part\n")).is_err());
        assert!(compose(&shader("// use: no_such_folder/*\n")).is_err());
    }
}
