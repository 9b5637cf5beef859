//! Every kernel on tables of cases, each named after the branch it reaches, and on all tiny shapes.

use crate::harness::{Case, assert_case, candidates, checked_gpu, gpu};
use conv1d::{Conv1d, ConvTranspose1d, Operation, Padding, PaddingMode, PlanOptions};
use std::collections::BTreeSet;

const MODES: [PaddingMode; 6] = [
    PaddingMode::Zeros,
    PaddingMode::Constant(-0.75),
    PaddingMode::Reflect,
    PaddingMode::Symmetric,
    PaddingMode::Replicate,
    PaddingMode::Circular,
];

const PADDINGS: [Padding; 8] = [
    Padding::Valid,
    Padding::Explicit { left: 3, right: 1 },
    Padding::Explicit { left: 0, right: 4 },
    Padding::Same,
    Padding::SameLower,
    Padding::Causal,
    Padding::AntiCausal,
    Padding::Full,
];

/// The name of a branch, and a case that reaches it.
pub(crate) fn named() -> Vec<(&'static str, Case)> {
    let conv = |i, o, k| Conv1d::new(i, o, k);
    let up = |i, o, k| ConvTranspose1d::new(i, o, k);
    vec![
        ("one sample, one tap", Case::new(conv(1, 1, 1), [1, 1, 1])),
        ("the worked example of the texts", Case::new(conv(1, 1, 3), [1, 1, 5])),
        ("one short of a position tile", Case::new(conv(2, 8, 3), [1, 2, 4 * 64 + 1])),
        ("a whole position tile", Case::new(conv(2, 8, 3), [1, 2, 4 * 64 + 2])),
        ("one over a position tile", Case::new(conv(2, 8, 3), [1, 2, 4 * 64 + 3])),
        ("one short of a row tile", Case::new(conv(3, 31, 3), [2, 3, 40])),
        ("one over a row tile", Case::new(conv(3, 33, 3), [2, 3, 40])),
        ("rows one over the lanes of the widest tile", Case::new(conv(3, 65, 1), [1, 3, 3])),
        ("one short of a panel across the batch", Case::new(conv(2, 3, 2), [9, 2, 8])),
        ("one over a panel across the batch", Case::new(conv(2, 3, 2), [5, 2, 14])),
        ("depth one short of what is staged", Case::new(conv(5, 4, 3), [1, 5, 70])),
        ("depth one over what is staged", Case::new(conv(17, 4, 1), [1, 17, 70])),
        ("columns one over a tile of the weight gradient", Case::new(conv(11, 9, 3), [2, 11, 50])),
        ("many rows of few positions", Case::new(conv(16, 200, 4), [1, 16, 5])),
        ("output of one sample", Case::new(conv(3, 5, 7), [4, 3, 7])),
        ("kernel longer than the input", Case::new(conv(2, 3, 9).padding(Padding::both(6)), [2, 2, 4])),
        ("kernel far longer than the input", Case::new(conv(2, 3, 90).padding(Padding::Full), [2, 2, 4])),
        (
            "kernel far longer than the input, strided and dilated",
            Case::new(conv(2, 3, 81).stride(3).dilation(2).padding(Padding::both(165)), [2, 2, 9]),
        ),
        (
            "kernel far longer than the input, groups",
            Case::new(conv(4, 6, 70).groups(2).padding(Padding::both(69)), [3, 4, 2]),
        ),
        ("kernel far longer than the gradient", Case::new(conv(2, 3, 300), [1, 2, 311])),
        ("kernel far longer than the strided gradient", Case::new(conv(1, 2, 700).stride(2), [2, 1, 713])),
        ("transposed, kernel far longer than the input", Case::new(up(2, 3, 200).stride(2), [2, 2, 3])),
        ("padding beyond the whole input", Case::new(conv(1, 2, 2).padding(Padding::both(20)), [1, 1, 3])),
        ("stride longer than the kernel", Case::new(conv(2, 4, 2).stride(5), [2, 2, 33])),
        ("stride longer than the input", Case::new(conv(2, 4, 3).stride(100), [2, 2, 9])),
        ("stride and dilation without a common factor", Case::new(conv(2, 4, 5).stride(3).dilation(4), [2, 2, 40])),
        ("stride and dilation with a common factor", Case::new(conv(2, 4, 5).stride(4).dilation(6), [2, 2, 60])),
        ("stride a multiple of the dilation", Case::new(conv(2, 4, 5).stride(6).dilation(2), [2, 2, 40])),
        ("dilation a multiple of the stride", Case::new(conv(2, 4, 3).stride(2).dilation(8), [2, 2, 40])),
        ("depthwise", Case::new(conv(7, 7, 5).groups(7).padding(Padding::Same), [3, 7, 33])),
        ("depthwise with a multiplier", Case::new(conv(5, 15, 4).groups(5), [2, 5, 33])),
        ("groups", Case::new(conv(12, 18, 3).groups(3).stride(2), [2, 12, 31])),
        ("groups of many rows", Case::new(conv(4, 140, 2).groups(2), [2, 4, 21])),
        ("one input channel, long kernel", Case::new(conv(1, 4, 251), [2, 1, 600])),
        ("one output channel", Case::new(conv(40, 1, 3), [2, 40, 50])),
        ("empty batch", Case::new(conv(3, 4, 3), [0, 3, 10])),
        (
            "empty batch, copied padding",
            Case::new(conv(3, 4, 3).padding(Padding::both(1)).padding_mode(PaddingMode::Reflect), [0, 3, 10]),
        ),
        ("long enough to split the weight gradient", Case::new(conv(2, 3, 3), [3, 2, 5000])),
        ("long enough to split the bias gradient", Case::new(conv(1, 2, 1), [2, 1, 9000])),
        ("transposed, one sample", Case::new(up(1, 1, 1), [1, 1, 1])),
        ("transposed, stride of the kernel", Case::new(up(6, 4, 4).stride(4), [2, 6, 21])),
        ("transposed, outputs that nothing reaches", Case::new(up(3, 4, 2).stride(5), [2, 3, 9])),
        ("transposed, output padding", Case::new(up(3, 4, 3).stride(4).output_padding(3), [2, 3, 9])),
        ("transposed, output padding by dilation", Case::new(up(3, 4, 3).dilation(4).output_padding(3), [2, 3, 9])),
        ("transposed, cropped", Case::new(up(8, 6, 16).stride(8).padding(Padding::both(4)), [1, 8, 30])),
        (
            "transposed, cropped into the middle",
            Case::new(up(2, 3, 3).padding(Padding::Explicit { left: 6, right: 3 }), [2, 2, 12]),
        ),
        (
            "transposed, groups, stride and dilation",
            Case::new(
                up(6, 9, 5).groups(3).stride(3).dilation(2).padding(Padding::both(2)).output_padding(1),
                [2, 6, 14],
            ),
        ),
        ("long kernel of one channel: texels of taps", Case::new(conv(1, 3, 39).padding(Padding::Same), [2, 1, 150])),
        ("its taps no multiple of four, strided", Case::new(conv(1, 9, 21).stride(4), [3, 1, 200])),
        ("many channels: texels of rows, shifted", Case::new(conv(18, 10, 5).padding(Padding::Same), [2, 18, 120])),
        ("strided against dilated: shifts of two taps", Case::new(conv(5, 9, 7).stride(2).dilation(3), [2, 5, 130])),
        ("dilated: taps in whole steps of four", Case::new(conv(2, 9, 8).dilation(3), [2, 2, 150])),
        ("dilation beyond the row", Case::new(conv(3, 4, 3).dilation(90).padding(Padding::Causal), [2, 3, 70])),
        ("padding alone between samples", Case::new(conv(1, 1, 1).stride(100).padding(Padding::both(5)), [1, 1, 3])),
        ("rows of a tile and one more", Case::new(conv(9, 65, 3).padding(Padding::Same), [1, 9, 270])),
        ("transposed, depthwise", Case::new(up(5, 5, 12).groups(5).stride(2), [2, 5, 20])),
        ("transposed, empty batch", Case::new(up(3, 4, 3), [0, 3, 10])),
    ]
}

