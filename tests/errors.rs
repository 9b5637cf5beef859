//! Bad input of any kind gives a typed error with the numbers in it.

use crate::harness::gpu;
use conv1d::{
    Caps, Conv1d, ConvTranspose1d, Error, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions, cpu,
    receptive_field,
    reference::{Oracle, Toeplitz},
};

fn refused(layer: impl Into<Layer>, input: [usize; 3]) -> Error {
    let layer = layer.into();
    let error = layer.shapes(input).unwrap_err();
    // Every entry point returns the same error.
    for operation in Operation::ALL {
        let plan = Plan::new(layer, operation, input, &Caps::WEBGPU, &PlanOptions::default());
        assert_eq!(plan.unwrap_err(), error);
    }
    assert_eq!(Oracle::new(layer, input).unwrap_err(), error);
    assert_eq!(layer.cost(input).unwrap_err(), error);
    assert_eq!(cpu::forward(layer, input, &[], &[], None).unwrap_err(), error);
    error
}

#[test]
fn arguments_of_zero() {
    let ok = Conv1d::new(4, 6, 3);
    for (conv, argument) in [
        (Conv1d::new(0, 6, 3), "in_channels"),
        (Conv1d::new(4, 0, 3), "out_channels"),
        (Conv1d::new(4, 6, 0), "kernel_size"),
        (ok.stride(0), "stride"),
        (ok.dilation(0), "dilation"),
        (ok.groups(0), "groups"),
    ] {
        assert_eq!(refused(conv, [1, conv.in_channels, 10]), Error::Zero { argument });
    }
    let up = ConvTranspose1d::new(4, 6, 3);
    assert_eq!(refused(up.stride(0), [1, 4, 10]), Error::Zero { argument: "stride" });
    assert_eq!(refused(up.groups(0), [1, 4, 10]), Error::Zero { argument: "groups" });
    assert_eq!(refused(ok, [1, 4, 0]), Error::Zero { argument: "length" });
    // Functions that only count do not divide by zero.
    assert_eq!(ok.groups(0).parameters(true), 6);
    assert_eq!(receptive_field(&[Conv1d::new(1, 1, 0)]), 1);
}

#[test]
fn groups_that_do_not_divide() {
    let error = refused(Conv1d::new(8, 6, 3).groups(3), [1, 8, 10]);
    assert_eq!(error.to_string(), "groups 3 does not divide in_channels 8");
    let error = refused(ConvTranspose1d::new(6, 8, 3).groups(3), [1, 6, 10]);
    assert_eq!(error.to_string(), "groups 3 does not divide out_channels 8");
}

#[test]
fn wrong_input_shapes() {
    let conv = Conv1d::new(4, 6, 3);
    assert!(matches!(refused(conv, [1, 5, 10]), Error::Shape { .. }));
    let error = conv.shapes([5, 10]).unwrap_err();
    assert_eq!(error.to_string(), "the input has the shape [5, 10], expected [N, 4, L] or [4, L]");
    assert_eq!(conv.shapes([4, 0]).unwrap_err(), Error::Zero { argument: "length" });
    assert!(conv.shapes([1, 1, 4, 10]).is_err());
    assert!(conv.shapes([0_usize; 0]).is_err());
}

#[test]
fn inputs_too_short() {
    assert_eq!(refused(Conv1d::new(1, 1, 5), [1, 1, 4]), Error::KernelTooLong { span: 5, padded: 4 });
    let dilated = Conv1d::new(1, 1, 3).dilation(4).padding(Padding::both(2));
    assert_eq!(refused(dilated, [1, 1, 4]), Error::KernelTooLong { span: 9, padded: 8 });
    assert!(dilated.output_shape([1, 1, 5]).is_ok());
}

#[test]
fn padding_that_a_mode_cannot_give() {
    for (mode, limit) in [(PaddingMode::Reflect, 4), (PaddingMode::Symmetric, 5), (PaddingMode::Circular, 5)] {
        let conv = |left, right| Conv1d::new(1, 1, 2).padding(Padding::Explicit { left, right }).padding_mode(mode);
        assert!(conv(limit, limit).output_shape([1, 1, 5]).is_ok());
        for (conv, side) in [(conv(limit + 1, 0), "left"), (conv(0, limit + 1), "right")] {
            let amount = limit as u64 + 1;
            let limit = limit as u64;
            let expected = Error::PaddingTooLong { mode: mode.name(), side, amount, length: 5, limit };
            assert_eq!(refused(conv, [1, 1, 5]), expected);
        }
    }
}

#[test]
fn output_padding_and_crops() {
    let up = ConvTranspose1d::new(2, 2, 3).stride(2).dilation(3);
    assert!(up.output_padding(2).output_shape([1, 2, 5]).is_ok());
    assert_eq!(
        refused(up.output_padding(3), [1, 2, 5]),
        Error::OutputPadding { output_padding: 3, stride: 2, dilation: 3 }
    );
    let cropped = ConvTranspose1d::new(2, 2, 3).padding(Padding::Explicit { left: 4, right: 3 });
    assert_eq!(refused(cropped, [1, 2, 5]), Error::EmptyOutput { full: 7, cropped: 7 });
}

