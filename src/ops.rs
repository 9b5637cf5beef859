//! The calls that most people make: tensors in, tensors out, queued on the device; nothing is read back.
//!
//! Each call plans (arithmetic), compiles what is not compiled yet, allocates its result and submits. Programs that run the
//! same shapes again and again save the allocations with [`Gpu::prepare`].

use crate::error::{Error, Result};
use crate::geometry::{Conv1d, ConvTranspose1d, Fused, Layer, Operation, Padding, Residual, Shapes};
use crate::gpu::{Buffers, Gpu, Tensor};
use crate::kernels::params::params;
use crate::kernels::program::{Source, Specialised};
use crate::lowering::Role;
use crate::plan::{Plan, PlanOptions};

static REVERSE: Source =
    Source { name: "reverse", wgsl: include_str!("../shaders/reverse.wgsl"), params: ReverseParams::FIELDS };
/// Invocations of its workgroups.
const REVERSE_LANES: u64 = 64;

params! {
    /// `Params` of `reverse.wgsl`.
    ReverseParams { count: u32, length: u32 }
}

/// Which gradients [`Gpu::backward`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// With respect to the input.
    pub input: bool,
    /// With respect to the weight.
    pub weight: bool,
    /// With respect to the bias.
    pub bias: bool,
    /// With respect to the residual, where there is one.
    pub residual: bool,
}

impl Wanted {
    /// All of them.
    pub const ALL: Wanted = Wanted { input: true, weight: true, bias: true, residual: true };
    /// None; a start for the struct update syntax.
    pub const NONE: Wanted = Wanted { input: false, weight: false, bias: false, residual: false };
}

/// Gradients, those that were wanted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gradients {
    /// `[N, C_in, L]`.
    pub input: Option<Tensor>,
    /// As the weight.
    pub weight: Option<Tensor>,
    /// `[C_out]`.
    pub bias: Option<Tensor>,
    /// `[N, C_out, L_out]`; `dy` itself where the residual is added after the activation. None where there is no residual.
    pub residual: Option<Tensor>,
}

/// Which part of a full convolution is returned, named as SciPy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Everything: `N + M - 1` samples.
    #[default]
    Full,
    /// The middle of it, as long as the first argument.
    Same,
    /// Where both overlap fully: `max(N, M) - min(N, M) + 1` samples.
    Valid,
}

impl Gpu {
    /// `y` of a convolution for `x [N, C_in, L]`.
    pub fn conv1d(&self, conv: &Conv1d, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        self.plain_forward(conv.into(), x, w, b)
    }

    /// Gradients of a convolution from `dy [N, C_out, L_out]`.
    pub fn conv1d_backward(
        &self,
        conv: &Conv1d,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
        wanted: Wanted,
    ) -> Result<Gradients> {
        let tensors = [(Role::Input, x), (Role::Weight, w), (Role::OutputGradient, dy)];
        self.backward(conv, &tensors, wanted, &PlanOptions::default())
    }

    /// `y` of a transposed convolution for `x [N, C_in, L]`.
    pub fn conv_transpose1d(
        &self,
        conv: &ConvTranspose1d,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.plain_forward(conv.into(), x, w, b)
    }

    /// Gradients of a transposed convolution from `dy [N, C_out, L_out]`.
    pub fn conv_transpose1d_backward(
        &self,
        conv: &ConvTranspose1d,
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
        wanted: Wanted,
    ) -> Result<Gradients> {
        let tensors = [(Role::Input, x), (Role::Weight, w), (Role::OutputGradient, dy)];
        self.backward(conv, &tensors, wanted, &PlanOptions::default())
    }

