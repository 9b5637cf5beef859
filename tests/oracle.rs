//! The oracle, checked without the kernels: worked examples, the Toeplitz matrix, the adjoint identity, finite differences.

use crate::harness::{Case, Data, values};
use conv1d::reference::{Exact, Oracle, Padded, Toeplitz, gamma};
use conv1d::{Conv1d, ConvTranspose1d, Layer, Operation, Padding, PaddingMode};

fn exact(exact: &[Exact]) -> Vec<f64> {
    exact.iter().map(|e| e.value).collect()
}

fn assert_close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 1e-12 * (1.0 + a.abs()), "{what}[{index}]: {a} and {b}");
    }
}

fn dot(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// Layers of all kinds on inputs of two batch items.
fn layers() -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [
        PaddingMode::Zeros,
        PaddingMode::Constant(1.5),
        PaddingMode::Reflect,
        PaddingMode::Symmetric,
        PaddingMode::Replicate,
        PaddingMode::Circular,
    ];
    for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (3, 2), (2, 4), (5, 1)] {
        for groups in [1, 2] {
            for mode in modes {
                for padding in [Padding::Valid, Padding::Explicit { left: 4, right: 2 }, Padding::Same] {
                    let conv = Conv1d::new(4, 6, 3).stride(stride).dilation(dilation).groups(groups);
                    cases.push(Case::new(conv.padding(padding).padding_mode(mode), [2, 4, 13]));
                }
            }
            let up = ConvTranspose1d::new(4, 6, 3).stride(stride).dilation(dilation).groups(groups);
            cases.push(Case::new(up, [2, 4, 7]));
            let output_padding = stride.max(dilation) - 1;
            cases.push(Case::new(
                up.padding(Padding::Explicit { left: 2, right: 1 }).output_padding(output_padding),
                [2, 4, 7],
            ));
        }
    }
    cases
}

#[test]
fn worked_examples() {
    let forward = |conv: Conv1d, x: &[f32], w: &[f32]| {
        exact(&Oracle::new(conv, [1, 1, x.len()]).unwrap().forward(x, w, None).unwrap())
    };
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(forward(Conv1d::new(1, 1, 3), &x, &[1.0, 0.0, -1.0]), [-2.0, -2.0, -2.0]);
    // A kernel of one tap shows the padding itself.
    let padded = |mode| forward(Conv1d::new(1, 1, 1).padding(Padding::both(2)).padding_mode(mode), &x, &[1.0]);
    assert_eq!(padded(PaddingMode::Zeros), [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0]);
    assert_eq!(padded(PaddingMode::Constant(9.0)), [9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 9.0]);
    assert_eq!(padded(PaddingMode::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4.0, 3.0]);
    assert_eq!(padded(PaddingMode::Symmetric), [2.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 4.0]);
    assert_eq!(padded(PaddingMode::Replicate), [1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0]);
    assert_eq!(padded(PaddingMode::Circular), [4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0]);
    // The transposed Toeplitz matrix of the texts: a signal of 3 spread by a kernel of 3.
    let up = Oracle::new(ConvTranspose1d::new(1, 1, 3), [1, 1, 3]).unwrap();
    assert_eq!(
        exact(&up.forward(&[1.0, 2.0, 3.0], &[1.0, 10.0, 100.0], None).unwrap()),
        [1.0, 12.0, 123.0, 230.0, 300.0]
    );
    let up = Oracle::new(ConvTranspose1d::new(1, 1, 2).stride(3).output_padding(1), [1, 1, 2]).unwrap();
    let y = up.forward(&[1.0, 2.0], &[1.0, 10.0], Some(&[0.5])).unwrap();
    assert_eq!(exact(&y), [1.5, 10.5, 0.5, 2.5, 20.5, 0.5]);
}

#[test]
fn the_toeplitz_matrix_agrees() {
    for case in layers() {
        let (data, shapes) = (Data::new(&case), case.shapes());
        let oracle = Oracle::new(case.layer, case.input).unwrap();
        let [_, channels, length] = case.input;
        let matrix = Toeplitz::new(case.layer, [channels, length], &data.w).unwrap();
        let (rows, columns) = matrix.size();
        assert_eq!(rows * 2, shapes.output.iter().product::<usize>());
        let y: Vec<f64> = data.x.chunks(columns).flat_map(|x| matrix.apply(x).unwrap()).collect();
        assert_close(&y, &exact(&oracle.forward(&data.x, &data.w, None).unwrap()), &format!("{case:?} y"));
        let dx: Vec<f64> = data.dy.chunks(rows).flat_map(|dy| matrix.apply_transposed(dy).unwrap()).collect();
        assert_close(&dx, &exact(&oracle.input_gradient(&data.w, &data.dy).unwrap()), &format!("{case:?} dx"));
    }
}

