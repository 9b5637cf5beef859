//! One layer with reproducible data: run by a plan, checked against the oracle.

use conv1d::reference::{Exact, Oracle};
use conv1d::{Gpu, Layer, Operation, Plan, Role, Shapes, Tensor};

/// Host data of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) x: Vec<f32>,
    pub(crate) w: Vec<f32>,
    pub(crate) b: Option<Vec<f32>>,
    pub(crate) dy: Vec<f32>,
}

/// Reproducible values in -1..1 (a xorshift generator).
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

impl Data {
    pub(crate) fn new(shapes: &Shapes) -> Self {
        let make = |seed, role: Role| values(seed, role.shape(shapes).iter().product());
        Data {
            x: make(1, Role::Input),
            w: make(2, Role::Weight),
            b: Some(make(3, Role::Bias)),
            dy: make(4, Role::Output),
        }
    }

    fn of(&self, role: Role) -> Option<&[f32]> {
        match role {
            Role::Input => Some(&self.x),
            Role::Weight => Some(&self.w),
            Role::Bias => self.b.as_deref(),
            Role::OutputGradient => Some(&self.dy),
            _ => None,
        }
    }

    /// The tensors that a plan reads.
    pub(crate) fn upload(&self, gpu: &Gpu, plan: &Plan) -> conv1d::Result<Vec<(Role, Tensor)>> {
        let given = plan.inputs().into_iter().filter_map(|role| self.of(role).map(|values| (role, values)));
        given.map(|(role, values)| Ok((role, gpu.tensor(values, role.shape(plan.shapes()))?))).collect()
    }

    /// Runs a plan once.
    pub(crate) fn run(&self, gpu: &Gpu, plan: &Plan) -> conv1d::Result<Vec<f32>> {
        let tensors = self.upload(gpu, plan)?;
        let borrowed: Vec<(Role, &Tensor)> = tensors.iter().map(|(role, t)| (*role, t)).collect();
        gpu.execute(plan, &borrowed)?.read()
    }
}

/// The exact answers to one operation.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    oracle: Oracle,
    operation: Operation,
    data: &'a Data,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(layer: Layer, input: [usize; 3], operation: Operation, data: &'a Data) -> conv1d::Result<Self> {
        Ok(Answers { oracle: Oracle::new(layer, input)?, operation, data })
    }

    pub(crate) fn all(&self) -> conv1d::Result<Vec<Exact>> {
        let Data { x, w, b, dy } = self.data;
        match self.operation {
            Operation::Forward => self.oracle.forward(x, w, b.as_deref()),
            Operation::InputGradient => self.oracle.input_gradient(w, dy),
            Operation::WeightGradient => self.oracle.weight_gradient(x, dy),
            Operation::BiasGradient => self.oracle.bias_gradient(dy),
        }
    }

    fn at(&self, index: usize) -> conv1d::Result<Exact> {
        let Data { x, w, b, dy } = self.data;
        match self.operation {
            Operation::Forward => self.oracle.forward_at(x, w, b.as_deref(), index),
            Operation::InputGradient => self.oracle.input_gradient_at(w, dy, index),
            Operation::WeightGradient => self.oracle.weight_gradient_at(x, dy, index),
            Operation::BiasGradient => self.oracle.bias_gradient_at(dy, index),
        }
    }

    /// The largest share of the bound that any of up to `elements` evenly spread results uses, first and last included.
    pub(crate) fn largest_share(&self, got: &[f32], elements: usize) -> conv1d::Result<f64> {
        let last = got.len().saturating_sub(1);
        let count = elements.clamp(2, got.len().max(2));
        let mut largest = 0.0f64;
        for i in 0..count.min(got.len()) {
            let index = (i as u128 * last as u128 / (count - 1) as u128) as usize;
            largest = largest.max(self.at(index)?.used(got[index]));
        }
        Ok(largest)
    }
}

/// The worst of some results against their exact values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Worst {
    pub(crate) share: f64,
    pub(crate) description: String,
}

/// The element that uses most of its bound.
pub(crate) fn worst(got: &[f32], exact: &[Exact], what: &str) -> Option<Worst> {
    let shares = got.iter().zip(exact).map(|(&got, exact)| exact.used(got)).enumerate();
    let (index, share) = shares.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (e, got) = (&exact[index], got[index]);
    let description = format!(
        "{what}, element {index}: got {got:e}, exactly {:e}, bound {:e}, {share:.3} of it used",
        e.value,
        e.bound()
    );
    Some(Worst { share, description })
}
