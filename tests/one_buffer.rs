//! All tensors of an operation in one buffer, as adjacent ranges that are not aligned.

use crate::harness::{Case, Data, gpu, one_of_each_kernel, run};
use conv1d::{
    Activation, Buffers, Conv1d, ConvTranspose1d, Error, Gpu, Operation, Padding, PaddingMode, Plan, PlanOptions,
    Residual, Role,
};
use std::ops::Range;

/// Lays out the tensors of a plan in one buffer, an element apart. Returns the contents of the buffer and the bytes of each tensor.
fn layout(plan: &Plan, data: &Data) -> (Vec<f32>, Vec<(Role, Range<u64>)>) {
    let mut contents = vec![f32::NAN; 3];
    let mut tensors = Vec::new();
    let outputs = std::iter::once(plan.output()).chain(plan.optional_output());
    let written = |role: &Role| vec![f32::NAN; role.shape(plan.shapes()).iter().product()];
    let all: Vec<(Role, Vec<f32>)> = outputs
        .map(|role| (role, written(&role)))
        .chain(plan.inputs().into_iter().map(|role| (role, data.of(role).to_vec())))
        .collect();
    for (role, values) in all {
        let start = contents.len() as u64 * 4;
        contents.extend(&values);
        tensors.push((role, start..contents.len() as u64 * 4));
        contents.push(f32::NAN);
    }
    (contents, tensors)
}

/// Runs a plan on one buffer and returns its output.
fn run_in_one(gpu: &Gpu, plan: &Plan, data: &Data) -> Vec<f32> {
    let (contents, tensors) = layout(plan, data);
    let one = gpu.tensor(&contents, [contents.len()]).unwrap();
    let mut buffers = Buffers::new();
    for (role, bytes) in &tensors {
        buffers = buffers.with(*role, one.buffer().slice(bytes.clone()));
    }
    gpu.run(&gpu.prepare(plan).unwrap().bind(&buffers).unwrap()).unwrap();
    let (_, output) = &tensors[0];
    let after = one.read().unwrap();
    let range = (output.start / 4) as usize..(output.end / 4) as usize;
    for (index, (before, after)) in contents.iter().zip(&after).enumerate() {
        let written = tensors.iter().take(1 + usize::from(plan.optional_output().is_some()));
        let inside = written.into_iter().any(|(_, bytes)| bytes.contains(&(index as u64 * 4)));
        assert!(inside || before.to_bits() == after.to_bits(), "element {index} beside the outputs changed\n{plan}");
    }
    after[range].to_vec()
}

fn cases() -> Vec<Case> {
    let conv = Conv1d::new(6, 10, 5).padding(Padding::Same);
    let copied = Conv1d::new(4, 6, 3).groups(2).stride(2).padding(Padding::both(3));
    vec![
        Case::new(conv, [2, 6, 90]),
        Case::new(conv.activation(Activation::Gelu).residual(Residual::BeforeActivation), [2, 6, 90]),
        Case::new(copied.padding_mode(PaddingMode::Reflect), [2, 4, 70]),
        Case::new(ConvTranspose1d::new(6, 4, 5).stride(3).dilation(2), [2, 6, 40]),
        Case::new(Conv1d::new(2, 3, 3), [3, 2, 5000]),
    ]
}

/// Every kernel gives the same bits as with one buffer for each tensor, and does not change the bytes around its outputs.
#[test]
fn one_buffer_holds_everything() {
    for case in cases() {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            let plans = one_of_each_kernel(gpu(), &case, operation);
            let apart = run(gpu(), &plans, &data, true);
            for (plan, apart) in plans.iter().zip(apart) {
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&run_in_one(gpu(), plan, &data)), bits(&apart.output), "{plan}");
            }
        }
    }
}

/// An element that is written cannot belong to another tensor too.
#[test]
fn written_elements_do_not_overlap() {
    let case = cases()[0];
    let plan = Plan::new(case.fused, Operation::Forward, case.input, gpu().caps(), &PlanOptions::default()).unwrap();
    let (contents, tensors) = layout(&plan, &Data::new(&case));
    let one = gpu().tensor(&contents, [contents.len()]).unwrap();
    let bytes = |role: Role| tensors.iter().find(|(other, _)| *other == role).unwrap().1.clone();
    let (weight, output) = (bytes(Role::Weight), bytes(Role::Output));
    let length = weight.end - weight.start;
    let mut buffers = Buffers::new();
    for (role, bytes) in &tensors {
        buffers = buffers.with(*role, one.buffer().slice(bytes.clone()));
    }
    let prepared = gpu().prepare(&plan).unwrap();
    let with = |start: u64| prepared.bind(&buffers.with(Role::Weight, one.buffer().slice(start..start + length)));
    assert_eq!(with(output.end - 4).unwrap_err(), Error::Aliased { first: "the weight", second: "the output" });
    assert!(with(output.end).is_ok());
}
