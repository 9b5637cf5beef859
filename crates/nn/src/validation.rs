//! Every specialisation of the shaders is valid WebGPU, and naga translates it for Metal and DirectX 12.

use crate::graph::{Graph, Mode, Module};
use crate::launch::Step;
use crate::optimizer::update_shader;
use crate::schedule::{Request, Schedule, WantedGradients};
use crate::shaders::{ADD, CLIP, SOURCES, SUM_SQUARES, shader};
use crate::{
    Adam, AdamW, BatchNorm1d, Convolution, Dropout, LastStep, Linear, Loss, Parallel, Sequential, Sgd, Skip, UpdateRule,
};
use conv1d::{Activation, Caps, Conv1d, Plan, PlanOptions, Shader};
use naga::back::{hlsl, msl};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Schedules that together use every shader of a pass: all activations, with and without dropout, sums, gradients,
/// losses.
fn schedules() -> Vec<Schedule> {
    let row = Activation::ALL.into_iter().fold(Sequential::new().then(Conv1d::new(4, 4, 1)), |row, activation| {
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
    let losses = [None, Some(Loss::MeanSquaredError), Some(Loss::CrossEntropy)];
    let mut schedules = Vec::new();
    for (mode, loss) in [Mode::Evaluation, Mode::Training].into_iter().flat_map(|m| losses.map(|l| (m, l))) {
        for parameters in [true, loss.is_some()] {
            let graph = Graph::of(&network as &dyn Module).fused(mode, parameters);
            let wanted = WantedGradients { parameters, input: parameters };
            let batch_statistics = mode == Mode::Training;
            let request = Request { graph: &graph, input: [3, 4, 9], batch_statistics, wanted, loss, seed: 1 };
            let planner = |fused, operation, input: &[usize]| {
                Ok(Plan::new(fused, operation, input, &Caps::WEBGPU, &PlanOptions::default())?)
            };
            schedules.push(Schedule::new(&request, &Caps::WEBGPU, &planner).unwrap());
        }
    }
    schedules
}

/// Every specialisation of a shader that a pass or an optimiser launches, with the names that its launch binds, if
/// known.
fn specialisations() -> Vec<(Shader, Option<Vec<&'static str>>)> {
    let mut all: Vec<(Shader, Option<Vec<&'static str>>)> = Vec::new();
    for schedule in schedules() {
        for step in schedule.forward.into_iter().chain(schedule.backward) {
            let Step::Shader(launch) = step else { continue };
            let mut names: Vec<&str> = launch.tensors.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            match all.iter().find(|(known, _)| *known == launch.shader) {
                Some((_, known)) => assert_eq!(*known, Some(names), "{}", launch.shader.name()),
                None => all.push((launch.shader, Some(names))),
            }
        }
    }
    let rules: [UpdateRule; 5] = [
        Sgd::new(0.1).into(),
        Sgd::new(0.1).momentum(0.9).into(),
        Sgd::new(0.1).momentum(0.9).nesterov(true).into(),
        Adam::new(0.1).into(),
        AdamW::new(0.1).into(),
    ];
    let updates = rules.iter().flat_map(|rule| [false, true].map(|clipped| update_shader(rule, clipped)));
    all.extend(updates.chain([&ADD, &CLIP, &SUM_SQUARES].map(shader)).map(|shader| (shader, None)));
    all
}

#[test]
fn every_specialisation_is_valid_webgpu() {
    let all = specialisations();
    for (shader, bound) in &all {
        let (name, text) = (shader.name(), shader.wgsl().unwrap());
        let module =
            naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&text)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        let info = info.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(module.entry_points.len(), 1, "{name}");
        assert_eq!((&*module.entry_points[0].name, module.entry_points[0].workgroup_size), (name, [64, 1, 1]));
        let storage = module.global_variables.iter().map(|(_, variable)| variable);
        let storage = storage.filter(|variable| matches!(variable.space, naga::AddressSpace::Storage { .. }));
        let mut names: Vec<&str> = storage.filter_map(|variable| variable.name.as_deref()).collect();
        names.sort_unstable();
        assert!(names.len() <= Caps::WEBGPU.max_storage_buffers as usize, "{name}");
        if let Some(bound) = bound {
            assert_eq!(names, *bound, "{name}");
        }
        assert_translates(name, &module, &info);
    }
    for source in SOURCES {
        assert!(all.iter().any(|(shader, _)| shader.name() == source.0), "{} is not reached", source.0);
    }
}

/// Asserts that naga translates a shader to Metal's language and to HLSL.
fn assert_translates(name: &str, module: &naga::Module, info: &naga::valid::ModuleInfo) {
    let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
    let metal = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
    let (metal, _) = metal.unwrap_or_else(|e| panic!("{name} in Metal: {e}"));
    assert!(metal.contains("kernel void "), "{name}");
    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let (mut text, pipeline) = (String::new(), hlsl::PipelineOptions::default());
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    written.unwrap_or_else(|e| panic!("{name} in HLSL: {e}"));
    assert!(text.contains("[numthreads(64, 1, 1)]"), "{name}");
}

/// `shader_files` returns every shader, composed to WGSL that parses.
#[test]
fn every_file_is_composed() {
    let files = crate::shader_files().unwrap();
    assert_eq!(files.len(), SOURCES.len());
    for (file, text) in files {
        assert!(naga::front::wgsl::parse_str(&text).is_ok(), "{file}");
    }
}

/// No six consecutive lines occur in two files, and no function is a copy of one in `conv1d`.
#[test]
fn nothing_is_declared_twice() {
    let mut places: std::collections::HashMap<Vec<&str>, String> = std::collections::HashMap::new();
    let files = crate::shaders::files();
    for (file, text) in &files {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "}").collect();
        for run in lines.windows(6) {
            if let Some(other) = places.insert(run.to_vec(), file.clone()) {
                panic!("{other} and {file}:\n{}", run.join("\n"));
            }
        }
    }
    let library: Vec<&str> = conv1d::shader_parts().map(|(_, text)| text).collect();
    for (file, text) in &files {
        for function in text.split("\nfn ").skip(1).map(|rest| rest.split_inclusive('}').next().unwrap_or(rest)) {
            assert!(!library.iter().any(|part| part.contains(function)), "{file} has a copy of a part: {function}");
        }
    }
}
