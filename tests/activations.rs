//! The values and derivatives of activations, against `f64`, and the signs and the order that they promise.

use crate::harness::{gpu, values};
use conv1d::{Activation, Bindings, Conv1d, Operation, Padding, PlanOptions, Residual, Role, Shader, Workgroups};

const CURVED: [Activation; 4] = [Activation::Silu, Activation::Gelu, Activation::Tanh, Activation::Sigmoid];
/// Roots, extrema and inflections of the activations and their derivatives, and the ends of the ranges in which `f32` can hold their
/// values. Beyond them shaders choose other formulas.
const PLACES: [f64; 26] = [
    0.5,          // tanh: from a series to exponentials
    0.549_306_14, // tanh is 1/2
    0.625,        // a usual place for the same
    9.010_913,    // tanh rounds to 1
    10.0,         // tanh is 1
    16.635_532,   // sigmoid rounds to 1
    87.33,        // e^-z is the smallest normal number
    87.336_55,
    88.722_84,   // e^z is the largest number
    103.278_93,  // e^-z is the smallest number
    103.972_08,  // e^-z rounds to 0
    1.278_464_5, // minimum of SiLU, root of its derivative
    2.399_357_3, // extremum of the derivative of SiLU
    4.797_0,     // tanh' in f32
    88.9,        // SiLU of -z around the smallest normal number
    91.9,
    108.6,
    120.0,
    0.751_791_5,              // minimum of GELU, root of its derivative
    std::f64::consts::SQRT_2, // extremum of the derivative of GELU
    5.5,                      // GELU of -z is about -1e-7
    13.0,                     // GELU of -z leaves the normal numbers
    13.2,
    14.2,
    14.5,
    18.4, // z^2/2 leaves f32's range of e^-x
];

/// Finite numbers of both signs in ascending order: every exponent, neighbours of [`PLACES`] and of multiples of ln 2 (where the power
/// of two in an exponential changes) and of ln 2 / 2, and random ones.
fn points() -> Vec<f32> {
    let mut points = vec![0.0, f32::MAX];
    for exponent in 0..255_u32 {
        let offsets = [0, 1, 2, 0x2a_aaaa, 0x40_0000, 0x55_5555, 0x7f_fffe, 0x7f_ffff];
        points.extend(offsets.map(|mantissa| f32::from_bits(exponent << 23 | mantissa)));
    }
    let mut around = |place: f64, reach: u32| {
        let bits = (place as f32).to_bits();
        points.extend((bits.saturating_sub(reach)..bits + reach).map(f32::from_bits));
    };
    PLACES.iter().for_each(|&place| around(place, 300));
    (1..=320).for_each(|n| around(f64::from(n) * std::f64::consts::LN_2 / 2.0, 24));
    for (seed, scale) in [(1, 1.0), (2, 10.0), (3, 150.0)] {
        points.extend(values(seed, 40_000).into_iter().map(|v| (scale * v).abs()));
    }
    points.retain(|point| point.is_finite());
    let negative: Vec<f32> = points.iter().map(|point| -point).collect();
    points.extend(negative);
    points.sort_by(f32::total_cmp);
    points.dedup_by_key(|point| point.to_bits());
    points
}

