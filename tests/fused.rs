//! Activations and residuals: values in the stores of every kernel, derivatives in the loads of every kernel.

use crate::harness::{
    Case, Data, assert_operation, assert_plans, assert_promise, candidates, gpu, one_of_each_kernel, values,
};
use crate::limits::tiny_bindings;
use conv1d::reference::{Exact, Oracle};
use conv1d::{
    Activation, Conv1d, ConvTranspose1d, Error, Fused, Operation, Padding, PaddingMode, Plan, PlanOptions, Residual,
    Role, Wanted,
};

const RESIDUALS: [Residual; 3] = [Residual::None, Residual::BeforeActivation, Residual::AfterActivation];

/// Values computed with Python's `math`.
#[test]
fn exact_values() {
    let table = [
        (Activation::Relu, [0.0, 0.0, 0.0, 0.75, 2.5]),
        (Activation::LeakyRelu(0.125), [-0.375, -0.0625, 0.0, 0.75, 2.5]),
        (
            Activation::Silu,
            [
                -0.142_277_619_532_700_35,
                -0.188_770_334_399_072_7,
                0.0,
                0.509_384_024_381_544_5,
                2.310_354_549_946_891_4,
            ],
        ),
        (
            Activation::Gelu,
            [
                -0.004_049_694_094_890_31,
                -0.154_268_769_362_993_47,
                0.0,
                0.580_029_485_717_348_8,
                2.484_475_836_685_559_7,
            ],
        ),
        (
            Activation::Tanh,
            [
                -0.995_054_753_686_730_5,
                -0.462_117_157_260_009_74,
                0.0,
                0.635_148_952_387_287_3,
                0.986_614_298_151_430_3,
            ],
        ),
        (
            Activation::Sigmoid,
            [0.047_425_873_177_566_78, 0.377_540_668_798_145_4, 0.5, 0.679_178_699_175_393, 0.924_141_819_978_756_6],
        ),
    ];
    for (activation, expected) in table {
        for (z, expected) in [-3.0, -0.5, 0.0, 0.75, 2.5].into_iter().zip(expected) {
            let value = activation.value(z);
            assert!((value - expected).abs() < 1e-14, "{activation:?} at {z}: {value}, not {expected}");
        }
    }
}

/// As in the shaders and in PyTorch.
#[test]
fn nan_stays_nan() {
    for activation in Activation::ALL {
        assert!(activation.value(f64::NAN).is_nan(), "{activation:?}");
    }
    assert_eq!(Activation::Relu.derivative(f64::NAN), 1.0);
}

#[test]
fn derivatives_are_those_of_the_values() {
    for activation in Activation::ALL {
        for z in [-7.25, -1.5, -0.25, 0.125, 0.75, 3.0, 9.0] {
            let step = 1e-5;
            let slope = (activation.value(z + step) - activation.value(z - step)) / (2.0 * step);
            let derivative = activation.derivative(z);
            assert!((slope - derivative).abs() < 1e-8, "{activation:?} at {z}: {derivative}, not {slope}");
        }
    }
}

/// Shapes that together cover every way to load and store: inside and at the ends, aligned and not, in phases, by group.
fn shapes() -> Vec<(Fused, [usize; 3])> {
    let reflect = Conv1d::new(3, 5, 3).padding(Padding::both(2)).padding_mode(PaddingMode::Reflect);
    vec![
        (Conv1d::new(6, 9, 5).padding(Padding::Same).into(), [2, 6, 150]),
        (reflect.stride(2).into(), [2, 3, 41]),
        (ConvTranspose1d::new(6, 4, 5).groups(2).stride(3).padding(Padding::both(1)).into(), [2, 6, 60]),
        (Conv1d::new(7, 7, 4).groups(7).dilation(3).into(), [3, 7, 80]),
    ]
}

/// Every activation and every residual, with each operation by one variant of every kernel.
#[test]
fn every_activation_and_residual_in_every_kernel() {
    let mut shapes = shapes().into_iter().cycle();
    let mut residuals = RESIDUALS.into_iter().cycle();
    // Tanh and sigmoid with a residual after them, so that their derivative is computed from the pre-activation.
    let again = [Activation::Tanh, Activation::Relu, Activation::Identity, Activation::Sigmoid];
    for activation in Activation::ALL.into_iter().chain(again) {
        let (Some((layer, input)), Some(residual)) = (shapes.next(), residuals.next()) else { return };
        let case = Case::new(layer.activation(activation).residual(residual), input);
        let data = Data::new(&case);
        for operation in Operation::ALL {
            assert_plans(gpu(), &case, &one_of_each_kernel(gpu(), &case, operation), &data);
        }
    }
}

