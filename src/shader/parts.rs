//! The files of `shaders/lib`, each a part that kernels share. The first of a folder stands where nothing else is chosen.

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
    "bias/none",
    "bias/added",
    "columns",
    "columns_read",
    "contraction",
    "copied",
    "correlation",
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
    "logistic",
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
    "split",
    "stored",
    "sum_lanes",
    "texels/sampled",
    "texels/storage",
    "texture",
    "texture_written",
    "walk",
    "weight",
    "batch_norm/activation_gradient/none",
    "batch_norm/activation_gradient/input",
    "batch_norm/correction/none",
    "batch_norm/correction/batch",
    "batch_norm/gamma",
    "batch_norm/input",
    "batch_norm/moments/batch",
    "batch_norm/moments/running",
    "batch_norm/normalised",
    "batch_norm/parameter_gradients/wanted",
    "batch_norm/parameter_gradients/unwanted",
    "batch_norm/params",
    "batch_norm/partials",
    "batch_norm/scaled",
    "batch_norm/split",
    "batch_norm/statistics",
    "control",
    "element",
    "element_range",
    "fold_batch_norm/folded/weight",
    "fold_batch_norm/folded/bias",
    "fold_batch_norm/folded/no_bias",
    "fold_batch_norm/shifted",
    "optimizer/clipping/none",
    "optimizer/clipping/scaled",
    "optimizer/momentum/none",
    "optimizer/momentum/velocity",
    "pointwise/a_gradient/wanted",
    "pointwise/a_gradient/unwanted",
    "pointwise/activation_gradient/none",
    "pointwise/activation_gradient/output",
    "pointwise/activation_gradient/input",
    "pointwise/addend/none",
    "pointwise/addend/b",
    "pointwise/b_gradient/wanted",
    "pointwise/b_gradient/unwanted",
    "pointwise/dropout/none",
    "pointwise/dropout/masked",
    "pointwise/params",
    "pointwise/pre_activation",
    "random",
    "sum_split",
    "sum_splits",
    "weight_norm/row",
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
