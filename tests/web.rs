//! The library in a browser: every operation by every kernel in every variant, PyTorch's results. Run by `make test-web`.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod case;
mod golden;

use case::{Case, Data, assert_promise};
use conv1d::{
    Activation, Buffers, Conv1d, ConvTranspose1d, Effort, Error, Fused, Gpu, GpuOptions, Operation, Padding,
    PaddingMode, Plan, PlanOptions, Residual, Role, Timer, Wanted,
};
use golden::{Golden, rounded, tensor};
use safetensors::SafeTensors;
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

async fn open() -> Gpu {
    Gpu::open(&GpuOptions::default()).await.unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a plan and returns its output.
async fn run(gpu: &Gpu, plan: &Plan, data: &Data, bias: bool) -> Result<Vec<f32>, Error> {
    let mut tensors = Vec::new();
    for role in plan.inputs().into_iter().filter(|&role| bias || role != Role::Bias) {
        tensors.push((role, gpu.tensor(data.of(role), role.shape(plan.shapes()))?));
    }
    let output = gpu.zeros(plan.output().shape(plan.shapes()))?;
    let mut buffers = Buffers::new().with(plan.output(), output.buffer().slice(..));
    for (role, tensor) in &tensors {
        buffers = buffers.with(*role, tensor.buffer().slice(..));
    }
    gpu.run(&gpu.prepare(plan)?.bind(&buffers)?)?;
    output.read_async().await
}

/// Every operation of a case by every kernel in every variant that the planner could choose keeps the promise.
async fn assert_case(gpu: &Gpu, case: &Case) -> usize {
    let data = Data::new(case);
    let mut runs = 0;
    for operation in Operation::ALL {
        let chosen = gpu.plan(case.fused, operation, case.input, &PlanOptions::default()).unwrap();
        let exact = data.exact(case, operation, true);
        for candidate in chosen.candidates() {
            let options = PlanOptions::default().kernel(candidate.variant.to_string());
            let Ok(plan) = gpu.plan(case.fused, operation, case.input, &options) else { continue };
            let what = format!("{case:?} {operation:?} {}", plan.variant());
            let got = run(gpu, &plan, &data, true).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_promise(&got, &exact, &what);
            runs += 1;
        }
    }
    runs
}

async fn assert_cases(cases: impl IntoIterator<Item = (Fused, [usize; 3])>) {
    let gpu = open().await;
    let mut runs = 0;
    for (fused, input) in cases {
        runs += assert_case(&gpu, &Case::new(fused, input)).await;
    }
    console_log!("{runs} runs, all within the bound");
}

#[wasm_bindgen_test]
async fn every_kernel_forward_and_back() {
    let conv = Conv1d::new;
    assert_cases([
        (conv(3, 5, 4).padding(Padding::Same).into(), [2, 3, 37]),
        (conv(4, 6, 3).stride(2).dilation(3).groups(2).padding(Padding::Causal).into(), [1, 4, 50]),
        (conv(6, 6, 5).groups(6).padding(Padding::Full).into(), [2, 6, 20]),
        (conv(8, 9, 1).into(), [1, 8, 70]),
    ])
    .await;
}

#[wasm_bindgen_test]
async fn every_kernel_transposed() {
    assert_cases([
        (ConvTranspose1d::new(4, 6, 5).stride(3).groups(2).output_padding(1).into(), [2, 4, 11]),
        (ConvTranspose1d::new(3, 2, 4).dilation(2).into(), [1, 3, 20]),
    ])
    .await;
}

#[wasm_bindgen_test]
async fn every_kernel_with_padding_of_samples() {
    let modes = [PaddingMode::Constant(0.5), PaddingMode::Reflect, PaddingMode::Circular, PaddingMode::Replicate];
    let layer = |mode| Conv1d::new(2, 3, 5).padding(Padding::both(3)).padding_mode(mode).into();
    assert_cases(modes.map(|mode| (layer(mode), [1, 2, 12]))).await;
}

#[wasm_bindgen_test]
async fn every_kernel_with_activations() {
    let conv = Conv1d::new(4, 4, 3).padding(Padding::Same);
    let layers = [
        conv.activation(Activation::Gelu),
        conv.activation(Activation::Relu).residual(Residual::BeforeActivation),
        conv.activation(Activation::Tanh).residual(Residual::AfterActivation),
    ];
    assert_cases(layers.map(|fused| (fused, [1, 4, 24]))).await;
}

/// Tint and Chromium's drivers may compute exponentials, divisions and their order otherwise than naga and the native ones.
#[wasm_bindgen_test]
async fn activations_keep_their_bounds() {
    let gpu = open().await;
    let arithmetic = gpu.arithmetic_async().await.unwrap();
    console_log!("{arithmetic}");
    assert!(arithmetic.rounds_to_nearest, "{arithmetic}");
    let dense = (-60_000..=60_000).map(|i| i as f32 * 0.002_003);
    let exponents = (1..255_u32).flat_map(|e| [e << 23, 1 << 31 | e << 23 | 0x35_04f3]).map(f32::from_bits);
    let points: Vec<f32> = dense.chain(exponents).collect();
    let z = gpu.tensor(&points, [points.len()]).unwrap();
    for activation in Activation::ALL {
        let got = gpu.activation(activation, &z).unwrap().read_async().await.unwrap();
        for (&got, &z) in got.iter().zip(&points) {
            let exact = activation.value(z.into());
            let error = (f64::from(got) - exact).abs();
            assert!(error <= activation.value_error(exact), "{activation:?} of {z:e} is {got:e}, exactly {exact:e}");
        }
    }
}

async fn assert_goldens(index: &str, tensors: &[u8]) {
    let gpu = open().await;
    let goldens: Vec<Golden> = serde_json::from_str(index).unwrap();
    let file = SafeTensors::deserialize(tensors).unwrap();
    let mut answers = 0;
    for golden in &goldens {
        let case = Case::new(golden.layer(), golden.input());
        let get = |name: &str| tensor(&file, &golden.id, name);
        let (bias, base) = (get("b"), Data::new(&case));
        let data = Data {
            x: get("x").unwrap(),
            w: get("w").unwrap(),
            b: bias.clone().unwrap_or(base.b),
            dy: get("dy").unwrap_or(base.dy),
            residual: base.residual,
            saved: base.saved,
        };
        for (operation, name) in [
            (Operation::Forward, "y"),
            (Operation::InputGradient, "dx"),
            (Operation::WeightGradient, "dw"),
            (Operation::BiasGradient, "db"),
        ] {
            let Some(answer) = get(name) else { continue };
            let plan = gpu.plan(case.fused, operation, case.input, &PlanOptions::default()).unwrap();
            let exact = data.exact(&case, operation, bias.is_some());
            let what = format!("{} {name} {}", golden.id, plan.variant());
            let got = run(&gpu, &plan, &data, bias.is_some()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            for ((&got, &answer), exact) in got.iter().zip(&answer).zip(&exact) {
                let off = (f64::from(got) - f64::from(answer)).abs();
                assert!(off <= rounded(answer, exact), "{what}: {got}, PyTorch {answer}");
            }
            answers += 1;
        }
    }
    console_log!("{answers} answers of {} cases", goldens.len());
}

#[wasm_bindgen_test]
async fn convolutions_of_pytorch() {
    let index = include_str!("goldens/layers_forward/index.json");
    assert_goldens(index, include_bytes!("goldens/layers_forward/cases.safetensors")).await;
}

#[wasm_bindgen_test]
async fn transposed_convolutions_of_pytorch() {
    let index = include_str!("goldens/layers_transposed/index.json");
    assert_goldens(index, include_bytes!("goldens/layers_transposed/cases.safetensors")).await;
}

/// The calls with tensors, and the timer.
#[wasm_bindgen_test]
async fn tensors_and_times() {
    let gpu = open().await;
    let conv = Conv1d::new(1, 1, 3);
    let x = gpu.tensor(&[1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 5]).unwrap();
    let w = gpu.tensor(&[1.0, 0.0, -1.0], [1, 1, 3]).unwrap();
    let y = gpu.conv1d(&conv, &x, &w, None).unwrap();
    assert_eq!(y.read_async().await.unwrap(), [-2.0, -2.0, -2.0]);
    let gradients = gpu.conv1d_backward(&conv, &x, &w, &y, Wanted::ALL).unwrap();
    assert_eq!(gradients.input.unwrap().read_async().await.unwrap(), [-2.0, -2.0, 0.0, 2.0, 2.0]);
    let long = gpu.tensor(&[1.0, 2.0, 3.0, 4.0], [4]).unwrap();
    let short = gpu.tensor(&[1.0, 10.0], [2]).unwrap();
    let valid = gpu.correlate(&short, &long, conv1d::ConvolveMode::Valid).unwrap();
    assert_eq!(valid.read_async().await.unwrap(), [43.0, 32.0, 21.0]);

    let plan = conv.plan(Operation::Forward, [1, 1, 5], gpu.caps()).unwrap();
    let buffers = Buffers::new()
        .with(Role::Input, x.buffer().slice(..))
        .with(Role::Weight, w.buffer().slice(..))
        .with(Role::Output, y.buffer().slice(..));
    let bound = gpu.prepare(&plan).unwrap().bind(&buffers).unwrap();
    let timer = Timer::new(&gpu);
    timer.run_async(&bound, 1).await.unwrap();
    let effort = Effort { samples: 3, ..Effort::within(std::time::Duration::from_millis(200)) };
    assert!(timer.measure_async(&bound, effort).await.unwrap().seconds() > 0.0);
}

/// A refusal by the browser is an error when results are read, and is reported once.
#[wasm_bindgen_test]
async fn errors_of_the_browser_are_errors() {
    let gpu = open().await;
    let x = gpu.zeros([16]).unwrap();
    // A destroyed buffer: the browser reports it when the work is submitted.
    let conv = Conv1d::new(1, 1, 3);
    let w = gpu.zeros([1, 1, 3]).unwrap();
    w.buffer().destroy();
    let y = gpu.conv1d(&conv, &x.reshape([1, 1, 16]).unwrap(), &w, None).unwrap();
    assert!(matches!(y.read_async().await, Err(Error::Validation { .. })));
    gpu.settled().await.unwrap();
    assert_eq!(x.read_async().await.unwrap(), [0.0; 16]);
    let wrong = conv.groups(3).plan(Operation::Forward, [1, 1, 5], gpu.caps());
    assert!(matches!(wrong, Err(Error::GroupsDoNotDivide { .. })));
}

/// Ranges of one buffer, 256 bytes apart, give the same results as separate buffers; a browser refuses them closer together.
#[wasm_bindgen_test]
async fn one_buffer_holds_everything() {
    let gpu = open().await;
    let conv = Conv1d::new(1, 2, 3).padding(Padding::Same).padding_mode(PaddingMode::Reflect);
    let case = Case::new(conv, [1, 1, 60]);
    let data = Data::new(&case);
    let memory = gpu.tensor(&[0.0; 1024], [1024]).unwrap();
    let at = |first: u64, count: usize| memory.buffer().slice(first * 4..(first + count as u64) * 4);
    for kernel in ["direct", "window", "tiled", "im2col", "texels"] {
        let options = PlanOptions::default().kernel(kernel);
        let plan = Plan::new(conv, Operation::Forward, [1, 1, 60], gpu.caps(), &options).unwrap();
        let mut values = vec![0.0; 1024];
        for (first, tensor) in [(1, &data.x), (129, &data.w), (201, &data.b)] {
            values[first..first + tensor.len()].copy_from_slice(tensor);
        }
        memory.write(&values).unwrap();
        let buffers = Buffers::new()
            .with(Role::Input, at(1, 60))
            .with(Role::Weight, at(129, 6))
            .with(Role::Bias, at(201, 2))
            .with(Role::Output, at(321, 120));
        gpu.run(&gpu.prepare(&plan).unwrap().bind(&buffers).unwrap()).unwrap();
        let got = memory.read_async().await.unwrap();
        gpu.settled().await.unwrap();
        assert_eq!(got[321..441], run(&gpu, &plan, &data, true).await.unwrap(), "{plan}");

        let near = buffers.with(Role::Output, at(61, 120)).with(Role::Weight, at(257, 6)).with(Role::Bias, at(321, 2));
        let refused = gpu.prepare(&plan).unwrap().bind(&near).map(drop);
        let near = Error::AliasedByAlignment { first: "the input", second: "the output", alignment: 256 };
        // These kernels copy the input to textures or columns, so no dispatch binds both input and output.
        let copies = matches!(kernel, "im2col" | "texels");
        assert_eq!(refused, if copies { Ok(()) } else { Err(near) }, "{plan}");
    }
}
