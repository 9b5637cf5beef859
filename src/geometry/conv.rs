use super::{Cost, Extension, Geometry, Padding, PaddingMode, Shape, Shapes, Side, check_arguments, index};
use crate::error::{Error, Result};

/// A 1-D convolution (cross-correlation, as every deep-learning framework means it) in the notation of
/// `torch.nn.Conv1d`.
///
/// `x [N, C_in, L]`, `w [C_out, C_in/groups, K]`, `b [C_out]`, `y [N, C_out, L_out]`, row-major; without a batch
/// `x [C_in, L]` and `y [C_out, L_out]`; with
///
/// ```text
/// y[n,o,i] = b[o] + sum over c,k of w[o,c,k] * xp[n, c', i*stride + k*dilation - pad_left]
/// L_out    = floor((L + pad_left + pad_right - dilation*(K-1) - 1) / stride) + 1
/// ```
///
/// where `c'` is channel `c` of the group of `o`, and `xp` is `x` extended by the [`PaddingMode`], never materialised.
///
/// Building a `Conv1d` never fails. The methods that return a `Result` check the arguments.
///
/// ```
/// use conv1d::{Conv1d, Padding};
/// let conv = Conv1d::new(8, 32, 5).padding(Padding::Same);
/// assert_eq!(conv.output_shape([32, 8, 100])?, [32, 32, 100]);
/// assert_eq!(conv.parameters(true), 8 * 32 * 5 + 32);
/// assert_eq!(
///     Conv1d::new(8, 32, 5).groups(3).output_shape([1, 8, 100]).unwrap_err().to_string(),
///     "groups 3 does not divide in_channels 8"
/// );
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Conv1d {
    /// `C_in`.
    pub in_channels: usize,
    /// `C_out`.
    pub out_channels: usize,
    /// K.
    pub kernel_size: usize,
    /// Distance between the windows of neighbouring outputs, in samples.
    pub stride: usize,
    /// Distance between neighbouring taps, in samples.
    pub dilation: usize,
    /// Number of groups. Each output channel sees only the input channels of its own group.
    pub groups: usize,
    /// Number of samples added to each end of the input.
    pub padding: Padding,
    /// Values of the added samples.
    pub padding_mode: PaddingMode,
    /// Whether the padding may be longer than one repetition of the input; see [`Conv1d::unbounded_padding`].
    pub unbounded_padding: bool,
}