#[test]
fn named_cases() {
    for (name, case) in named() {
        println!("{name}");
        assert_case(gpu(), &case);
    }
}

/// The cost model chooses the form of a shader: the cases reach every form.
#[test]
fn named_cases_reach_every_form() {
    let value = |text: &str, name: &str| -> Option<String> {
        let rest = text.split_once(&format!("const {name}: u32 = "))?.1;
        Some(rest.split_once('u')?.0.to_owned())
    };
    let mut reached = BTreeSet::new();
    for (_, case) in named() {
        for operation in Operation::ALL {
            for plan in candidates(gpu(), &case, operation, &PlanOptions::default()) {
                for (name, text) in plan.shaders().unwrap() {
                    let constants = ["SHIFTED", "CLAMPED", "TEXEL_TAPS", "IN_STEP", "WHOLE", "REST", "ADJACENT"];
                    let form: Vec<String> = constants.iter().filter_map(|constant| value(&text, constant)).collect();
                    // Sampled and storage textures are read by the same loops.
                    reached.insert((name.trim_end_matches("_storage").to_owned(), form.join(" ")));
                }
            }
        }
    }
    for (name, form) in [
        ("direct", "0 0"),
        ("direct", "0 1"),
        ("direct", "1 0"),
        ("direct", "1 1"),
        ("contract", "0 0"),
        ("contract", "0 1"),
        ("contract", "1 0"),
        ("contract", "1 1"),
        ("texels", "0 0"),
        ("texels", "0 1"),
        ("texels", "1 0"),
        ("texels", "1 1"),
        ("contract_texels", "0"),
        ("contract_texels", "1"),
        ("tiled", "0"),
        ("tiled", "1"),
        ("tiled", "2"),
        ("window", "0 0 0"),
        ("window", "0 0 1"),
        ("window", "0 1 0"),
        ("window", "0 1 1"),
        ("window", "1 0 0"),
        ("window", "1 0 1"),
    ] {
        assert!(reached.contains(&(name.to_owned(), form.to_owned())), "{name} {form:?} is not in {reached:?}");
    }
}

