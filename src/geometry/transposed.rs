use super::{Cost, Extension, Geometry, Padding, Shape, Shapes, Side, check_arguments, index};
use crate::error::{Error, Result};

/// A transposed 1-D convolution in the notation of `torch.nn.ConvTranspose1d`: the adjoint of [`crate::Conv1d`], plus
/// bias.
///
/// `x [N, C_in, L]`, `w [C_in, C_out/groups, K]`, `b [C_out]`, `y [N, C_out, L_out]`, row-major; without a batch
/// `x [C_in, L]` and `y [C_out, L_out]`; with
///
/// ```text
/// y[n,o,m] = b[o] + sum over c,i,k with i*stride + k*dilation - pad_left = m of w[c,o',k] * x[n,c,i]
/// L_out    = (L-1)*stride - pad_left - pad_right + dilation*(K-1) + output_padding + 1
/// ```
///
/// Output samples that no input reaches hold the bias.
///
/// ```
/// use conv1d::{ConvTranspose1d, Padding};
/// let up = ConvTranspose1d::new(512, 256, 16).stride(8).padding(Padding::both(4));
/// assert_eq!(up.output_shape([1, 512, 800])?, [1, 256, 6400]);
/// # Ok::<(), conv1d::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ConvTranspose1d {
    /// `C_in`.
    pub in_channels: usize,
    /// `C_out`.
    pub out_channels: usize,
    /// K.
    pub kernel_size: usize,
    /// Distance between the windows of neighbouring inputs in the output, in samples.
    pub stride: usize,
    /// Distance between neighbouring taps, in samples.
    pub dilation: usize,
    /// Number of groups. Each output channel sees only the input channels of its own group.
    pub groups: usize,
    /// Number of samples cropped from each end of the full output.
    pub padding: Padding,
    /// Samples added to the output on the right; smaller than the stride or the dilation.
    pub output_padding: usize,
}

impl ConvTranspose1d {
    /// Stride 1, dilation 1, one group, nothing cropped, no output padding.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        ConvTranspose1d {
            in_channels,
            out_channels,
            kernel_size,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: Padding::Valid,
            output_padding: 0,
        }
    }

    /// Sets the stride: the factor of upsampling.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        ConvTranspose1d { stride, ..self }
    }

    /// Sets the dilation.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        ConvTranspose1d { dilation, ..self }
    }

    /// Sets the number of groups.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        ConvTranspose1d { groups, ..self }
    }

    /// Sets the number of samples cropped from each end of the full output.
    #[must_use]
    pub const fn padding(self, padding: Padding) -> Self {
        ConvTranspose1d { padding, ..self }
    }

    /// Sets the number of samples added to the output on the right.
    #[must_use]
    pub const fn output_padding(self, output_padding: usize) -> Self {
        ConvTranspose1d { output_padding, ..self }
    }

    /// Length of the window of one input, in output samples: `dilation * (kernel_size - 1) + 1`.
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

    /// `[C_in, C_out/groups, K]`.
    pub fn weight_shape(&self) -> Result<[usize; 3]> {
        self.check()?;
        Ok([self.in_channels, self.out_channels / self.groups, self.kernel_size])
    }

    /// Operations, bytes and parameters of one forward pass.
    pub fn cost(&self, input: impl AsRef<[usize]>) -> Result<Cost> {
        let (shapes, g) = self.resolve(input.as_ref())?;
        Ok(Cost::of(&shapes, &g))
    }

    /// Number of parameters: `C_in * C_out/groups * K`, plus `C_out` with a bias. 0 if `groups` is 0.
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
        check_arguments(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.dilation,
            self.groups,
        )?;
        // Output padding selects one of the lengths that a strided convolution maps to the same output length; there are no others.
        let Self { output_padding, stride, dilation, .. } = *self;
        if output_padding >= stride && output_padding >= dilation {
            return Err(Error::OutputPadding { output_padding, stride, dilation });
        }
        Ok(())
    }

    pub(crate) fn resolve(&self, input: &[usize]) -> Result<(Shapes, Geometry)> {
        self.check()?;
        let input = Shape::input(input, self.in_channels)?;
        let [n, _, l] = input.ncl();
        index("length", l as u64)?;
        index("batch", n as u64)?;
        let reached = (l as u64 - 1) * self.stride as u64 + self.span();
        index("length of the uncropped output", reached + self.output_padding as u64)?;
        let full = (reached + self.output_padding as u64) as i64;
        let (left, right) = self.padding.crops(self.span(), self.stride as u64);
        let cropped = i64::try_from(left).unwrap_or(i64::MAX).saturating_add(right);
        if cropped >= full {
            return Err(Error::EmptyOutput { full: full as u64, cropped: cropped as u64 });
        }
        let l_out = index("length of the output", (full - cropped) as u64)?;
        index("left crop", left)?;
        index("length of the padded output", u64::from(l_out) + left + right.max(0) as u64)?;
        let shapes = Shapes {
            input,
            weight: [self.in_channels, self.out_channels / self.groups, self.kernel_size],
            bias: [self.out_channels],
            output: input.with(self.out_channels, l_out as usize),
        };
        shapes.check()?;
        let geometry = Geometry {
            batch: n as u32,
            wide: Side { channels: self.out_channels as u32, length: l_out },
            narrow: Side { channels: self.in_channels as u32, length: l as u32 },
            kernel: self.kernel_size as u32,
            stride: self.stride as u32,
            dilation: self.dilation as u32,
            groups: self.groups as u32,
            pad_left: left as u32,
            pad_right: 0,
            extension: Extension::ZEROS,
        };
        Ok((shapes, geometry))
    }
}