    /// `y` of either convolution with what follows it, planned with options, from [`Role::Input`] and [`Role::Weight`], and
    /// [`Role::Bias`] and [`Role::Residual`] where there are such. [`Role::PreActivation`], where it is given
    /// ([`Fused::saves_pre_activation`]), is written.
    ///
    /// ```
    /// use conv1d::{Activation, Conv1d, Gpu, PlanOptions, Role, Wanted};
    /// # let gpu = Gpu::new()?;
    /// # let tensor = |shape: [usize; 3]| gpu.tensor(&vec![0.5; shape.iter().product()], shape);
    /// let block = Conv1d::new(8, 32, 5).activation(Activation::Silu);
    /// let (x, w, dy) = (tensor([2, 8, 100])?, tensor([32, 8, 5])?, tensor([2, 32, 96])?);
    /// let z = gpu.zeros([2, 32, 96])?; // what goes into the activation: its derivative needs it
    /// let options = PlanOptions::default();
    /// let forward = [(Role::Input, &x), (Role::Weight, &w), (Role::PreActivation, &z)];
    /// let y = gpu.forward(block, &forward, &options)?;
    /// let backward = [(Role::Input, &x), (Role::Weight, &w), (Role::PreActivation, &z), (Role::OutputGradient, &dy)];
    /// let gradients = gpu.backward(block, &backward, Wanted::ALL, &options)?;
    /// # assert_eq!(y.shape(), gradients.input.map(|_| [2, 32, 96]).unwrap());
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn forward(
        &self,
        layer: impl Into<Fused>,
        tensors: &[(Role, &Tensor)],
        options: &PlanOptions,
    ) -> Result<Tensor> {
        let plan = self.plan(layer, Operation::Forward, given(tensors, Role::Input)?.shape(), options)?;
        self.execute(&plan, tensors)
    }

    /// Gradients of either convolution with what follows it, planned with options, from [`Role::Input`], [`Role::Weight`] and
    /// [`Role::OutputGradient`], and with an activation what the forward pass saved: [`Role::PreActivation`] where
    /// [`Fused::saves_pre_activation`], otherwise [`Role::Output`]. A forced kernel is used for the gradients of input and
    /// weight; there is but one for that of the bias.
    pub fn backward(
        &self,
        layer: impl Into<Fused>,
        tensors: &[(Role, &Tensor)],
        wanted: Wanted,
        options: &PlanOptions,
    ) -> Result<Gradients> {
        let fused = layer.into();
        fused.check()?;
        let input = given(tensors, Role::Input)?.shape();
        // What is missing first: who gave one tensor for another learns more from that.
        for role in [Role::Weight, Role::OutputGradient].into_iter().chain(fused.saved()) {
            given(tensors, role)?;
        }
        // All tensors are checked, those that a gradient does not read included: nothing is computed from a wrong call.
        let shapes = fused.layer.shapes(input)?;
        for &(role, tensor) in tensors {
            if ![Role::Input, Role::Weight, Role::OutputGradient].contains(&role) && fused.saved() != Some(role) {
                return Err(Error::UnusedBuffer { role: role.name() });
            }
            check(self, role, tensor, role.shape(&shapes))?;
        }
        let gradient = |wanted: bool, operation, options: &PlanOptions| {
            if !wanted {
                return Ok(None);
            }
            let plan = self.plan(fused, operation, input, options)?;
            let read = plan.inputs();
            let tensors: Vec<_> = tensors.iter().copied().filter(|(role, _)| read.contains(role)).collect();
            self.execute(&plan, &tensors).map(Some)
        };
        let any_kernel = PlanOptions { kernel: None, ..options.clone() };
        Ok(Gradients {
            input: gradient(wanted.input, Operation::InputGradient, options)?,
            weight: gradient(wanted.weight, Operation::WeightGradient, options)?,
            bias: gradient(wanted.bias, Operation::BiasGradient, &any_kernel)?,
            residual: if wanted.residual { self.residual_gradient(&fused, &shapes, tensors)? } else { None },
        })
    }

    fn residual_gradient(&self, fused: &Fused, shapes: &Shapes, tensors: &[(Role, &Tensor)]) -> Result<Option<Tensor>> {
        let dy = given(tensors, Role::OutputGradient)?;
        if fused.residual == Residual::None {
            return Ok(None);
        }
        let Some(saved) = fused.saved().filter(|_| fused.residual == Residual::BeforeActivation) else {
            return Ok(Some(dy.clone()));
        };
        // Back through the activation alone: as a convolution that changes nothing would.
        let [_, channels, _] = shapes.output.ncl();
        let one = Conv1d::new(channels, channels, 1).groups(channels).activation(fused.activation);
        let plan = self.plan(one, Operation::InputGradient, shapes.output, &PlanOptions::default())?;
        let w = self.tensor(&vec![1.0; channels], [channels, 1, 1])?;
        let saved = (saved, given(tensors, saved)?);
        self.execute(&plan, &[(Role::Weight, &w), (Role::OutputGradient, dy), saved]).map(Some)
    }

