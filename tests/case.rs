//! A layer with reproducible data, and its exact results. Nothing here needs a device.

use conv1d::reference::{Exact, Oracle};
use conv1d::{Activation, Fused, Layer, Operation, Role, Shapes};

/// Reproducible values in -1..1 (a xorshift generator).
pub(crate) fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// A layer on an input shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) layer: Layer,
    pub(crate) fused: Fused,
    pub(crate) input: [usize; 3],
}

impl Case {
    pub(crate) fn new(layer: impl Into<Fused>, input: [usize; 3]) -> Self {
        let fused = layer.into();
        Case { layer: fused.layer, fused, input }
    }

    /// The tensor of the forward pass that the gradients read, if any.
    fn saved(&self) -> Option<Role> {
        let saved = if self.fused.saves_pre_activation() { Role::PreActivation } else { Role::Output };
        (self.fused.activation != Activation::Identity).then_some(saved)
    }

    pub(crate) fn shapes(&self) -> Shapes {
        self.layer.shapes(self.input).unwrap()
    }
}

/// Tensors of a case.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) x: Vec<f32>,
    pub(crate) w: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) dy: Vec<f32>,
    pub(crate) residual: Vec<f32>,
    /// The tensor that the forward pass saved for the gradients; any numbers will do.
    pub(crate) saved: Vec<f32>,
}

impl Data {
    pub(crate) fn new(case: &Case) -> Self {
        let shapes = case.shapes();
        let count = |role: Role| role.shape(&shapes).iter().product::<usize>();
        Data {
            x: values(1, count(Role::Input)),
            w: values(2, count(Role::Weight)),
            b: values(3, count(Role::Bias)),
            dy: values(4, count(Role::Output)),
            residual: values(5, count(Role::Output)),
            saved: values(6, count(Role::Output)).into_iter().map(|v| 3.0 * v).collect(),
        }
    }

    pub(crate) fn of(&self, role: Role) -> &[f32] {
        match role {
            Role::Input => &self.x,
            Role::Weight => &self.w,
            Role::Bias => &self.b,
            Role::OutputGradient => &self.dy,
            Role::Residual => &self.residual,
            Role::Output | Role::PreActivation => &self.saved,
            _ => panic!("{role:?} is not an input"),
        }
    }

    /// The exact results of an operation.
    pub(crate) fn exact(&self, case: &Case, operation: Operation, bias: bool) -> Vec<Exact> {
        let oracle = Oracle::new(case.layer, case.input).unwrap();
        let gradient = |dy: &[f32]| match operation {
            Operation::Forward => oracle.forward(&self.x, &self.w, bias.then_some(&self.b[..])).unwrap(),
            Operation::InputGradient => oracle.input_gradient(&self.w, dy).unwrap(),
            Operation::WeightGradient => oracle.weight_gradient(&self.x, dy).unwrap(),
            Operation::BiasGradient => oracle.bias_gradient(dy).unwrap(),
            other => panic!("{other:?} has no oracle"),
        };
        if operation == Operation::Forward {
            let sums = gradient(&self.dy).into_iter().zip(&self.residual);
            return sums.map(|(sum, &residual)| case.fused.exact_output(sum, Some(residual))).collect();
        }
        if case.saved().is_none() {
            return gradient(&self.dy);
        }
        let back = case.fused.exact_back(&self.dy, &self.saved).unwrap();
        gradient(&back.gradient).into_iter().zip(gradient(&back.error)).map(|(g, error)| g.back(error)).collect()
    }

    /// The exact inputs of the activation.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "it is checked where there is time for it"))]
    pub(crate) fn exact_pre_activation(&self, case: &Case, bias: bool) -> Vec<Exact> {
        let oracle = Oracle::new(case.layer, case.input).unwrap();
        let sums = oracle.forward(&self.x, &self.w, bias.then_some(&self.b[..])).unwrap();
        let pairs = sums.into_iter().zip(&self.residual);
        pairs.map(|(sum, &residual)| case.fused.exact_pre_activation(sum, Some(residual))).collect()
    }
}

/// Fails unless every value keeps the promised bound.
pub(crate) fn assert_promise(got: &[f32], exact: &[Exact], what: &str) {
    assert_eq!(got.len(), exact.len(), "{what}: length");
    let used = got.iter().zip(exact).map(|(&got, exact)| exact.used(got)).enumerate();
    if let Some((index, share)) = used.max_by(|a, b| a.1.total_cmp(&b.1)) {
        let e = &exact[index];
        assert!(
            share <= 1.0,
            "{what}: element {index} is {}, exactly {}, bound {:e}, {share} of it used",
            got[index],
            e.value,
            e.bound()
        );
    }
}