/// `<conv(x), y> = <x, conv^T(y)>`, the transposed convolution of the same weight.
#[test]
fn transposed_convolution_is_the_adjoint() {
    for (stride, dilation, groups) in [(1, 1, 1), (2, 1, 2), (3, 2, 1), (2, 3, 2)] {
        let length = 25;
        let conv = Conv1d::new(4, 6, 3).stride(stride).dilation(dilation).groups(groups).padding(Padding::both(2));
        let forward = Oracle::new(conv, [2, 4, length]).unwrap();
        let narrow = forward.shapes().output[2];
        // Output padding restores the samples that the stride left out.
        let up =
            ConvTranspose1d::new(6, 4, 3).stride(stride).dilation(dilation).groups(groups).padding(Padding::both(2));
        let lost = length - up.output_shape([2, 6, narrow]).unwrap()[2];
        let back = Oracle::new(up.output_padding(lost), [2, 6, narrow]).unwrap();
        let (x, w, y) = (values(1, 8 * length), values(2, 24 / groups * 3), values(3, 12 * narrow));
        let left = dot(&exact(&forward.forward(&x, &w, None).unwrap()), &y);
        let right = dot(&exact(&back.forward(&y, &w, None).unwrap()), &x);
        assert!((left - right).abs() < 1e-10, "{left} and {right}");
    }
}

/// Gradients equal differences of `<y, dy>`, which is affine in each of its arguments, so that a difference over any step is
/// exact but for rounding.
#[test]
fn gradients_are_differences() {
    for case in layers() {
        let data = Data::new(&case);
        let oracle = Oracle::new(case.layer, case.input).unwrap();
        let loss = |x: &[f32], w: &[f32], b: &[f32]| dot(&exact(&oracle.forward(x, w, Some(b)).unwrap()), &data.dy);
        let check = |operation, values: &[f32], loss_of: &dyn Fn(&[f32]) -> f64| {
            let gradient = exact(&data.exact(&case, operation, true));
            assert_eq!(gradient.len(), values.len());
            for index in (0..values.len()).step_by(5) {
                // A power of two, so that the changed values are exact.
                let mut changed = values.to_vec();
                changed[index] = 4.0;
                let up = loss_of(&changed);
                changed[index] = -4.0;
                let difference = (up - loss_of(&changed)) / 8.0;
                let got = gradient[index];
                assert!((difference - got).abs() < 1e-10, "{case:?} {operation:?}[{index}]: {got}, {difference}");
            }
        };
        check(Operation::InputGradient, &data.x, &|x| loss(x, &data.w, &data.b));
        check(Operation::WeightGradient, &data.w, &|w| loss(&data.x, w, &data.b));
        check(Operation::BiasGradient, &data.b, &|b| loss(&data.x, &data.w, b));
    }
}

#[test]
fn single_elements_are_those_of_the_whole() {
    for case in layers().into_iter().step_by(7) {
        let data = Data::new(&case);
        let oracle = Oracle::new(case.layer, case.input).unwrap();
        for (index, e) in oracle.forward(&data.x, &data.w, Some(&data.b)).unwrap().iter().enumerate().step_by(11) {
            assert_eq!(oracle.forward_at(&data.x, &data.w, Some(&data.b), index).unwrap(), *e);
        }
        for (index, e) in oracle.input_gradient(&data.w, &data.dy).unwrap().iter().enumerate().step_by(11) {
            assert_eq!(oracle.input_gradient_at(&data.w, &data.dy, index).unwrap(), *e);
        }
        for (index, e) in oracle.weight_gradient(&data.x, &data.dy).unwrap().iter().enumerate().step_by(11) {
            assert_eq!(oracle.weight_gradient_at(&data.x, &data.dy, index).unwrap(), *e);
        }
        for (index, e) in oracle.bias_gradient(&data.dy).unwrap().iter().enumerate() {
            assert_eq!(oracle.bias_gradient_at(&data.dy, index).unwrap(), *e);
        }
    }
}

/// The parts of the bound, on a case small enough to count by hand.
#[test]
fn terms_and_bound() {
    let conv = Conv1d::new(1, 1, 3).padding(Padding::both(1));
    let y = Oracle::new(conv, [1, 1, 2]).unwrap().forward(&[1.0, -2.0], &[1.0, 2.0, 4.0], Some(&[8.0])).unwrap();
    // y[0] = 8 + 2*1 - 4*2: the tap on the padding does not count.
    let Exact { value, magnitude, terms, slack, .. } = y[0];
    assert_eq!((value, magnitude, terms, slack), (2.0, 18.0, 2, 0.0));
    let u = 2_f64.powi(-24);
    assert_eq!(gamma(3), 3.0 * u / (1.0 - 3.0 * u));
    assert!((y[0].bound() - gamma(3) * 18.0).abs() < 1e-30);
    assert_eq!(y[0].used(2.0), 0.0);
    assert!(y[0].used(2.0 + 2.0 * f32::EPSILON) <= 1.0);
    assert!(y[0].used(2.00001) > 1.0);
    assert_eq!(y[0].used(f32::NAN), f64::INFINITY);
    assert_eq!(y[0].used(f32::INFINITY), f64::INFINITY);
    assert_eq!(gamma(1 << 24), f64::INFINITY);
    // A sum of no terms is exact or wrong.
    assert_eq!(Exact::default().used(0.0), 0.0);
    assert_eq!(Exact::default().used(1e-30), f64::INFINITY);
}

