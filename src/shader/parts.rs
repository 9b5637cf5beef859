//! The files of `shaders/lib`. Each is a part that kernels share; the first of a folder is the default.

macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        const PARTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../shaders/lib/", $name, ".wgsl")))),*];
    };
}

parts![
    "activation/identity",
    "activation/gelu",
    "activation/leaky_relu",
    "activation/relu",
    "activation/sigmoid",
    "activation/silu",
    "activation/tanh",
    "activation_params",
    "bias/none",
    "bias/added",
    "columns",
    "columns_read",
    "contraction",
    "copied",
    "correlation",
    "exponential",
    "extension/zeros",
    "extension/circular",
    "extension/constant",
    "extension/reflect",
    "extension/replicate",
    "extension/symmetric",
    "finish/none",
    "finish/activated",
    "input",
    "input/plain",
    "input/activated",
    "narrow",
    "narrow/plain",
    "narrow/activated",
    "operands",
    "output",
    "output_tensor",
    "packed",
    "partials",
    "phases/one",
    "phases/table",
    "pre_activation/none",
    "pre_activation/stored",
    "residual/none",
    "residual/after",
    "residual/before",
    "residual_tensor",
    "sample",
    "saved",
    "scalar_terms",
    "split",
    "stored",
    "sum_lanes",
    "sum_terms",
    "texels/sampled",
    "texels/storage",
    "texture",
    "texture_written",
    "walk",
    "weight",
    "element",
    "workgroup",
];

/// The text of a part.
pub(super) fn text(name: &str) -> Option<&'static str> {
    PARTS.iter().find(|(known, _)| *known == name).map(|&(_, text)| text)
}

/// The first part of a folder, without the folder's name.
pub(super) fn first(folder: &str) -> Option<&'static str> {
    PARTS.iter().find_map(|(name, _)| name.strip_prefix(folder)?.strip_prefix('/'))
}

/// Parts and folders of parts that shaders outside this crate may use. The others rely on the variables and the parameters of the
/// kernels, and change with them.
const PUBLIC: [&str; 8] =
    ["activation", "element", "exponential", "scalar_terms", "stored", "sum_lanes", "sum_terms", "workgroup"];

/// Whether shaders outside this crate may use a part.
pub(super) fn is_public(name: &str) -> bool {
    PUBLIC.contains(&name.split_once('/').map_or(name, |(folder, _)| folder))
}

/// Names and texts of the parts that shaders outside this crate may use.
pub(crate) fn public() -> impl Iterator<Item = (&'static str, &'static str)> {
    PARTS.iter().copied().filter(|(name, _)| is_public(name))
}

/// Names and texts of all parts.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    PARTS.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_file_is_a_part() {
        let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/lib");
        for file in files(&lib) {
            let name = file.strip_prefix(&lib).unwrap().with_extension("");
            let name = name.to_str().unwrap().replace('\\', "/");
            assert!(text(&name).is_some(), "{name} is not in the list of src/shader/parts.rs");
        }
    }
}
