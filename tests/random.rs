//! Random calls, sensible and absurd: no panic and no wrong result. A failure shrinks to the smallest case that fails.

use crate::harness::{Case, Data, assert_operation, gpu};
use conv1d::{Caps, Conv1d, ConvTranspose1d, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn padding(most: usize) -> impl Strategy<Value = Padding> {
    prop_oneof![
        3 => (0..=most, 0..=most).prop_map(|(left, right)| Padding::Explicit { left, right }),
        1 => prop::sample::select(vec![
            Padding::Valid,
            Padding::Same,
            Padding::SameLower,
            Padding::Causal,
            Padding::AntiCausal,
            Padding::Full,
        ]),
    ]
}

fn mode() -> impl Strategy<Value = PaddingMode> {
    prop::sample::select(vec![
        PaddingMode::Zeros,
        PaddingMode::Zeros,
        PaddingMode::Constant(1.5),
        PaddingMode::Reflect,
        PaddingMode::Symmetric,
        PaddingMode::Replicate,
        PaddingMode::Circular,
    ])
}

/// Layers of sensible sizes on input shapes; not all of them are valid.
fn sensible() -> impl Strategy<Value = (Layer, [usize; 3])> {
    let sizes = (0..=3_usize, 1..=5_usize, 1..=5_usize, 1..=4_usize, 1..=90_usize);
    let steps = (1..=9_usize, 1..=5_usize, 1..=5_usize, 0..=3_usize);
    let kind = (mode(), any::<bool>(), any::<bool>());
    (sizes, steps, padding(7), kind).prop_map(
        |((n, i, o, groups, l), (kernel, stride, dilation, output_padding), padding, (mode, unbounded, transposed))| {
            let (i, o) = (i * groups, o * groups);
            let layer = if transposed {
                let conv = ConvTranspose1d::new(i, o, kernel).stride(stride).dilation(dilation).groups(groups);
                conv.padding(padding).output_padding(output_padding).into()
            } else {
                let conv = Conv1d::new(i, o, kernel).stride(stride).dilation(dilation).groups(groups);
                conv.padding(padding).padding_mode(mode).unbounded_padding(unbounded).into()
            };
            (layer, [n, i, l])
        },
    )
}

/// Any `usize`, with a preference for small numbers and the edges of integer types.
fn absurd() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..=9_usize,
        2 => 0..=100_000_usize,
        1 => any::<usize>(),
        1 => prop::sample::select(vec![
            0,
            1,
            65_535,
            65_536,
            i32::MAX as usize,
            i32::MAX as usize + 1,
            u32::MAX as usize,
            u32::MAX as usize + 1,
            usize::MAX - 1,
            usize::MAX,
        ]),
    ]
}

fn absurd_layer() -> impl Strategy<Value = (Layer, [usize; 3])> {
    let shape = (absurd(), absurd(), absurd(), absurd(), any::<bool>());
    let steps = (absurd(), absurd(), absurd(), absurd(), absurd());
    let padding =
        prop_oneof![(absurd(), absurd()).prop_map(|(left, right)| Padding::Explicit { left, right }), padding(3),];
    (shape, steps, padding, (mode(), any::<bool>(), any::<bool>())).prop_map(
        |(
            (n, c, o, l, depthwise),
            (kernel, stride, dilation, groups, output_padding),
            padding,
            (mode, unbounded, transposed),
        )| {
            // Depthwise half of the time, since hardly any random number of groups divides the channels.
            let groups = if depthwise { c } else { groups };
            let layer = if transposed {
                let conv = ConvTranspose1d::new(c, o, kernel).stride(stride).dilation(dilation).groups(groups);
                conv.padding(padding).output_padding(output_padding).into()
            } else {
                let conv = Conv1d::new(c, o, kernel).stride(stride).dilation(dilation).groups(groups);
                conv.padding(padding).padding_mode(mode).unbounded_padding(unbounded).into()
            };
            (layer, [n, c, l])
        },
    )
}

/// Seeds of failures are kept in `tests/proptest-regressions` and tried first in the next run, until the failure is a named case.
fn config() -> ProptestConfig {
    let kept =
        FileFailurePersistence::Direct(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions/random.txt"));
    ProptestConfig { failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..config() })]

    /// Every kernel computes every valid call correctly.
    #[test]
    fn sensible_calls_are_right((layer, input) in sensible()) {
        prop_assume!(layer.shapes(input).is_ok());
        let case = Case::new(layer, input);
        let data = Data::new(&case);
        for operation in Operation::ALL {
            assert_operation(gpu(), &case, operation, &data, &PlanOptions::default());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..config() })]

    /// Every call is planned or refused with an error, on devices with small and usual limits.
    #[test]
    fn absurd_calls_are_planned_or_refused((layer, input) in absurd_layer(), small in any::<bool>(), workspace in absurd()) {
        let caps = if small { Caps::WEBGPU.with(|caps| caps.max_binding_bytes = 4096) } else { Caps::WEBGPU };
        // Plans of billions of slices would only take long.
        let shapes = layer.shapes(input);
        let elements = shapes.as_ref().map(|s| {
            [&*s.input, &s.weight, &*s.output].iter().map(|d| d.iter().map(|&d| d as u64).product::<u64>()).max().unwrap_or(0)
        });
        prop_assume!(elements.as_ref().map_or(true, |&n| n < 1 << 22 || !small));
        for operation in Operation::ALL {
            let options = PlanOptions::default().workspace_bytes(workspace as u64);
            match Plan::new(layer, operation, input, &caps, &options) {
                Ok(plan) => {
                    prop_assert!(shapes.is_ok());
                    prop_assert!(plan.workspace_bytes() <= workspace as u64);
                    prop_assert!(!plan.to_string().is_empty());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