/// The largest share of the allowed error that a result uses, and where.
fn worst(got: &[f32], points: &[f32], exact: impl Fn(f64) -> (f64, f64)) -> (f64, String) {
    let share = |(&got, &point): (&f32, &f32)| {
        let (value, allowed) = exact(point.into());
        let error = (f64::from(got) - value).abs();
        let share = if error == 0.0 { 0.0 } else { error / allowed };
        let share = if share.is_nan() { f64::INFINITY } else { share };
        (share, format!("{got:e} at {point:e}, exactly {value:e}, {share:.3} of the bound"))
    };
    let shares = got.iter().zip(points).map(share);
    shares.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

fn value_of(activation: Activation, points: &[f32]) -> Vec<f32> {
    let z = gpu().tensor(points, [points.len()]).unwrap();
    gpu().activation(activation, &z).unwrap().read().unwrap()
}

#[test]
fn values_are_within_2_to_the_minus_20() {
    let points = points();
    for activation in Activation::ALL {
        let (share, place) = worst(&value_of(activation, &points), &points, |z| {
            let value = activation.value(z);
            (value, activation.value_error(value))
        });
        println!("{activation:?}: {place}");
        assert!(share <= 1.0, "{activation:?}: {place}");
    }
}

/// From the tensor that a forward pass saves.
#[test]
fn derivatives_are_within_2_to_the_minus_20_of_their_terms() {
    let points = points();
    for activation in Activation::ALL {
        let needs_input = activation.derivative_needs_input();
        let saved = if needs_input { points.clone() } else { value_of(activation, &points) };
        let tensor = |values: &[f32]| gpu().tensor(values, [values.len()]).unwrap();
        let ones = tensor(&vec![1.0; saved.len()]);
        let got = gpu().activation_backward(activation, &tensor(&saved), &ones).unwrap().read().unwrap();
        let (share, place) = worst(&got, &saved, |saved| {
            (activation.derivative_at(saved), activation.derivative_error(saved, needs_input))
        });
        println!("{activation:?}: {place}");
        assert!(share <= 1.0, "{activation:?}: {place}");
    }
}

/// With a residual after the activation, every derivative is computed from the activation's input.
#[test]
fn derivatives_from_the_input_are_within_2_to_the_minus_20_of_their_terms() {
    let points = points();
    let shape = [1, 1, points.len()];
    let tensor = |values: &[f32]| gpu().tensor(values, shape).unwrap();
    let (z, ones, w) = (tensor(&points), tensor(&vec![1.0; points.len()]), gpu().tensor(&[1.0], [1, 1, 1]).unwrap());
    for activation in Activation::ALL {
        let layer = Conv1d::new(1, 1, 1).padding(Padding::Valid).activation(activation);
        let layer = layer.residual(Residual::AfterActivation);
        let plan = gpu().plan(layer, Operation::InputGradient, shape, &PlanOptions::default()).unwrap();
        let saved = (activation != Activation::Identity).then_some((Role::PreActivation, &z));
        let tensors: Vec<_> = [(Role::Weight, &w), (Role::OutputGradient, &ones)].into_iter().chain(saved).collect();
        let got = gpu().execute(&plan, &tensors).unwrap().read().unwrap();
        let (share, place) = worst(&got, &points, |z| {
            // A multiply-add with a weight of 1 flushes subnormals, but does not round.
            let allowed = activation.derivative_error(z, true) + f64::from(f32::MIN_POSITIVE);
            (activation.derivative(z), allowed)
        });
        println!("{activation:?}: {place}");
        assert!(share <= 1.0, "{activation:?}: {place}");
    }
}

/// Compares the activation of each finite number with that of the next one, and counts decreases.
const MONOTONE: &str = "
// use: element, stored, activation/*
struct Params { count: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> decreases: array<u32>;

/// The number with index `i` in ascending order.
fn number(i: u32) -> f32 {
    return bitcast<f32>(select(i - 0x80000000u, 0xffffffffu - i, i < 0x80000000u));
}

@compute @workgroup_size(LANES)
fn monotone(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i < params.count) {
        var count = 0u;
        var before = activate(number(params.first + i * 4096u), 0.0);
        for (var j = 1u; j <= 4096u; j++) {
            let now = activate(number(params.first + i * 4096u + j), 0.0);
            if (!(before <= now)) {
                count++;
            }
            before = now;
        }
        decreases[i] = count;
    }
}
";

/// Among all 4,278,190,079 pairs of neighbouring finite numbers.
#[test]
fn tanh_and_sigmoid_do_not_decrease() {
    // Indices of the smallest and of the largest finite number.
    let (first, last) = (0x0080_0000_u32, 0xff7f_ffff_u32);
    for part in ["tanh", "sigmoid"] {
        let shader = gpu().prepare_shader(&Shader::new("monotone", MONOTONE).part("activation", part)).unwrap();
        // The last run of numbers overlaps the one before it.
        for (first, count) in [(first, (last - first) / 4096), (last - 4096, 1)] {
            let output = gpu().zeros([count as usize]).unwrap();
            let bindings =
                Bindings::new().with("decreases", output.slice()).value("count", count).value("first", first);
            gpu().run(&shader.bind(&bindings, Workgroups::Elements(count.into())).unwrap()).unwrap();
            let decreases: u64 = output.read().unwrap().iter().map(|v| u64::from(v.to_bits())).sum();
            assert_eq!(decreases, 0, "{part}, from number {first} on");
        }
    }
}

#[test]
fn signs_are_kept() {
    let points = points();
    for activation in CURVED {
        for (&y, &z) in value_of(activation, &points).iter().zip(&points) {
            let right = match activation {
                Activation::Sigmoid => (0.0..=1.0).contains(&y),
                Activation::Tanh => y * z.signum() >= 0.0 && y.abs() <= 1.0,
                _ => y * z.signum() >= 0.0 && y <= z.max(0.0),
            };
            assert!(right, "{activation:?} of {z:e} is {y:e}");
        }
    }
}