    /// True convolution: `y[m] = sum over i of x[.., i] * v[m - i]`, of every row of `x [.., N]` with `v [M]`, as
    /// `scipy.signal.convolve` along the last axis.
    pub fn convolve(&self, x: &Tensor, v: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, n, m) = signal_shapes(x, v)?;
        if rows == 0 {
            return self.zeros(with_length(x.shape(), mode.length(n, m)?));
        }
        // A transposed convolution is a true one: nothing needs to be reversed.
        let y = if mode == Mode::Valid && m > n {
            // Convolution commutes: each row is the kernel of one output channel, over one signal.
            let conv = ConvTranspose1d::new(1, rows, n).padding(Padding::both(n - 1));
            self.conv_transpose1d(&conv, &v.reshape([1, 1, m])?, &x.reshape([1, rows, n])?, None)?
        } else {
            let crop = match mode {
                Mode::Full => Padding::Valid,
                Mode::Same => Padding::Explicit { left: (m - 1) / 2, right: m - 1 - (m - 1) / 2 },
                Mode::Valid => Padding::both(m - 1),
            };
            let conv = ConvTranspose1d::new(1, 1, m).padding(crop);
            self.conv_transpose1d(&conv, &x.reshape([rows, 1, n])?, &v.reshape([1, 1, m])?, None)?
        };
        y.reshape(with_length(x.shape(), mode.length(n, m)?))
    }

    /// Cross-correlation: `y[k] = sum over i of x[.., i] * v[i - k + M - 1]`, of every row of `x [.., N]` with `v [M]`, as
    /// `scipy.signal.correlate` along the last axis.
    ///
    /// The mode `Valid` with `v` longer than the rows gives, as SciPy does, the correlation of the swapped arguments reversed.
    pub fn correlate(&self, x: &Tensor, v: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, n, m) = signal_shapes(x, v)?;
        if mode == Mode::Valid && m > n && rows > 0 {
            let conv = Conv1d::new(1, rows, n);
            let y = self.conv1d(&conv, &v.reshape([1, 1, m])?, &x.reshape([rows, 1, n])?, None)?;
            return self.reversed(&y.reshape(with_length(x.shape(), m - n + 1))?);
        }
        if rows == 0 {
            return self.zeros(with_length(x.shape(), mode.length(n, m)?));
        }
        let conv = Conv1d::new(1, 1, m).padding(correlation_padding(mode, m));
        let y = self.conv1d(&conv, &x.reshape([rows, 1, n])?, &v.reshape([1, 1, m])?, None)?;
        y.reshape(with_length(x.shape(), mode.length(n, m)?))
    }

    /// Every row of `x [.., N]` from its end to its start.
    fn reversed(&self, x: &Tensor) -> Result<Tensor> {
        let (count, length) = (x.len() as u64, x.shape().last().copied().unwrap_or(1));
        let limit = self.caps().max_window();
        if count > limit {
            return Err(Error::TooLarge { what: "elements to reverse", value: count, limit });
        }
        let y = self.zeros(x.shape())?;
        let shader = Specialised { source: &REVERSE, constants: Vec::new() };
        let params = ReverseParams { count: count as u32, length: length as u32 };
        let buffers = [x.buffer().slice(..), y.buffer().slice(..)];
        let bound = self.bind_alone(&shader, bytemuck::bytes_of(&params), &buffers, count.div_ceil(REVERSE_LANES))?;
        self.run(&bound)?;
        Ok(y)
    }

    /// Correlation of every row of `x [.., N]` with itself. `Full` has the lags `-(N-1)` to `N-1`.
    pub fn autocorrelate(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, n) = rows(x, "the signal")?;
        if x.is_empty() {
            return self.zeros(with_length(x.shape(), mode.length(n, n)?));
        }
        // Every row is a channel with a kernel of its own: itself.
        let conv = Conv1d::new(rows, rows, n).groups(rows).padding(correlation_padding(mode, n));
        let y = self.conv1d(&conv, &x.reshape([1, rows, n])?, &x.reshape([rows, 1, n])?, None)?;
        y.reshape(with_length(x.shape(), mode.length(n, n)?))
    }

    fn plain_forward(&self, layer: Layer, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let mut tensors = vec![(Role::Input, x), (Role::Weight, w)];
        tensors.extend(b.map(|b| (Role::Bias, b)));
        self.forward(layer, &tensors, &PlanOptions::default())
    }

    /// Runs a plan over tensors into a new one. [`Role::Bias`] may be left out; an output that is optional
    /// ([`Plan::optional_output`]) is written to the tensor that is given for it.
    pub fn execute(&self, plan: &Plan, tensors: &[(Role, &Tensor)]) -> Result<Tensor> {
        for (index, &(role, tensor)) in tensors.iter().enumerate() {
            check(self, role, tensor, role.shape(plan.shapes()))?;
            // The output is made here; of two tensors for one role, one would be left out.
            if role == plan.output() || tensors[..index].iter().any(|(earlier, _)| *earlier == role) {
                return Err(Error::UnusedBuffer { role: role.name() });
            }
        }
        let output = self.zeros(plan.output().shape(plan.shapes()))?;
        let mut buffers = Buffers::new().with(plan.output(), output.buffer().slice(..));
        for &(role, tensor) in tensors {
            buffers = buffers.with(role, tensor.buffer().slice(..));
        }
        self.run(&self.prepare(plan)?.bind(&buffers)?)?;
        Ok(output)
    }
}

