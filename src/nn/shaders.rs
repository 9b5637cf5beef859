//! The shaders of what stands between convolutions, and how they are started: element by element, and sums of splits.

use super::schedule::{Launch, TensorId};
use crate::caps::Caps;
use crate::error::{Error, Result};
use crate::kernels::params::flat;
use crate::kernels::program::{self, Shader, Source, source};

/// Invocations of a workgroup of all of them.
const LANES: u64 = program::LANES as u64;
/// Iterations that a workgroup does at least: 64 of each lane, so that the sum of its lanes is little beside them.
const SPLIT: u64 = 64 * LANES;
/// The most splits of a sum: one workgroup, or one invocation, then adds up what they give.
const MOST_SPLITS: u64 = 1024;

macro_rules! sources {
    ($(
        $params:ident { $($field:ident: $type:ty),* $(,)? } for $($source:ident $name:literal),+;
    )*) => {
        $(
            flat! {
                #[doc = concat!("`Params` of", $(" `", $name, ".wgsl`"),+, ".")]
                $params { $($field: $type),* }
            }
            $(
                pub(super) static $source: Source = source!("nn/", $name, $params);
            )+
        )*
        /// All of them.
        pub(crate) static SOURCES: &[&Source] = &[$($(&$source),+),*];
    };
}

sources! {
    PointwiseParams {
        count: u32, slope: f32, dropped: u32, scale: f32, key_low: u32, key_high: u32,
    } for POINTWISE "pointwise", POINTWISE_BACK "pointwise_back";
    PlaceParams {
        count: u32, channels: u32, length: u32, out_channels: u32, out_length: u32, out_channel: u32,
        out_position: u32, in_channels: u32, in_length: u32, in_channel: i32, in_position: i32, accumulate: u32,
    } for PLACE "place";
    WeightNormParams { rows: u32, length: u32 } for WEIGHT_NORM "weight_norm", WEIGHT_NORM_BACK "weight_norm_back";
    BatchNormParams {
        count: u32, channels: u32, length: u32, positions: u32, splits: u32, split: u32, slope: f32, epsilon: f32,
        momentum: f32,
    } for BATCH_STATS "batch_stats", BATCH_FINISH "batch_finish", BATCH_NORM "batch_norm", BATCH_SUMS "batch_sums",
        BATCH_GRADIENTS "batch_gradients", BATCH_BACK "batch_back";
    FoldBatchNormParams {
        count: u32, row: u32, rows_per_group: u32, kernel: u32, channels_per_group: u32, epsilon: f32,
    } for FOLD_BATCH_NORM "fold_batch_norm";
    SplitsParams {
        splits: u32, count: u32, split: u32, classes: u32, length: u32,
    } for MEAN_SQUARED_ERROR "mean_squared_error", CROSS_ENTROPY "cross_entropy", SUM_SQUARES "sum_squares";
    LossParams { splits: u32, kept: u32 } for LOSS "loss";
    ClipParams { splits: u32, limit: f32 } for CLIP "clip";
    SgdParams { count: u32, momentum: f32, weight_decay: f32 } for SGD "sgd";
    AdamParams {
        count: u32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, epsilon: f32, weight_decay: f32,
    } for ADAM "adam";
}

/// A shader over so many elements, one of each invocation.
pub(super) fn each<P: bytemuck::Pod>(shader: Shader, params: P, elements: u64, tensors: &[TensorId]) -> Launch {
    workgroups(shader, params, elements.div_ceil(LANES), tensors)
}

/// A shader of so many workgroups, and what its bindings from 1 on are bound to, in ascending order of their numbers.
pub(super) fn workgroups<P: bytemuck::Pod>(shader: Shader, params: P, workgroups: u64, tensors: &[TensorId]) -> Launch {
    Launch { shader, params: bytemuck::bytes_of(&params).to_vec(), workgroups, tensors: tensors.to_vec() }
}

/// How a sum is split: a workgroup computes each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Splits {
    /// Number of splits.
    pub(super) count: u64,
    /// Elements of each, but for the last.
    pub(super) split: u64,
}

impl Splits {
    /// Of so many elements, each of which takes a lane so many iterations.
    pub(super) fn of(elements: u64, iterations: u64, caps: &Caps) -> Result<Splits> {
        let least = (SPLIT / iterations.max(1)).next_multiple_of(LANES).max(LANES);
        let split = elements.div_ceil(MOST_SPLITS).max(least);
        let most = split.min(elements).div_ceil(LANES);
        check_iterations("iterations of a sum", most.saturating_mul(iterations), caps)?;
        Ok(Splits { count: elements.div_ceil(split), split })
    }

    /// Parameters of a shader that sums so many elements.
    pub(super) fn params(self, elements: u64) -> SplitsParams {
        SplitsParams {
            splits: self.count as u32,
            count: elements as u32,
            split: self.split as u32,
            ..Default::default()
        }
    }
}

/// Elements of a row that a workgroup does in so many loops.
pub(super) fn check_row(elements: u64, loops: u64, caps: &Caps) -> Result<()> {
    check_iterations("iterations of a row", elements.div_ceil(LANES).saturating_mul(loops), caps)
}

