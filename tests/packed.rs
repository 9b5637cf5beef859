//! Weights that are packed once and reused.

use crate::harness::{Case, Data, gpu, limited_gpu, one_of_each_kernel, values};
use conv1d::{
    Activation, Buffers, Conv1d, ConvTranspose1d, Error, Gpu, Layer, Operation, PackedWeight, Padding, Plan,
    PlanOptions, Role,
};

fn layers() -> Vec<Layer> {
    vec![
        Conv1d::new(6, 10, 5).padding(Padding::Same).into(),
        Conv1d::new(4, 6, 3).groups(2).stride(2).into(),
        Conv1d::new(1, 3, 39).padding(Padding::Same).into(),
        ConvTranspose1d::new(6, 4, 5).stride(3).dilation(2).into(),
        Conv1d::new(5, 5, 4).groups(5).into(),
    ]
}

/// The output of a plan, with the weight or with a packed one.
fn output(gpu: &Gpu, plan: &Plan, data: &Data, packed: Option<&PackedWeight>) -> Vec<f32> {
    let tensors: Vec<_> = plan
        .inputs()
        .into_iter()
        .map(|role| (role, gpu.tensor(data.of(role), role.shape(plan.shapes())).unwrap()))
        .collect();
    let output = gpu.zeros(plan.output().shape(plan.shapes())).unwrap();
    let mut buffers = Buffers::new().with(plan.output(), output.buffer().slice(..));
    for (role, tensor) in &tensors {
        buffers = buffers.with(*role, tensor.buffer().slice(..));
    }
    if let Some(packed) = packed {
        buffers = buffers.with_packed(packed);
    }
    gpu.run(&gpu.prepare(plan).unwrap().bind(&buffers).unwrap()).unwrap();
    output.read().unwrap()
}

/// A weight that was packed for one shape serves plans of other batches and lengths, with every kernel: they give the
/// bits of a plan that packs it on each run, with fewer dispatches.
#[test]
fn a_packed_weight_serves_other_shapes() {
    for layer in layers() {
        let channels = [1, 4, 5, 6].into_iter().find(|&c| layer.shapes([1, c, 64]).is_ok()).unwrap();
        let case = Case::new(layer, [2, channels, 64]);
        for operation in [Operation::Forward, Operation::InputGradient] {
            for plan in one_of_each_kernel(gpu(), &case, operation) {
                let weight = gpu().tensor(&Data::new(&case).w, case.shapes().weight).unwrap();
                let packed = PackedWeight::new(gpu(), &plan, &weight).unwrap();
                for input in [[2, channels, 64], [1, channels, 97], [3, channels, 200], [0, channels, 64]] {
                    let other = Case::new(layer, input);
                    let data = Data { w: Data::new(&case).w, ..Data::new(&other) };
                    let options = PlanOptions::default().kernel(plan.variant().to_string());
                    let each = Plan::new(layer, operation, input, plan.caps(), &options).unwrap();
                    let options = options.packed(packed.layout().clone());
                    let once = Plan::new(layer, operation, input, plan.caps(), &options).unwrap();
                    let packs = usize::from(!packed.layout().to_string().ends_with("as it is stored"));
                    let packs = if input[0] == 0 { 0 } else { packs };
                    assert_eq!(once.dispatches() + packs, each.dispatches(), "{each}");
                    assert!(!once.inputs().contains(&Role::Weight) && once.reads_packed_weight());
                    let [once, each] = [output(gpu(), &once, &data, Some(&packed)), output(gpu(), &each, &data, None)];
                    assert_eq!(once, each, "{plan} for {input:?}");
                }
            }
        }
    }
}

/// The planner considers only variants that read the layout, and the result is that of the weight packed last.
#[test]
fn plans_for_a_packed_weight() {
    let layer = Conv1d::new(6, 10, 5).padding(Padding::Same);
    let plan = |options: &PlanOptions, input| gpu().plan(layer, Operation::Forward, input, options);
    let window = plan(&PlanOptions::default().kernel("window/16x7"), [1, 6, 64]).unwrap();
    let (first, second) = (values(1, 300), values(2, 300));
    let weight = gpu().tensor(&first, [10, 6, 5]).unwrap();
    let packed = PackedWeight::new(gpu(), &window, &weight).unwrap();
    let options = PlanOptions::default().packed(packed.layout().clone());
    let chosen = plan(&options, [4, 6, 1000]).unwrap();
    let [other, same] = ["direct", "window/16x7"].map(|kernel| plan(&options.clone().kernel(kernel), [1, 6, 64]));
    assert!(matches!(other, Err(Error::PackedWeight { .. })), "{other:?}");
    assert_eq!(chosen.weight_layout().as_ref(), Some(&**packed.layout()));

    let case = Case::new(layer, [1, 6, 64]);
    let (same, data) = (same.unwrap(), Data::new(&case));
    let with = |w: &[f32]| output(gpu(), &window, &Data { w: w.to_vec(), ..data.clone() }, None);
    assert_eq!(output(gpu(), &same, &data, Some(&packed)), with(&first));
    // The packed weight is a copy.
    weight.write(&second).unwrap();
    assert_eq!(output(gpu(), &same, &data, Some(&packed)), with(&first));
    packed.pack(&weight).unwrap();
    assert_eq!(output(gpu(), &same, &data, Some(&packed)), with(&second));
}

