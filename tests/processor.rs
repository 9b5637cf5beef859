//! The fast path on the processor, tested against the same bound as the kernels.
#![cfg(feature = "cpu")]

use crate::harness::{Case, Data, assert_promise};
use conv1d::{Conv1d, ConvTranspose1d, Operation, Padding, PaddingMode, cpu};

fn run(case: &Case, operation: Operation, data: &Data, bias: bool) -> Vec<f32> {
    let Case { layer, input, .. } = *case;
    match operation {
        Operation::Forward => cpu::forward(layer, input, &data.x, &data.w, bias.then_some(&data.b[..])),
        Operation::InputGradient => cpu::input_gradient(layer, input, &data.w, &data.dy),
        Operation::WeightGradient => cpu::weight_gradient(layer, input, &data.x, &data.dy),
        Operation::BiasGradient => cpu::bias_gradient(layer, input, &data.dy),
        other => panic!("{other:?} is not computed on the processor"),
    }
    .unwrap()
}

fn assert_case(case: &Case) {
    let data = Data::new(case);
    for operation in Operation::ALL {
        let bias = case.input[2].is_multiple_of(2);
        let got = run(case, operation, &data, bias);
        assert_promise(&got, &data.exact(case, operation, bias), &format!("{case:?} {operation:?}"));
        assert_eq!(got, run(case, operation, &data, bias), "{case:?} {operation:?}: two runs differ");
    }
}

#[test]
fn convolutions() {
    let modes = [
        PaddingMode::Zeros,
        PaddingMode::Constant(0.5),
        PaddingMode::Reflect,
        PaddingMode::Symmetric,
        PaddingMode::Replicate,
        PaddingMode::Circular,
    ];
    let mut count = 0;
    for mode in modes {
        for (i, o, groups) in [(1, 1, 1), (3, 7, 1), (8, 12, 2), (6, 6, 6), (4, 12, 4), (1, 9, 1), (9, 1, 1)] {
            for (kernel, stride, dilation) in [(1, 1, 1), (3, 1, 1), (4, 2, 1), (3, 1, 5), (5, 3, 2), (2, 7, 3)] {
                for padding in [Padding::Valid, Padding::Same, Padding::Causal, Padding::Full, Padding::both(9)] {
                    for (n, l) in [(0, 12), (1, 17), (3, 64)] {
                        let conv = Conv1d::new(i, o, kernel).stride(stride).dilation(dilation).groups(groups);
                        let case = Case::new(conv.padding(padding).padding_mode(mode), [n, i, l]);
                        if case.layer.shapes(case.input).is_ok() {
                            assert_case(&case);
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(count > 3000, "only {count} cases exist");
}

#[test]
fn transposed_convolutions() {
    for (i, o, groups) in [(1, 1, 1), (7, 3, 1), (8, 12, 2), (6, 6, 6), (9, 1, 1)] {
        for (kernel, stride, dilation) in [(1, 1, 1), (3, 1, 1), (4, 2, 1), (3, 1, 5), (5, 3, 2), (2, 7, 3)] {
            for (padding, output_padding) in [(Padding::Valid, 0), (Padding::Same, 0), (Padding::both(1), stride - 1)] {
                for (n, l) in [(0, 12), (1, 17), (3, 64)] {
                    let conv = ConvTranspose1d::new(i, o, kernel).stride(stride).dilation(dilation).groups(groups);
                    let case = Case::new(conv.padding(padding).output_padding(output_padding), [n, i, l]);
                    assert_case(&case);
                }
            }
        }
    }
}

/// Sizes around those of the blocks into which long signals and deep sums are cut.
#[test]
fn block_edges() {
    for length in [2047, 2048, 2049, 4100] {
        assert_case(&Case::new(Conv1d::new(1, 2, 3).padding(Padding::Same), [2, 1, length]));
        assert_case(&Case::new(Conv1d::new(1, 2, 300).padding(Padding::Full), [1, 1, length]));
        assert_case(&Case::new(
            Conv1d::new(2, 2, 7).stride(2).dilation(40).padding(Padding::both(150)),
            [1, 2, length],
        ));
        assert_case(&Case::new(ConvTranspose1d::new(2, 1, 16).stride(4), [1, 2, length]));
    }
    assert_case(&Case::new(Conv1d::new(300, 6, 5), [2, 300, 40]));
    assert_case(&Case::new(Conv1d::new(3, 6, 700), [1, 3, 900]));
}

#[test]
fn wrong_lengths_are_refused() {
    let conv = Conv1d::new(2, 3, 3);
    assert!(cpu::forward(conv, [1, 2, 9], &[0.0; 17], &[0.0; 18], None).is_err());
    assert!(cpu::forward(conv, [1, 2, 9], &[0.0; 18], &[0.0; 17], None).is_err());
    assert!(cpu::forward(conv, [1, 2, 9], &[0.0; 18], &[0.0; 18], Some(&[0.0; 2])).is_err());
    assert!(cpu::input_gradient(conv, [1, 2, 9], &[0.0; 18], &[0.0; 20]).is_err());
    assert!(cpu::input_gradient(conv, [usize::MAX, 2, 9], &[0.0; 18], &[0.0; 20]).is_err());
    assert!(cpu::bias_gradient_into(conv, [1, 2, 9], &[0.0; 21], &mut [0.0; 2]).is_err());
}