/// Drivers grant an invocation so many iterations and no more, see [`Caps::max_iterations`].
fn check_iterations(what: &'static str, value: u64, caps: &Caps) -> Result<()> {
    let limit = caps.max_iterations.into();
    if value > limit { Err(Error::TooLarge { what, value, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Graph;
    use super::super::schedule::{Request, Schedule, Step, Training, WantedGradients};
    use super::super::{
        Adam, AdamW, BatchNorm1d, Convolution, Dropout, LastStep, Linear, Loss, Mode, Module, Optimizer, Parallel,
        Sequential, Sgd, Skip,
    };
    use super::*;
    use crate::geometry::Activation;
    use crate::{Conv1d, Plan, PlanOptions, shader};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    /// Programs that between them reach every shader: all activations, with and without dropout, sums, gradients, training.
    fn schedules() -> Vec<Schedule> {
        let activations = [
            Activation::Relu,
            Activation::LeakyRelu(0.1),
            Activation::Silu,
            Activation::Gelu,
            Activation::Tanh,
            Activation::Sigmoid,
        ];
        let row = activations.into_iter().fold(Sequential::new().then(Conv1d::new(4, 4, 1)), |row, activation| {
            row.then(activation)
                .then(BatchNorm1d::new(4))
                .then(activation)
                .then(Dropout(0.1))
                .then(activation)
                .then(Skip(Dropout(0.2)))
                .then(activation)
                .then(Skip(activation))
                .then(Convolution::new(Conv1d::new(4, 4, 1)).weight_norm(true))
                .then(BatchNorm1d::new(4))
        });
        let both = Parallel::new().with("a", row).with("b", Convolution::new(Conv1d::new(4, 4, 1)).bias(false));
        let network = Sequential::new().then(both).then(BatchNorm1d::new(8)).then(LastStep).then(Linear::new(8, 2));
        let train = |loss, optimizer: Optimizer, clip| Some(Training { loss, optimizer, clip });
        let trainings = [
            None,
            train(Loss::MeanSquaredError, Sgd::new(0.1).into(), None),
            train(Loss::CrossEntropy, Sgd::new(0.1).momentum(0.9).nesterov(true).into(), Some(1.0)),
            train(Loss::CrossEntropy, Adam::new(0.1).into(), Some(1.0)),
            train(Loss::CrossEntropy, AdamW::new(0.1).into(), None),
        ];
        let mut schedules = Vec::new();
        for (mode, training) in [Mode::Evaluation, Mode::Training].into_iter().flat_map(|m| trainings.map(|t| (m, t))) {
            for parameters in [true, training.is_some()] {
                let graph = Graph::of(&network as &dyn Module).fused(mode, parameters);
                let wanted = WantedGradients { parameters, input: parameters };
                let batch_statistics = mode == Mode::Training;
                let request = Request { graph: &graph, input: [3, 4, 9], batch_statistics, wanted, training, seed: 1 };
                let planner = |fused, operation, input: &[usize]| {
                    Plan::new(fused, operation, input, &Caps::WEBGPU, &PlanOptions::default())
                };
                schedules.push(Schedule::new(&request, &Caps::WEBGPU, &planner).unwrap());
            }
        }
        schedules
    }

    /// Every specialisation is valid, and binds what its step brings.
    #[test]
    fn every_specialisation_is_valid_webgpu() {
        let mut seen = Vec::new();
        for step in schedules().iter().flat_map(|schedule| schedule.forward.iter().chain(&schedule.backward)) {
            let Step::Shader(launch) = step else { continue };
            if seen.contains(&launch.shader) {
                continue;
            }
            let name = launch.shader.source.name;
            let module = shader::parse(&launch.shader, &shader::compose(&launch.shader).unwrap()).unwrap();
            let interface = shader::interface(&launch.shader, &module).unwrap();
            assert_eq!(interface.bindings.len(), launch.tensors.len() + 1, "{name}");
            let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
            let info = info.unwrap_or_else(|e| panic!("{name}: {e:?}"));
            shader::translation::assert_translates(&launch.shader, &module, &info);
            seen.push(launch.shader.clone());
        }
        for source in SOURCES {
            assert!(seen.iter().any(|shader| shader.source == *source), "{} is not reached", source.name);
        }
    }

    /// A dispatch never has a tensor both as something that it reads and as something that it writes, nor twice as the latter.
    #[test]
    fn no_step_writes_what_it_has_bound_twice() {
        for schedule in schedules() {
            for step in schedule.forward.iter().chain(&schedule.backward) {
                let Step::Shader(launch) = step else { continue };
                let module = shader::parse(&launch.shader, &shader::compose(&launch.shader).unwrap()).unwrap();
                let variables = shader::interface(&launch.shader, &module).unwrap().bindings;
                for (i, (tensor, variable)) in launch.tensors.iter().zip(&variables[1..]).enumerate() {
                    let others = launch.tensors.iter().enumerate().filter(|(j, other)| *j != i && *other == tensor);
                    let written = variable.kind == shader::BindingKind::ReadWrite;
                    assert!(!written || others.count() == 0, "{}: {:?}", launch.shader.source.name, launch.tensors);
                }
            }
        }
    }

    /// Naga accepts all of them with nothing but what a browser has, and their parameters are the host's.
    #[test]
    fn shaders_are_valid_webgpu() {
        for source in SOURCES {
            let shader = Shader::new(source);
            let module = shader::parse(&shader, &shader::compose(&shader).unwrap()).unwrap();
            let interface = shader::interface(&shader, &module).unwrap();
            assert_eq!(interface.entry_point, source.name);
            assert_eq!(u64::from(interface.workgroup_size[0]), LANES);
            assert!(interface.bindings.len() <= 1 + Caps::WEBGPU.max_storage_buffers as usize, "{}", source.name);
            let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
            assert!(info.is_ok(), "{}: {:?}", source.name, info.err());
        }
    }
}
