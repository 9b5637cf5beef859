//! The same plan on the same device gives the same bits every time.

use crate::harness::{Case, Data, Written, candidates, checked_gpu, gpu, run};
use conv1d::{Activation, Conv1d, ConvTranspose1d, Operation, Padding, PaddingMode, PlanOptions, Residual};

fn cases() -> [Case; 4] {
    let fused = Conv1d::new(3, 5, 3).activation(Activation::Gelu).residual(Residual::AfterActivation);
    [
        // Long enough for the reductions to be split.
        Case::new(Conv1d::new(4, 6, 5).groups(2).padding(Padding::Same), [4, 4, 3001]),
        Case::new(Conv1d::new(3, 3, 4).padding(Padding::both(2)).padding_mode(PaddingMode::Circular), [2, 3, 1200]),
        Case::new(ConvTranspose1d::new(4, 3, 6).stride(3), [2, 4, 800]),
        Case::new(fused, [2, 3, 300]),
    ]
}

fn bits(written: &[Written]) -> Vec<Vec<u32>> {
    let bits = |values: &[f32]| values.iter().map(|f| f.to_bits()).collect();
    written.iter().map(|w| bits(&[&w.output[..], w.pre_activation.as_deref().unwrap_or_default()].concat())).collect()
}

#[test]
fn repeated_runs_are_bit_equal() {
    for case in cases() {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            let plans = candidates(gpu(), &case, operation, &PlanOptions::default());
            let first = bits(&run(gpu(), &plans, &data, true));
            for _ in 0..4 {
                assert_eq!(first, bits(&run(gpu(), &plans, &data, true)), "{case:?} {operation:?}");
            }
        }
    }
}

/// The checks change results only where an index is wrong.
#[test]
fn checked_and_unchecked_shaders_agree() {
    for case in cases() {
        let data = Data::new(&case);
        for operation in Operation::ALL {
            let plans = candidates(gpu(), &case, operation, &PlanOptions::default());
            let unchecked = bits(&run(gpu(), &plans, &data, true));
            assert_eq!(unchecked, bits(&run(checked_gpu(), &plans, &data, true)), "{case:?} {operation:?}");
        }
    }
}
