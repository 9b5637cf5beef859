//! The high-level calls: tensors in, tensors out. Work is queued on the device; nothing is read back.
//!
//! Each call plans (arithmetic on the host), compiles shaders that are not compiled yet, allocates its result and submits.
//! Programs that run the same shapes repeatedly avoid the allocations with [`Gpu::prepare`].

use crate::error::{Error, Result};
use crate::geometry::{Activation, Conv1d, ConvTranspose1d, Fused, Layer, Operation, Residual};
use crate::gpu::{Bindings, Buffers, Gpu, Tensor, Workgroups};
use crate::kernels::program::{Shader, Source, source};
use crate::lowering::Role;
use crate::plan::{Plan, PlanOptions};

static ACTIVATE: Source = source!("activation");
static ACTIVATE_BACK: Source = source!("activation_back");

/// Both sources.
pub(crate) static SOURCES: &[&Source] = &[&ACTIVATE, &ACTIVATE_BACK];

/// Which gradients [`Gpu::backward`] computes.
///
/// ```
/// use conv1d::Wanted;
/// let weight_and_bias = Wanted::NONE.weight(true).bias(true);
/// assert!(!weight_and_bias.input && Wanted::ALL.input(false).weight);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// With respect to the input.
    pub input: bool,
    /// With respect to the weight.
    pub weight: bool,
    /// With respect to the bias.
    pub bias: bool,
    /// With respect to the residual, if there is one.
    pub residual: bool,
}

impl Wanted {
    /// All gradients.
    pub const ALL: Wanted = Wanted { input: true, weight: true, bias: true, residual: true };
    /// No gradients.
    pub const NONE: Wanted = Wanted { input: false, weight: false, bias: false, residual: false };

    /// Sets whether the gradient with respect to the input is computed.
    #[must_use]
    pub const fn input(self, input: bool) -> Self {
        Wanted { input, ..self }
    }

    /// Sets whether the gradient with respect to the weight is computed.
    #[must_use]
    pub const fn weight(self, weight: bool) -> Self {
        Wanted { weight, ..self }
    }

    /// Sets whether the gradient with respect to the bias is computed.
    #[must_use]
    pub const fn bias(self, bias: bool) -> Self {
        Wanted { bias, ..self }
    }

    /// Sets whether the gradient with respect to the residual is computed.
    #[must_use]
    pub const fn residual(self, residual: bool) -> Self {
        Wanted { residual, ..self }
    }
}

/// The requested gradients. They have no batch dimension if the input has none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Gradients {
    /// `[N, C_in, L]`.
    pub input: Option<Tensor>,
    /// The shape of the weight.
    pub weight: Option<Tensor>,
    /// `[C_out]`.
    pub bias: Option<Tensor>,
    /// `[N, C_out, L_out]`; a clone of `dy`, with the same memory, unless the residual is added before an activation. `None` if there
    /// is no residual.
    pub residual: Option<Tensor>,
}

impl Gpu {
    /// Output `y [N, C_out, L_out]` of a convolution of `x [N, C_in, L]`, or `y [C_out, L_out]` of `x [C_in, L]`. `w` is
    /// `[C_out, C_in/groups, K]`, `b` is `[C_out]`.
    pub fn conv1d(&self, conv: &Conv1d, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        self.plain_forward(conv.into(), x, w, b)
    }

    /// Gradients of a convolution from `dy [N, C_out, L_out]`, the gradient with respect to `y`.
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

    /// Output `y [N, C_out, L_out]` of a transposed convolution of `x [N, C_in, L]`, or `y [C_out, L_out]` of `x [C_in, L]`. `w` is
    /// `[C_in, C_out/groups, K]`, `b` is `[C_out]`.
    pub fn conv_transpose1d(
        &self,
        conv: &ConvTranspose1d,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.plain_forward(conv.into(), x, w, b)
    }

    /// Gradients of a transposed convolution from `dy [N, C_out, L_out]`, the gradient with respect to `y`.
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