impl Mode {
    /// Length of the result for signals of `n` and `m` samples.
    fn length(self, n: usize, m: usize) -> Result<usize> {
        match self {
            Mode::Full => (n - 1).checked_add(m).ok_or(Error::TooLarge {
                what: "samples of the result",
                value: u64::MAX,
                limit: i32::MAX as u64,
            }),
            Mode::Same => Ok(n),
            Mode::Valid => Ok(n.abs_diff(m) + 1),
        }
    }
}

/// Padding that makes a convolution with a kernel of `m` samples the given part of the full correlation.
fn correlation_padding(mode: Mode, m: usize) -> Padding {
    match mode {
        Mode::Full => Padding::both(m - 1),
        Mode::Same => Padding::Explicit { left: m - 1 - (m - 1) / 2, right: (m - 1) / 2 },
        Mode::Valid => Padding::Valid,
    }
}

/// Number of rows and their length of a tensor `[.., N]`.
fn rows(x: &Tensor, name: &'static str) -> Result<(usize, usize)> {
    match x.shape().split_last() {
        Some((&n, rows)) if n > 0 => Ok((if rows.contains(&0) { 0 } else { rows.iter().product() }, n)),
        _ => Err(Error::Shape { tensor: name, got: x.shape().to_vec(), expected: "[.., N] with N at least 1".into() }),
    }
}

/// Number of rows of `x`, their length, and the length of `v`.
fn signal_shapes(x: &Tensor, v: &Tensor) -> Result<(usize, usize, usize)> {
    let (count, n) = rows(x, "the signal")?;
    match *v.shape() {
        [m] if m > 0 => Ok((count, n, m)),
        _ => Err(Error::Shape {
            tensor: "the kernel",
            got: v.shape().to_vec(),
            expected: "[M] with M at least 1".into(),
        }),
    }
}

fn with_length(shape: &[usize], length: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    if let Some(last) = shape.last_mut() {
        *last = length;
    }
    shape
}

fn given<'t>(tensors: &[(Role, &'t Tensor)], role: Role) -> Result<&'t Tensor> {
    let tensor = tensors.iter().find(|(r, _)| *r == role).map(|(_, tensor)| *tensor);
    tensor.ok_or(Error::MissingBuffer { role: role.name() })
}

fn check(gpu: &Gpu, role: Role, tensor: &Tensor, expected: &[usize]) -> Result<()> {
    tensor.belongs_to(gpu, role.name())?;
    if tensor.shape() != expected {
        return Err(Error::Shape {
            tensor: role.name(),
            got: tensor.shape().to_vec(),
            expected: format!("{expected:?}"),
        });
    }
    Ok(())
}
