use crate::error::Result;
use crate::geometry::{Layer, Operation, Shapes};
use crate::gpu::{Bound, Buffers, Gpu, Tensor};
use crate::lowering::Role;
use crate::plan::Plan;
use crate::reference::{Exact, Oracle};

/// Fewest results that are checked, however many terms each has.
const FEWEST_ELEMENTS: usize = 16;

/// Host data of a layer.
#[derive(Debug, Clone)]
pub struct Data {
    /// `[N, C_in, L]`.
    pub x: Vec<f32>,
    /// The weight.
    pub w: Vec<f32>,
    /// `[C_out]`.
    pub b: Option<Vec<f32>>,
    /// `[N, C_out, L_out]`.
    pub dy: Vec<f32>,
}

/// Reproducible values in -1..1 (a xorshift generator).
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

impl Data {
    /// Values in -1..1, the same for equal shapes.
    pub fn new(shapes: &Shapes) -> Self {
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
    pub fn upload(&self, gpu: &Gpu, plan: &Plan) -> Result<Vec<(Role, Tensor)>> {
        let given = plan.inputs().into_iter().filter_map(|role| self.of(role).map(|values| (role, values)));
        given.map(|(role, values)| Ok((role, gpu.tensor(values, role.shape(plan.shapes()))?))).collect()
    }

    /// Uploads the tensors that a plan reads, executes the plan, and returns its output.
    pub fn run(&self, gpu: &Gpu, plan: &Plan) -> Result<Tensor> {
        let tensors = self.upload(gpu, plan)?;
        let borrowed: Vec<(Role, &Tensor)> = tensors.iter().map(|(role, t)| (*role, t)).collect();
        gpu.execute(plan, &borrowed)
    }
}

/// The exact results of one operation.
#[derive(Debug)]
pub struct Answers<'a> {
    oracle: Oracle,
    operation: Operation,
    data: &'a Data,
    /// Number of products of all results together.
    products: u64,
}

impl<'a> Answers<'a> {
    /// The exact results of `operation` for a layer on an input `[N, C_in, L]`.
    pub fn new(layer: Layer, input: [usize; 3], operation: Operation, data: &'a Data) -> Result<Self> {
        Ok(Answers { oracle: Oracle::new(layer, input)?, operation, data, products: layer.cost(input)?.flops / 2 })
    }

    /// The exact results of all elements.
    pub fn all(&self) -> Result<Vec<Exact>> {
        let Data { x, w, b, dy } = self.data;
        match self.operation {
            Operation::Forward => self.oracle.forward(x, w, b.as_deref()),
            Operation::InputGradient => self.oracle.input_gradient(w, dy),
            Operation::WeightGradient => self.oracle.weight_gradient(x, dy),
            Operation::BiasGradient => self.oracle.bias_gradient(dy),
        }
    }

    /// The exact result of one element.
    pub fn at(&self, index: usize) -> Result<Exact> {
        let Data { x, w, b, dy } = self.data;
        match self.operation {
            Operation::Forward => self.oracle.forward_at(x, w, b.as_deref(), index),
            Operation::InputGradient => self.oracle.input_gradient_at(w, dy, index),
            Operation::WeightGradient => self.oracle.weight_gradient_at(x, dy, index),
            Operation::BiasGradient => self.oracle.bias_gradient_at(dy, index),
        }
    }

    /// Like [`Answers::largest_share`], over as many results as the oracle computes in about `products` products, and at least 16.
    pub fn largest_share_within(&self, got: &[f32], products: u64) -> Result<f64> {
        let each = (self.products / got.len().max(1) as u64).max(1);
        self.largest_share(got, ((products / each) as usize).max(FEWEST_ELEMENTS))
    }

    /// The largest fraction of the error bound used by any of up to `elements` evenly spread results, including the first and last.
    pub fn largest_share(&self, got: &[f32], elements: usize) -> Result<f64> {
        let last = got.len().saturating_sub(1);
        let count = elements.clamp(2, got.len().max(2));
        let mut largest = 0.0_f64;
        for i in 0..count.min(got.len()) {
            let index = (i as u128 * last as u128 / (count - 1) as u128) as usize;
            largest = largest.max(self.at(index)?.used(got[index]));
        }
        Ok(largest)
    }
}

/// A plan bound to its own tensors, for timing.
#[derive(Debug)]
pub struct Runner {
    /// The plan.
    pub plan: Plan,
    /// The bound plan, ready to run.
    pub bound: Bound,
    /// The tensor that it writes.
    pub output: Tensor,
}

impl Runner {
    /// Uploads the tensors that the plan reads, and runs it once.
    pub fn new(gpu: &Gpu, plan: Plan, data: &Data) -> Result<Self> {
        let tensors = data.upload(gpu, &plan)?;
        let output = gpu.zeros(plan.output().shape(plan.shapes()))?;
        let buffers = tensors.iter().fold(Buffers::new(), |all, (role, t)| all.with(*role, t.slice()));
        let bound = gpu.prepare(&plan)?.bind(&buffers.with(plan.output(), output.slice()))?;
        gpu.run(&bound)?;
        Ok(Runner { plan, bound, output })
    }

    /// Bytes of all operands and the result, each counted once.
    pub fn bytes(&self) -> f64 {
        let roles = self.plan.inputs().into_iter().chain([self.plan.output()]);
        roles.map(|role| role.shape(self.plan.shapes()).iter().product::<usize>() as f64 * 4.0).sum()
    }
}