#[test]
fn what_does_not_fit_is_refused() {
    let layer = Conv1d::new(6, 10, 5);
    let plan = |operation, kernel: &str| {
        gpu().plan(layer, operation, [1, 6, 64], &PlanOptions::default().kernel(kernel)).unwrap()
    };
    let weight = gpu().tensor(&values(1, 300), [10, 6, 5]).unwrap();
    let tiled = plan(Operation::Forward, "tiled");
    let packed = PackedWeight::new(gpu(), &tiled, &weight).unwrap();
    let wrong = gpu().tensor(&values(1, 300), [5, 12, 5]).unwrap();
    assert!(matches!(packed.pack(&wrong), Err(Error::Shape { .. })));
    let gradient = plan(Operation::WeightGradient, "tiled");
    assert_eq!(PackedWeight::empty(gpu(), &gradient).unwrap_err(), Error::NoWeight { operation: "weight gradient" });
    let options = PlanOptions::default().packed(packed.layout().clone());
    let no_weight = gpu().plan(layer, Operation::BiasGradient, [1, 6, 64], &options);
    assert_eq!(no_weight.unwrap_err(), Error::NoWeight { operation: "bias gradient" });
    let other_layer = gpu().plan(Conv1d::new(6, 10, 4), Operation::Forward, [1, 6, 64], &options);
    assert!(matches!(other_layer, Err(Error::PackedWeight { .. })));

    // A plan for a packed weight needs one of its layout; a plan for a weight takes none.
    let (x, y) = (gpu().zeros([1, 6, 64]).unwrap(), gpu().zeros([1, 10, 60]).unwrap());
    let buffers = Buffers::new().with(Role::Input, x.buffer().slice(..)).with(Role::Output, y.buffer().slice(..));
    let for_packed = gpu().plan(layer, Operation::Forward, [1, 6, 64], &options).unwrap();
    let prepared = gpu().prepare(&for_packed).unwrap();
    assert_eq!(prepared.bind(&buffers).unwrap_err(), Error::MissingBuffer { role: "the packed weight" });
    assert!(prepared.bind(&buffers.with_packed(&packed)).is_ok());
    let both = buffers.with_packed(&packed).with(Role::Weight, weight.buffer().slice(..));
    assert_eq!(prepared.bind(&both).unwrap_err(), Error::UnusedBuffer { role: "the weight" });
    let stored = PackedWeight::new(gpu(), &plan(Operation::Forward, "direct"), &weight).unwrap();
    let mismatch = prepared.bind(&buffers.with_packed(&stored)).unwrap_err();
    assert!(matches!(mismatch, Error::PackedWeight { .. }), "{mismatch}");
    let each_time = gpu().prepare(&tiled).unwrap().bind(&buffers.with_packed(&packed)).unwrap_err();
    assert_eq!(each_time, Error::UnusedBuffer { role: "the packed weight" });
    let elsewhere = limited_gpu(|_| {});
    let elsewhere = PackedWeight::new(&elsewhere, &tiled, &weight).unwrap_err();
    assert!(matches!(elsewhere, Error::WrongDevice { .. }), "{elsewhere}");
}

/// A weight larger than a binding is packed in parts, all of which are kept.
#[test]
fn a_weight_in_parts() {
    let gpu = limited_gpu(|limits| limits.max_storage_buffer_binding_size = 4096);
    let layer = Conv1d::new(40, 70, 3).activation(Activation::Relu);
    let case = Case::new(layer, [1, 40, 20]);
    let data = Data::new(&case);
    for plan in one_of_each_kernel(&gpu, &case, Operation::Forward) {
        let weight = gpu.tensor(&data.w, [70, 40, 3]).unwrap();
        let packed = PackedWeight::new(&gpu, &plan, &weight).unwrap();
        let options = PlanOptions::default().kernel(plan.variant().to_string()).packed(packed.layout().clone());
        let once = Plan::new(layer, Operation::Forward, case.input, plan.caps(), &options).unwrap();
        assert_eq!(output(&gpu, &once, &data, Some(&packed)), output(&gpu, &plan, &data, None), "{plan}");
    }
}