#[test]
fn numbers_beyond_32_bits() {
    let big = i32::MAX as usize + 1;
    assert!(matches!(refused(Conv1d::new(1, 1, 1).stride(big), [1, 1, 1]), Error::TooLarge { what: "stride", .. }));
    assert!(matches!(refused(Conv1d::new(1, 1, 1).dilation(usize::MAX), [1, 1, 1]), Error::TooLarge { .. }));
    let padded = Conv1d::new(1, 1, 1).padding(Padding::both(big / 2));
    assert!(matches!(refused(padded, [1, 1, 2]), Error::TooLarge { what: "padded length", .. }));
    let padded = Conv1d::new(1, 1, 1).padding(Padding::both(usize::MAX));
    assert!(matches!(refused(padded, [1, 1, 2]), Error::TooLarge { what: "padded length", .. }));
    assert!(matches!(
        refused(Conv1d::new(1 << 20, 1 << 20, 1), [1, 1 << 20, 1]),
        Error::TooLarge { what: "elements of the weight", .. }
    ));
    assert!(matches!(
        refused(Conv1d::new(1 << 16, 1, 1), [1 << 10, 1 << 16, 1 << 10]),
        Error::TooLarge { what: "elements of the input", .. }
    ));
    let up = ConvTranspose1d::new(1, 1, 1).stride(1 << 20);
    assert!(matches!(refused(up, [1, 1, 1 << 20]), Error::TooLarge { .. }));
}

#[test]
fn unknown_and_unsuitable_kernels() {
    let conv = Conv1d::new(1, 1, 3);
    let plan = |operation, kernel: &str| {
        let options = PlanOptions::default().kernel(kernel);
        Plan::new(conv, operation, [1, 1, 9], &Caps::WEBGPU, &options)
    };
    let error = plan(Operation::Forward, "winograd").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no kernel is called \"winograd\"; there are {}", conv1d::kernels().join(", "))
    );
    assert!(matches!(plan(Operation::Forward, "direct/3x3").unwrap_err(), Error::Unsupported { kernel: "direct", .. }));
    assert!(matches!(plan(Operation::BiasGradient, "direct").unwrap_err(), Error::Unsupported { .. }));
    assert!(matches!(plan(Operation::Forward, "sums").unwrap_err(), Error::Unsupported { kernel: "sums", .. }));
    assert_eq!(plan(Operation::Forward, "direct/4x4").unwrap().variant().to_string(), "direct/4x4");
}

#[test]
fn wrong_host_data() {
    let oracle = Oracle::new(Conv1d::new(2, 3, 3), [1, 2, 9]).unwrap();
    let expected = Error::DataLength { tensor: "x", got: 17, expected: 18 };
    assert_eq!(oracle.forward(&[0.0; 17], &[0.0; 18], None).unwrap_err(), expected);
    assert!(oracle.forward_at(&[0.0; 18], &[0.0; 18], None, 21).is_err());
    assert!(oracle.bias_gradient_at(&[0.0; 21], 3).is_err());
    assert!(Toeplitz::new(Conv1d::new(2, 3, 3), [2, 9], &[0.0; 17]).is_err());
}

/// Sizes whose products overflow, other than those of tensors.
#[test]
fn absurd_products() {
    let caps = Caps::WEBGPU;
    let far = Conv1d::new(1, 1, 1).dilation(1 << 30);
    assert!(far.plan(Operation::Forward, [1, 1, 1], &caps).is_ok());
    let edge = i32::MAX as usize;
    let far =
        Conv1d::new(1, 1, 2).stride(edge).dilation(edge - 1).padding(Padding::Explicit { left: edge - 1, right: 0 });
    assert!(far.plan(Operation::Forward, [1, 1, 1], &caps).is_ok());
    let far = Conv1d::new(1, 1, 2).stride(edge);
    assert!(far.plan(Operation::Forward, [1 << 30, 1, 2], &caps).is_ok());
    let empty = gpu().zeros([usize::MAX, 2, 0]).unwrap();
    assert_eq!((empty.len(), empty.is_empty()), (0, true));
    let taps = gpu().tensor(&[1.0], [1]).unwrap();
    let none = gpu().zeros([usize::MAX, 2, 0, 5]).unwrap();
    assert!(gpu().convolve(&none, &taps, conv1d::ConvolveMode::Full).is_ok_and(|y| y.is_empty()));
    let error = Toeplitz::new(Conv1d::new(1, 1, 1), [1, 1_000_000], &[1.0]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// Gradients of the channels of an empty batch are computed too: they are 0.
#[test]
fn an_empty_batch_of_many_channels() {
    let conv = Conv1d::new(1, 40_000_000, 1);
    assert!(conv.plan(Operation::BiasGradient, [0, 1, 5], &Caps::WEBGPU).is_ok());
}

/// A plan of more dispatches than a program could record is refused, before it takes the memory of the host.
#[test]
fn plans_of_millions_of_dispatches_are_refused() {
    let small = Caps::WEBGPU.with(|caps| caps.max_binding_bytes = 4096);
    let empty: Layer = Conv1d::new(13_181, 7, 1).dilation(9).padding(Padding::both(3)).into();
    let uneven = |left, right| Padding::Explicit { left, right };
    let wide: Layer = Conv1d::new(30_701, 6, 8).stride(5).dilation(7).padding(uneven(3, 0)).into();
    let far: Layer = ConvTranspose1d::new(66_294, 6, 2).dilation(85_711).padding(uneven(2, 3)).into();
    for (layer, input) in [(empty, [0, 13_181, 36_015]), (wide, [0, 30_701, 23_622]), (far, [5, 66_294, 4])] {
        for operation in Operation::ALL {
            match Plan::new(layer, operation, input, &small, &PlanOptions::default()) {
                Ok(plan) => assert!(plan.dispatches() <= 1 << 14, "{plan}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