/// The same with shaders that check every index, which the unchecked shaders rely on.
#[test]
fn named_cases_checked() {
    for (name, case) in named() {
        println!("{name}");
        assert_case(checked_gpu(), &case);
    }
}

/// Every padding, every mode, strides and dilations with and without common factors.
#[test]
fn all_paddings_and_modes() {
    let mut count = 0;
    for padding in PADDINGS {
        for mode in MODES {
            for (stride, dilation) in [(1, 1), (2, 1), (1, 3), (3, 2), (2, 2)] {
                let conv = Conv1d::new(4, 6, 3).groups(2).stride(stride).dilation(dilation);
                let case = Case::new(conv.padding(padding).padding_mode(mode), [2, 4, 11]);
                if case.layer.shapes(case.input).is_ok() {
                    assert_case(gpu(), &case);
                    count += 1;
                }
            }
        }
    }
    assert!(count >= 200, "only {count} cases exist");
}

#[test]
fn all_paddings_transposed() {
    for padding in PADDINGS {
        for (stride, dilation, output_padding) in [(1, 1, 0), (2, 1, 1), (1, 3, 2), (3, 2, 0), (2, 4, 3), (5, 1, 4)] {
            let conv = ConvTranspose1d::new(4, 6, 4).groups(2).stride(stride).dilation(dilation);
            let case = Case::new(conv.padding(padding).output_padding(output_padding), [2, 4, 13]);
            assert_case(gpu(), &case);
        }
    }
}

/// Padding at the limit of each mode, or beyond the whole input on both sides.
#[test]
fn widest_padding_of_every_mode() {
    for (mode, widest) in [
        (PaddingMode::Reflect, 5),
        (PaddingMode::Symmetric, 6),
        (PaddingMode::Circular, 6),
        (PaddingMode::Replicate, 17),
        (PaddingMode::Constant(2.0), 17),
    ] {
        for stride in [1, 2, 5] {
            let conv = Conv1d::new(2, 3, 4).stride(stride).padding(Padding::both(widest)).padding_mode(mode);
            assert_case(gpu(), &Case::new(conv, [2, 2, 6]));
        }
    }
}

/// Padding that repeats the input more than once, as the caller requests.
#[test]
fn padding_beyond_one_repetition() {
    for mode in [PaddingMode::Reflect, PaddingMode::Symmetric, PaddingMode::Circular, PaddingMode::Replicate] {
        for length in 1..=4 {
            for (left, right) in [(1, 2), (length, length), (3, 0), (0, 9), (8, 13), (30, 1)] {
                for (stride, dilation) in [(1, 1), (3, 2)] {
                    let conv = Conv1d::new(2, 4, 3).groups(2).stride(stride).dilation(dilation).unbounded_padding(true);
                    let conv = conv.padding(Padding::Explicit { left, right }).padding_mode(mode);
                    let case = Case::new(conv, [2, 2, length]);
                    if case.layer.shapes(case.input).is_ok() {
                        assert_case(gpu(), &case);
                    }
                }
            }
        }
    }
}

/// All tiny shapes: every length, kernel, stride, dilation and padding up to a few.
#[test]
fn tiny_shapes_exhaustively() {
    let mut count = 0;
    for length in 1..=4 {
        for kernel in 1..=3 {
            for stride in 1..=3 {
                for dilation in 1..=2 {
                    for left in 0..=1 {
                        for right in 0..=1 {
                            let padding = Padding::Explicit { left, right };
                            let conv = Conv1d::new(2, 2, kernel).stride(stride).dilation(dilation).padding(padding);
                            let case = Case::new(conv, [1, 2, length]);
                            if case.layer.shapes(case.input).is_ok() {
                                assert_case(gpu(), &case);
                                count += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(count >= 150, "only {count} cases exist");
}

#[test]
fn tiny_transposed_shapes_exhaustively() {
    let mut count = 0;
    for length in 1..=3 {
        for kernel in 1..=3 {
            for stride in 1..=3 {
                for dilation in 1..=2 {
                    for output_padding in 0..=2 {
                        let conv = ConvTranspose1d::new(2, 2, kernel).stride(stride).dilation(dilation);
                        let case = Case::new(conv.output_padding(output_padding), [1, 2, length]);
                        if case.layer.shapes(case.input).is_ok() {
                            assert_case(gpu(), &case);
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(count >= 90, "only {count} cases exist");
}