/// Every variant of every kernel.
#[test]
fn every_tile_stores_and_loads_through_an_activation() {
    for (layer, input) in shapes().into_iter().skip(1).step_by(2) {
        let case = Case::new(layer.activation(Activation::Silu).residual(Residual::BeforeActivation), input);
        let data = Data::new(&case);
        for operation in Operation::ALL {
            assert_operation(gpu(), &case, operation, &data, &PlanOptions::default());
        }
    }
}

/// Activation and residual are applied only once a sum is complete.
#[test]
fn sums_in_pieces_are_activated_once() {
    let fuse = |layer: Fused| layer.activation(Activation::Gelu).residual(Residual::BeforeActivation);
    let rows = Case::new(fuse(Conv1d::new(30, 2, 3).padding(Padding::Same).into()), [2, 30, 100]);
    let phases = Case::new(fuse(ConvTranspose1d::new(20, 12, 4).stride(2).into()), [2, 20, 40]);
    let positions = Case::new(fuse(Conv1d::new(2, 2, 5).padding(Padding::Same).into()), [2, 2, 2000]);
    for case in [rows, phases, positions] {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            let plans = one_of_each_kernel(tiny_bindings(), &case, operation);
            assert!(operation != Operation::Forward || plans.iter().all(|plan| plan.dispatches() > 1));
            assert_plans(tiny_bindings(), &case, &plans, &data);
        }
    }
    // More iterations than a software driver grants an invocation: along the input rows, and along the taps of one.
    for (channels, kernel) in [(300, 300), (1, 70_000)] {
        let case = Case::new(fuse(Conv1d::new(channels, 9, kernel).into()), [1, channels, kernel + 1]);
        let plans = one_of_each_kernel(gpu(), &case, Operation::Forward);
        assert_plans(gpu(), &case, &plans, &Data::new(&case));
    }
}

/// Large values saturate, infinite values follow the formulas, and NaN stays NaN.
#[test]
fn extreme_values() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -3e38, 1e-30, -1e-30, 0.0];
    let input = gpu().tensor(&x, [1, 1, x.len()]).unwrap();
    let w = gpu().tensor(&[1.0], [1, 1, 1]).unwrap();
    for activation in Activation::ALL {
        let conv = Conv1d::new(1, 1, 1).activation(activation);
        let tensors = [(Role::Input, &input), (Role::Weight, &w)];
        let y = gpu().forward(conv, &tensors, &PlanOptions::default().kernel("direct/1x1")).unwrap().read().unwrap();
        assert!(y[0].is_nan(), "{activation:?} of NaN is {}", y[0]);
        for (&z, &y) in x.iter().zip(&y).skip(1) {
            let exact = activation.value(z.into()) as f32;
            assert!(y == exact || (y - exact).abs() <= 1e-6, "{activation:?} of {z} is {y}, not {exact}");
        }
    }
}