impl Conv1d {
    /// Stride 1, dilation 1, one group, no padding.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        Conv1d {
            in_channels,
            out_channels,
            kernel_size,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: Padding::Valid,
            padding_mode: PaddingMode::Zeros,
            unbounded_padding: false,
        }
    }

    /// Sets the stride.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Conv1d { stride, ..self }
    }

    /// Sets the dilation.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        Conv1d { dilation, ..self }
    }

    /// Sets the number of groups. `groups == in_channels` is a depthwise convolution.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        Conv1d { groups, ..self }
    }

    /// Sets the number of samples added to each end of the input.
    #[must_use]
    pub const fn padding(self, padding: Padding) -> Self {
        Conv1d { padding, ..self }
    }

    /// Sets the values of the added samples.
    #[must_use]
    pub const fn padding_mode(self, padding_mode: PaddingMode) -> Self {
        Conv1d { padding_mode, ..self }
    }

    /// Sets whether padding may be longer than one repetition of the input.
    ///
    /// By default [`PaddingMode::Reflect`], [`PaddingMode::Symmetric`] and [`PaddingMode::Circular`] repeat the input at most
    /// once on each side; longer padding is [`Error::PaddingTooLong`], as in PyTorch. With `true` they continue as `numpy.pad`
    /// does, with a period of `2 * (L - 1)`, `2 * L` and `L` samples respectively.
    ///
    /// ```
    /// use conv1d::{Conv1d, Padding, PaddingMode};
    /// let long = Conv1d::new(1, 1, 1).padding(Padding::both(5)).padding_mode(PaddingMode::Reflect);
    /// assert!(long.output_shape([1, 1, 3]).is_err());
    /// // a b c | becomes | b c b a b | a b c | b a b c b
    /// assert_eq!(long.unbounded_padding(true).output_shape([1, 1, 3])?, [1, 1, 13]);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    #[must_use]
    pub const fn unbounded_padding(self, unbounded_padding: bool) -> Self {
        Conv1d { unbounded_padding, ..self }
    }

    /// Length of the window of one output, in input samples: `dilation * (kernel_size - 1) + 1`.
    pub const fn span(&self) -> u64 {
        (self.dilation as u64).saturating_mul((self.kernel_size as u64).saturating_sub(1)).saturating_add(1)
    }

    /// Shapes of all tensors for an input `[N, C_in, L]` or `[C_in, L]`. Fails if an argument or the input shape is invalid.
    pub fn shapes(&self, input: impl AsRef<[usize]>) -> Result<Shapes> {
        self.resolve(input.as_ref()).map(|(shapes, _)| shapes)
    }

    /// `[N, C_out, L_out]` for an input `[N, C_in, L]`, `[C_out, L_out]` for an input `[C_in, L]`.
    pub fn output_shape(&self, input: impl AsRef<[usize]>) -> Result<Shape> {
        self.shapes(input).map(|s| s.output)
    }

    /// `[C_out, C_in/groups, K]`.
    pub fn weight_shape(&self) -> Result<[usize; 3]> {
        self.check()?;
        Ok([self.out_channels, self.in_channels / self.groups, self.kernel_size])
    }

    /// Samples added on the left and on the right of an input of `length`.
    pub fn padding_amounts(&self, length: usize) -> Result<(usize, usize)> {
        let (_, g) = self.resolve(&[1, self.in_channels, length])?;
        Ok((g.pad_left as usize, g.pad_right as usize))
    }

    /// Operations, bytes and parameters of one forward pass.
    pub fn cost(&self, input: impl AsRef<[usize]>) -> Result<Cost> {
        let (shapes, g) = self.resolve(input.as_ref())?;
        Ok(Cost::of(&shapes, &g))
    }

    /// Number of parameters: `C_out * C_in/groups * K`, plus `C_out` with a bias. 0 if `groups` is 0.
    pub const fn parameters(&self, bias: bool) -> u64 {
        let bias = if bias { self.out_channels as u64 } else { 0 };
        self.filters().saturating_mul(self.kernel_size as u64).saturating_add(bias)
    }

    /// Number of 1-D filters: `C_in * C_out / groups`. 0 if `groups` is 0.
    pub const fn filters(&self) -> u64 {
        match (self.in_channels as u64).saturating_mul(self.out_channels as u64).checked_div(self.groups as u64) {
            Some(filters) => filters,
            None => 0,
        }
    }

    fn check(&self) -> Result<()> {
        check_arguments(self.in_channels, self.out_channels, self.kernel_size, self.stride, self.dilation, self.groups)
    }

    pub(crate) fn resolve(&self, input: &[usize]) -> Result<(Shapes, Geometry)> {
        self.check()?;
        let input = Shape::input(input, self.in_channels)?;
        let [n, _, l] = input.ncl();
        index("length", l as u64)?;
        index("batch", n as u64)?;
        let (left, right) = self.padding.amounts(l as u64, self.span(), self.stride as u64);
        if !self.unbounded_padding {
            self.padding_mode.check(l, left, right)?;
        }
        let padded = (l as u64).saturating_add(left).saturating_add(right);
        if self.span() > padded {
            return Err(Error::KernelTooLong { span: self.span(), padded });
        }
        index("padded length", padded)?;
        let l_out = (padded - self.span()) / self.stride as u64 + 1;
        let shapes = Shapes {
            input,
            weight: [self.out_channels, self.in_channels / self.groups, self.kernel_size],
            bias: [self.out_channels],
            output: input.with(self.out_channels, l_out as usize),
        };
        shapes.check()?;
        // The checks above ensure that every value here fits an i32.
        let geometry = Geometry {
            batch: n as u32,
            wide: Side { channels: self.in_channels as u32, length: l as u32 },
            narrow: Side { channels: self.out_channels as u32, length: l_out as u32 },
            kernel: self.kernel_size as u32,
            stride: self.stride as u32,
            dilation: self.dilation as u32,
            groups: self.groups as u32,
            pad_left: left as u32,
            pad_right: right as u32,
            extension: Extension::new(self.padding_mode, l, left, right),
        };
        Ok((shapes, geometry))
    }
}