/// Padding amounts, as TensorFlow, Keras and PyTorch define them.
#[test]
fn padding_amounts() {
    let conv = |padding| Conv1d::new(1, 1, 4).padding(padding);
    let amounts = |padding, stride| conv(padding).stride(stride).padding_amounts(10).unwrap();
    assert_eq!(amounts(Padding::Same, 1), (1, 2));
    assert_eq!(amounts(Padding::SameLower, 1), (2, 1));
    assert_eq!(amounts(Padding::Same, 3), (1, 2));
    assert_eq!(amounts(Padding::Same, 9), (1, 2));
    assert_eq!(amounts(Padding::Causal, 2), (3, 0));
    assert_eq!(amounts(Padding::AntiCausal, 2), (0, 3));
    assert_eq!(amounts(Padding::Full, 1), (3, 3));
    for stride in 1..12 {
        for length in 1..20 {
            let shape = conv(Padding::Same).stride(stride).output_shape([1, 1, length]).unwrap();
            assert_eq!(shape[2], length.div_ceil(stride));
            let up = ConvTranspose1d::new(1, 1, 4).stride(stride).padding(Padding::Same);
            assert_eq!(up.output_shape([1, 1, length]).unwrap()[2], length * stride);
            for padding in [Padding::Causal, Padding::AntiCausal] {
                let up = ConvTranspose1d::new(1, 1, 4).stride(stride).padding(padding);
                assert_eq!(up.output_shape([1, 1, length]).unwrap()[2], length * stride);
            }
        }
    }
}

/// The padded input, compared with the results of `numpy.pad` for `[1, 2, 3, 4]`.
#[test]
fn padded_inputs_are_those_of_numpy() {
    let x = [1.0, 2.0, 3.0, 4.0];
    for (mode, expected) in [
        (PaddingMode::Zeros, [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0]),
        (PaddingMode::Constant(7.0), [7.0, 7.0, 1.0, 2.0, 3.0, 4.0, 7.0, 7.0, 7.0]),
        (PaddingMode::Reflect, [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]),
        (PaddingMode::Symmetric, [2.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0]),
        (PaddingMode::Replicate, [1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]),
        (PaddingMode::Circular, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0]),
    ] {
        let conv = Conv1d::new(1, 1, 3).padding(Padding::Explicit { left: 2, right: 3 }).padding_mode(mode);
        let oracle = Oracle::new(conv, [1, 1, 4]).unwrap();
        let (positions, values): (Vec<i64>, Vec<f32>) = oracle
            .padded()
            .map(|(position, padded)| match padded {
                Padded::Sample(index) => (position, x[index]),
                Padded::Constant(value) => (position, value),
                Padded::Nothing => (position, 0.0),
            })
            .unzip();
        assert_eq!(positions, (-2..7).collect::<Vec<_>>());
        assert_eq!(values, expected, "{mode}");
    }
}

/// Changing `x[t]` changes no causal output before `t`, and no anti-causal output after `t`.
#[test]
fn causal_padding_is_causal() {
    let support = |layer: Layer, length: usize, t: usize| {
        let oracle = Oracle::new(layer, [1, 1, length]).unwrap();
        let mut x = vec![0.0; length];
        x[t] = 1.0;
        let w = vec![1.0; oracle.shapes().weight.iter().product()];
        let y = oracle.forward(&x, &w, None).unwrap();
        let reached: Vec<usize> = (0..y.len()).filter(|&i| y[i].value != 0.0).collect();
        (reached.first().copied(), reached.last().copied())
    };
    for (stride, dilation) in [(1, 1), (1, 3), (3, 1), (2, 2)] {
        for t in 0..12 {
            let conv = Conv1d::new(1, 1, 3).stride(stride).dilation(dilation);
            let up = ConvTranspose1d::new(1, 1, 3).stride(stride).dilation(dilation);
            if let (Some(first), _) = support(conv.padding(Padding::Causal).into(), 12, t) {
                assert!(first * stride >= t);
            }
            if let (_, Some(last)) = support(conv.padding(Padding::AntiCausal).into(), 12, t) {
                assert!(last * stride <= t);
            }
            if let (Some(first), _) = support(up.padding(Padding::Causal).into(), 12, t) {
                assert!(first / stride >= t);
            }
        }
    }
}