/// The calls with tensors: gradients of a residual block, from the tensor that the forward pass itself saved.
#[test]
fn a_residual_block_there_and_back() {
    let shape = [2, 6, 50];
    let tensor = |seed, shape: [usize; 3]| gpu().tensor(&values(seed, shape.iter().product()), shape).unwrap();
    let (x, w, r, dy) = (tensor(1, shape), tensor(2, [6, 6, 3]), tensor(3, shape), tensor(4, shape));
    let options = PlanOptions::default();
    for activation in Activation::ALL {
        for residual in RESIDUALS {
            let block = Conv1d::new(6, 6, 3).padding(Padding::Same).activation(activation).residual(residual);
            let z = gpu().zeros(shape).unwrap();
            let mut forward = vec![(Role::Input, &x), (Role::Weight, &w)];
            forward.extend((residual != Residual::None).then_some((Role::Residual, &r)));
            forward.extend(block.saves_pre_activation().then_some((Role::PreActivation, &z)));
            let y = gpu().forward(block, &forward, &options).unwrap();

            let mut backward = vec![(Role::Input, &x), (Role::Weight, &w), (Role::OutputGradient, &dy)];
            let saved = if block.saves_pre_activation() { (Role::PreActivation, &z) } else { (Role::Output, &y) };
            backward.extend((activation != Activation::Identity).then_some(saved));
            let gradients = gpu().backward(block, &backward, Wanted::ALL, &options).unwrap();

            let host = |t: &conv1d::Tensor| t.read().unwrap();
            let oracle = Oracle::new(block.layer, shape).unwrap();
            let back = block.exact_back(&host(&dy), &host(saved.1)).unwrap();
            let through = |of: &dyn Fn(&[f32]) -> Vec<Exact>| -> Vec<Exact> {
                of(&back.gradient).into_iter().zip(of(&back.error)).map(|(g, e)| g.back(e)).collect()
            };
            let what = format!("{activation:?} {residual:?}");
            let dx = through(&|dy| oracle.input_gradient(&host(&w), dy).unwrap());
            assert_promise(&host(&gradients.input.unwrap()), &dx, &what);
            let dw = through(&|dy| oracle.weight_gradient(&host(&x), dy).unwrap());
            assert_promise(&host(&gradients.weight.unwrap()), &dw, &what);
            let db = through(&|dy| oracle.bias_gradient(dy).unwrap());
            assert_promise(&host(&gradients.bias.unwrap()), &db, &what);
            match (residual, gradients.residual) {
                (Residual::None, None) => {}
                (Residual::AfterActivation, Some(dr)) => assert_eq!(host(&dr), host(&dy)),
                (Residual::BeforeActivation, Some(dr)) => {
                    let one = Oracle::new(Conv1d::new(6, 6, 1).groups(6), shape).unwrap();
                    let exact = through(&|dy| one.input_gradient(&[1.0; 6], dy).unwrap());
                    assert_promise(&host(&dr), &exact, &what);
                }
                (_, dr) => panic!("{what}: the gradient of the residual is {dr:?}"),
            }
        }
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let options = PlanOptions::default();
    let (x, w) = (gpu().zeros([1, 2, 9]).unwrap(), gpu().zeros([2, 2, 3]).unwrap());
    let dy = gpu().zeros([1, 2, 7]).unwrap();
    let conv = Conv1d::new(2, 2, 3);
    let forward = [(Role::Input, &x), (Role::Weight, &w)];
    let backward = [(Role::Input, &x), (Role::Weight, &w), (Role::OutputGradient, &dy)];
    let missing = |role| Error::MissingBuffer { role };

    let block = conv.residual(Residual::BeforeActivation);
    assert_eq!(gpu().forward(block, &forward, &options).unwrap_err(), missing("the residual"));
    let short = gpu().zeros([1, 2, 9]).unwrap();
    let tensors = [(Role::Input, &x), (Role::Weight, &w), (Role::Residual, &short)];
    assert!(matches!(gpu().forward(block, &tensors, &options).unwrap_err(), Error::Shape { .. }));
    let error = gpu().forward(conv, &[(Role::Residual, &dy), forward[0], forward[1]], &options).unwrap_err();
    assert_eq!(error, Error::UnusedBuffer { role: "the residual" });
    assert_eq!(gpu().forward(conv, &[(Role::Weight, &w)], &options).unwrap_err(), missing("the input"));

    let y = gpu().zeros([1, 2, 7]).unwrap();
    let output_too = [forward[0], forward[1], (Role::Output, &y)];
    let error = gpu().forward(conv, &output_too, &options).unwrap_err();
    assert_eq!(error, Error::UnusedBuffer { role: "the output" });
    let twice = [forward[0], forward[1], forward[1]];
    assert_eq!(gpu().forward(conv, &twice, &options).unwrap_err(), Error::GivenTwice { role: "the weight" });

    for (activation, role) in [(Activation::Relu, "the output"), (Activation::Gelu, "the pre-activation")] {
        let error = gpu().backward(conv.activation(activation), &backward, Wanted::ALL, &options).unwrap_err();
        assert_eq!(error, missing(role));
    }
    // One tensor given in place of another: the error names the missing one, not the unused one.
    let silu = conv.activation(Activation::Silu);
    let given = [backward[0], backward[1], backward[2], (Role::Output, &y)];
    assert_eq!(gpu().backward(silu, &given, Wanted::ALL, &options).unwrap_err(), missing("the pre-activation"));
    let slope = conv.activation(Activation::LeakyRelu(f32::INFINITY));
    let error = gpu().forward(slope, &forward, &options).unwrap_err();
    assert_eq!(error.to_string(), "the slope of a leaky ReLU must be finite, got inf");
}

/// The text of a plan names its activation, and its candidates are those of the plain convolution.
#[test]
fn plans_explain_what_is_fused() {
    let conv = Conv1d::new(4, 4, 3);
    let block = Case::new(conv.activation(Activation::Tanh).residual(Residual::AfterActivation), [1, 4, 20]);
    let plan = Plan::new(block.fused, Operation::Forward, block.input, gpu().caps(), &PlanOptions::default()).unwrap();
    let line = plan.to_string();
    assert!(line.starts_with("forward of [1, 4, 20] with [4, 4, 3] to [1, 4, 18]: ") && !line.contains('\n'), "{line}");
    let text = format!("{plan:#}");
    assert!(text.starts_with("forward of a convolution, activation tanh, residual after the activation\n"), "{text}");
    assert!(text.contains("gradients will need the pre-activation"), "{text}");
    assert!(text.contains("sums") && text.contains(" times as long"), "{text}");
    let count = |case: &Case| candidates(gpu(), case, Operation::Forward, &PlanOptions::default()).len();
    assert_eq!(count(&block), count(&Case::new(conv, block.input)));
}
