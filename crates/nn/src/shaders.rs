//! The shaders of the operations between convolutions, and their launches: one invocation per element, or one workgroup
//! per split of a sum.

use crate::error::{Error, Result};
use crate::launch::{Launch, TensorId, Values};
use conv1d::{Bindings, Bound, Caps, Gpu, Shader, Workgroups, wgpu};

/// Workgroup size of all shaders: `LANES` in their header.
const LANES: u64 = 64;
/// Minimum number of iterations of a workgroup in a sum: 64 per lane, so that the sum over the lanes costs little in
/// comparison.
const SPLIT: u64 = 64 * LANES;
/// Maximum number of splits of a sum. One workgroup or one invocation adds up their partial sums.
const MOST_SPLITS: u64 = 1024;

macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        /// The files of `shaders/lib`, in addition to the parts of `conv1d`. The first part of a folder is its default.
        static PARTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../shaders/lib/", $name, ".wgsl")))),*];
    };
}

parts![
    "batch_norm/deviations",
    "batch_norm/gamma",
    "batch_norm/input",
    "batch_norm/normalised",
    "batch_norm/params",
    "batch_norm/partials",
    "batch_norm/scaled",
    "batch_norm/split",
    "batch_norm/statistics",
    "batch_norm/activation_gradient/none",
    "batch_norm/activation_gradient/input",
    "batch_norm/correction/none",
    "batch_norm/correction/batch",
    "batch_norm/moments/batch",
    "batch_norm/moments/running",
    "batch_norm/parameter_gradients/unwanted",
    "batch_norm/parameter_gradients/wanted",
    "element_range",
    "fold_batch_norm/shifted",
    "fold_batch_norm/folded/bias",
    "fold_batch_norm/folded/no_bias",
    "fold_batch_norm/folded/weight",
    "optimizer/clipping/none",
    "optimizer/clipping/scaled",
    "optimizer/settings",
    "optimizer/momentum/none",
    "optimizer/momentum/velocity",
    "pointwise/params",
    "pointwise/pre_activation",
    "pointwise/a_gradient/unwanted",
    "pointwise/a_gradient/wanted",
    "pointwise/activation_gradient/none",
    "pointwise/activation_gradient/input",
    "pointwise/activation_gradient/output",
    "pointwise/addend/none",
    "pointwise/addend/b",
    "pointwise/b_gradient/unwanted",
    "pointwise/b_gradient/wanted",
    "pointwise/dropout/none",
    "pointwise/dropout/masked",
    "random",
    "step",
    "sum_split",
    "sum_splits",
    "weight_norm/row",
];

/// Name and text of a file of `shaders`.
type Source = (&'static str, &'static str);

macro_rules! sources {
    ($($source:ident $name:literal),* $(,)?) => {
        $(pub(crate) static $source: Source = ($name, include_str!(concat!("../shaders/", $name, ".wgsl")));)*
        /// All of these files.
        pub(crate) static SOURCES: &[&Source] = &[$(&$source),*];
    };
}

sources! {
    ADAM "adam",
    ADD "add",
    BATCH_BACK "batch_back",
    BATCH_FINISH "batch_finish",
    BATCH_GRADIENTS "batch_gradients",
    BATCH_NORM "batch_norm",
    BATCH_STATS "batch_stats",
    BATCH_SUMS "batch_sums",
    CLIP "clip",
    CROSS_ENTROPY "cross_entropy",
    FOLD_BATCH_NORM "fold_batch_norm",
    LOSS "loss",
    MEAN_SQUARED_ERROR "mean_squared_error",
    PLACE "place",
    POINTWISE "pointwise",
    POINTWISE_BACK "pointwise_back",
    SGD "sgd",
    SUM_SQUARES "sum_squares",
    WEIGHT_NORM "weight_norm",
    WEIGHT_NORM_BACK "weight_norm_back",
}

/// A shader of a file of `shaders`.
pub(crate) fn shader(&(name, text): &Source) -> Shader {
    let shader = Shader::new(name, text).library(PARTS);
    // SAFETY: The texts are files of this crate, and their constants have the values 0 or 1.
    // - Every loop counts up to a bound that its body does not change, by steps of at least 1.
    // - Indices into workgroup memory are those of `sum_lanes`, a part of `conv1d`.
    // - Invocations past `count`, `splits` or `rows` return. Other indices into storage follow from the sizes in
    //   `Params`, which the schedule takes from the shapes of the tensors that it binds. The host and the shader compare
    //   target classes with the number of classes. The tests run every shader with the checks on and off, with equal
    //   results.
    // - Workgroup memory is written by `sum_lanes` before it is read.
    unsafe { shader.trusted() }
}