    /// Output of either convolution with its activation and residual, planned with options. Reads [`Role::Input`] and
    /// [`Role::Weight`], [`Role::Bias`] if it is given, and [`Role::Residual`] if the layer has a residual. Writes
    /// [`Role::PreActivation`] if it is given (see [`Fused::saves_pre_activation`]).
    ///
    /// # Errors
    /// [`Error::MissingBuffer`], [`Error::UnusedBuffer`] or [`Error::GivenTwice`] for the roles, [`Error::Shape`] or
    /// [`Error::WrongDevice`] for a tensor.
    ///
    /// ```
    /// use conv1d::{Activation, Conv1d, Gpu, PlanOptions, Role, Wanted};
    /// # let gpu = Gpu::new()?;
    /// # let tensor = |shape: [usize; 3]| gpu.tensor(&vec![0.5; shape.iter().product()], shape);
    /// let block = Conv1d::new(8, 32, 5).activation(Activation::Silu);
    /// let (x, w, dy) = (tensor([2, 8, 100])?, tensor([32, 8, 5])?, tensor([2, 32, 96])?);
    /// let z = gpu.zeros([2, 32, 96])?; // input of the activation, which its derivative needs
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
        check_roles(tensors)?;
        let plan = self.plan(layer, Operation::Forward, given(tensors, Role::Input)?.shape(), options)?;
        self.execute(&plan, tensors)
    }

    /// Gradients of either convolution with its activation and residual, planned with options. Reads [`Role::Input`],
    /// [`Role::Weight`] and [`Role::OutputGradient`], and with an activation the tensor that the forward pass saved:
    /// [`Role::PreActivation`] if [`Fused::saves_pre_activation`], otherwise [`Role::Output`]. A forced kernel applies to the
    /// gradients of input and weight; the gradient of the bias has only one kernel.
    ///
    /// # Errors
    /// Those of [`Gpu::forward`].
    pub fn backward(
        &self,
        layer: impl Into<Fused>,
        tensors: &[(Role, &Tensor)],
        wanted: Wanted,
        options: &PlanOptions,
    ) -> Result<Gradients> {
        let fused = layer.into();
        fused.check()?;
        check_roles(tensors)?;
        let input = given(tensors, Role::Input)?.shape();
        // A missing tensor is reported before an unused one: after a mix-up of roles, that error says more.
        for role in [Role::Weight, Role::OutputGradient].into_iter().chain(fused.saved()) {
            given(tensors, role)?;
        }
        // All tensors are checked first, also those that no requested gradient reads: an invalid call computes nothing.
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
            residual: if wanted.residual { self.residual_gradient(&fused, tensors)? } else { None },
        })
    }

    fn residual_gradient(&self, fused: &Fused, tensors: &[(Role, &Tensor)]) -> Result<Option<Tensor>> {
        let dy = given(tensors, Role::OutputGradient)?;
        if fused.residual == Residual::None {
            return Ok(None);
        }
        match fused.saved().filter(|_| fused.residual == Residual::BeforeActivation) {
            Some(saved) => self.activation_backward(fused.activation, given(tensors, saved)?, dy).map(Some),
            None => Ok(Some(dy.clone())),
        }
    }

    fn plain_forward(&self, layer: Layer, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        let mut tensors = vec![(Role::Input, x), (Role::Weight, w)];
        tensors.extend(b.map(|b| (Role::Bias, b)));
        self.forward(layer, &tensors, &PlanOptions::default())
    }

    /// Applies an activation to every element of a tensor of any shape.
    ///
    /// ```
    /// use conv1d::{Activation, Gpu};
    /// let gpu = Gpu::new()?;
    /// let x = gpu.tensor(&[-2.0, 0.0, 3.0], [3])?;
    /// let y = gpu.activation(Activation::LeakyRelu(0.5), &x)?;
    /// assert_eq!(y.read()?, [-1.0, 0.0, 3.0]);
    /// let dx = gpu.activation_backward(Activation::LeakyRelu(0.5), &y, &gpu.tensor(&[1.0, 1.0, 1.0], [3])?)?;
    /// assert_eq!(dx.read()?, [0.5, 0.5, 1.0]);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn activation(&self, activation: Activation, x: &Tensor) -> Result<Tensor> {
        activation.check()?;
        x.belongs_to(self, Role::Input.name())?;
        let (part, slope) = activation.shader_part();
        let shader = Shader::of(&ACTIVATE).part("activation", part);
        self.each(&shader, slope, &[("input", x)], "output", x.shape())
    }

    /// The gradient through an activation: `dy` times the derivative. `saved` is the activation's input if
    /// [`Activation::derivative_needs_input`], otherwise its output. `saved`, `dy` and the result have the same shape, which may be
    /// any.
    pub fn activation_backward(&self, activation: Activation, saved: &Tensor, dy: &Tensor) -> Result<Tensor> {
        activation.check()?;
        let needs_input = activation.derivative_needs_input();
        let role = if needs_input { Role::PreActivation } else { Role::Output };
        saved.belongs_to(self, role.name())?;
        check(self, Role::OutputGradient, dy, saved.shape())?;
        let (part, slope) = activation.shader_part();
        let shader = Shader::of(&ACTIVATE_BACK).part("activation", part).constant("SAVED_INPUT", needs_input.into());
        self.each(&shader, slope, &[("saved", saved), ("output_gradient", dy)], "input_gradient", dy.shape())
    }

    /// Runs an element-wise shader into a new tensor, in slices that fit one binding.
    fn each(
        &self,
        shader: &Shader,
        slope: f32,
        inputs: &[(&'static str, &Tensor)],
        output: &'static str,
        shape: &[usize],
    ) -> Result<Tensor> {
        let result = self.zeros(shape)?;
        let shader = self.prepare_shader(shader)?;
        // A multiple of 64 elements (256 bytes), so that every slice starts at an aligned offset.
        let most = (self.caps().max_range() / 64 * 64).max(64) as usize;
        let aligned = |tensor: &Tensor| tensor.offset().is_multiple_of(self.caps().storage_alignment.max(4).into());
        let copies =
            inputs.iter().map(|(_, tensor)| if aligned(tensor) { Ok((*tensor).clone()) } else { tensor.copied() });
        let tensors = copies.collect::<Result<Vec<_>>>()?;
        for first in (0..result.len()).step_by(most) {
            let count = most.min(result.len() - first);
            let parts = tensors.iter().chain([&result]).map(|tensor| tensor.part(first, [count]));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let names = inputs.iter().map(|(name, _)| *name).chain([output]);
            let bindings = names.zip(&parts).fold(Bindings::new(), |all, (name, part)| all.with(name, part.slice()));
            let bindings = bindings.value("count", count as u32).value("slope", slope);
            self.run(&shader.bind(&bindings, Workgroups::Elements(count as u64))?)?;
        }
        Ok(result)
    }

    /// Runs a plan and returns its output in a new tensor. [`Role::Bias`] may be left out. The optional output
    /// ([`Plan::optional_output`]) is written if a tensor is given for it.
    ///
    /// # Errors
    /// Those of [`Gpu::forward`].
    pub fn execute(&self, plan: &Plan, tensors: &[(Role, &Tensor)]) -> Result<Tensor> {
        check_roles(tensors)?;
        for &(role, tensor) in tensors {
            check(self, role, tensor, role.shape(plan.shapes()))?;
            // The output is made here.
            if role == plan.output() {
                return Err(Error::UnusedBuffer { role: role.name() });
            }
        }
        let output = self.zeros(plan.output().shape(plan.shapes()))?;
        let mut buffers = Buffers::new().with(plan.output(), output.slice());
        for &(role, tensor) in tensors {
            buffers = buffers.with(role, tensor.slice());
        }
        self.run(&self.prepare_for(plan, &buffers.roles())?.bind(&buffers)?)?;
        Ok(output)
    }
}

/// Checks that no role is given twice.
fn check_roles(tensors: &[(Role, &Tensor)]) -> Result<()> {
    let twice = tensors.iter().enumerate().find(|&(index, (role, _))| tensors[..index].iter().any(|(r, _)| r == role));
    twice.map_or(Ok(()), |(_, (role, _))| Err(Error::GivenTwice { role: role.name() }))
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