/// File name and text of every shader, composed with the default part of each folder: for editors and other tools.
pub fn shader_files() -> Result<Vec<(String, String)>> {
    let file = |source: &&Source| Ok((format!("shaders/nn/{}.wgsl", source.0), shader(source).wgsl()?));
    SOURCES.iter().map(file).collect()
}

/// Name and text of every file of `shaders`.
#[cfg(test)]
pub(crate) fn files() -> Vec<(String, &'static str)> {
    let parts = PARTS.iter().map(|(name, text)| (format!("lib/{name}"), *text));
    parts.chain(SOURCES.iter().map(|source| (source.0.to_owned(), source.1))).collect()
}

/// A launch with one invocation per element.
pub(crate) fn each(shader: Shader, values: Values, elements: u64, tensors: &[(&'static str, TensorId)]) -> Launch {
    workgroups(shader, values, elements.div_ceil(LANES), tensors)
}

/// A launch with the given number of workgroups.
pub(crate) fn workgroups(
    shader: Shader,
    values: Values,
    workgroups: u64,
    tensors: &[(&'static str, TensorId)],
) -> Launch {
    Launch { shader, values, workgroups, tensors: tensors.to_vec() }
}

impl Launch {
    /// Binds the launch to the memory of its tensors.
    pub(crate) fn bind<'b>(
        &self,
        gpu: &Gpu,
        slice: impl Fn(TensorId) -> Result<wgpu::BufferSlice<'b>>,
    ) -> Result<Bound> {
        let mut bindings = Bindings::new().values(self.values.iter().copied());
        for &(variable, tensor) in &self.tensors {
            bindings = bindings.with(variable, slice(tensor)?);
        }
        Ok(gpu.prepare_shader(&self.shader)?.bind(&bindings, Workgroups::Count(self.workgroups))?)
    }
}

/// How a sum is split: each workgroup adds up one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Splits {
    /// Number of splits.
    pub(crate) count: u64,
    /// Elements of each split but the last.
    pub(crate) split: u64,
}

impl Splits {
    /// Splits a sum of `elements` terms, each of which costs a lane `iterations` iterations.
    pub(crate) fn of(elements: u64, iterations: u64, caps: &Caps) -> Result<Splits> {
        let least = (SPLIT / iterations.max(1)).next_multiple_of(LANES).max(LANES);
        let split = elements.div_ceil(MOST_SPLITS).max(least);
        let most = split.min(elements).div_ceil(LANES);
        check_iterations("iterations of a sum", most.saturating_mul(iterations), caps)?;
        Ok(Splits { count: elements.div_ceil(split), split })
    }

    /// `Params` of a shader that adds up `elements` terms. Only `cross_entropy` uses the classes and the length of a
    /// row.
    pub(crate) fn values(self, elements: u64, [classes, length]: [u32; 2]) -> Values {
        vec![
            ("splits", (self.count as u32).into()),
            ("count", (elements as u32).into()),
            ("split", (self.split as u32).into()),
            ("classes", classes.into()),
            ("length", length.into()),
        ]
    }
}

/// Checks the iterations of a workgroup that passes over a row in `loops` loops.
pub(crate) fn check_row(elements: u64, loops: u64, caps: &Caps) -> Result<()> {
    check_iterations("iterations of a row", elements.div_ceil(LANES).saturating_mul(loops), caps)
}

/// Drivers limit the iterations of an invocation, see [`Caps::max_iterations`]. `sum_terms`, a part of `conv1d`, takes two more for
/// every 128.
fn check_iterations(what: &'static str, iterations: u64, caps: &Caps) -> Result<()> {
    let value = iterations.saturating_add(iterations / 64);
    let limit = caps.max_iterations.into();
    if value > limit { Err(Error::too_large(what, value, limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conv1d::DeviceClass;
    use conv1d::reference::longest_chain;

    /// The chain of `terms` terms that an invocation adds with `sum_terms`.
    fn in_blocks(terms: u64) -> u64 {
        let blocks = terms.div_ceil(128);
        terms.min(128) + blocks.min(128) + blocks.div_ceil(128)
    }

    /// Losses, norms of gradients and batch statistics, summed by lanes, by a tree of lanes, and again for the splits.
    #[test]
    fn chains_are_as_short_as_promised() {
        let caps = Caps::of(DeviceClass::Discrete);
        for elements in (0..32).flat_map(|power| [1_u64 << power, (1 << power) + 77]).chain([u32::MAX.into()]) {
            let Splits { count, split } = Splits::of(elements, 1, &caps).unwrap();
            let first = in_blocks(split.min(elements).div_ceil(LANES)) + 6;
            let by_a_workgroup = count.div_ceil(LANES) + 6;
            let by_an_invocation = in_blocks(count);
            let chain = first + by_a_workgroup.max(by_an_invocation);
            assert!(chain.min(elements) <= longest_chain(elements), "{elements}: {chain}");
        }
    }
}
