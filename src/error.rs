//! The error type of this crate. Each variant has the values that caused it.

/// Result of the fallible calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. No argument makes a call panic: invalid ones return one of these.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that must be at least 1 is 0.
    #[error("{argument} must be at least 1, got 0")]
    Zero {
        /// Name of the argument.
        argument: &'static str,
    },
    /// The number of groups does not divide a number of channels.
    #[error("groups {groups} does not divide {argument} {value}")]
    GroupsDoNotDivide {
        /// Number of groups.
        groups: usize,
        /// `in_channels` or `out_channels`.
        argument: &'static str,
        /// Value of that argument.
        value: usize,
    },
    /// A value exceeds its limit: the range of 32-bit indices, a limit of the device or of the plan, or a size that was given.
    #[error("{what} is {value}, more than {limit}")]
    TooLarge {
        /// The quantity.
        what: &'static str,
        /// Its value, or `u64::MAX` if it does not fit.
        value: u64,
        /// Its largest allowed value.
        limit: u64,
    },
    /// A tensor has another shape than the operation needs.
    #[error("{tensor} has the shape {got:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The expected shape, in words or numbers.
        expected: String,
    },
    /// The number of values does not match the shape.
    #[error("{tensor} has {got} values, its shape needs {expected}")]
    DataLength {
        /// Name of the tensor.
        tensor: &'static str,
        /// Number of values given.
        got: usize,
        /// Number of values that the shape needs.
        expected: usize,
    },
    /// The dilated kernel is longer than the padded input: there is no output.
    #[error("the kernel spans {span} samples, the padded input has only {padded}")]
    KernelTooLong {
        /// `dilation * (kernel_size - 1) + 1`.
        span: u64,
        /// `length + pad_left + pad_right`.
        padded: u64,
    },
    /// The padding is longer than one repetition of the input. [`crate::Conv1d::unbounded_padding`] allows that.
    #[error(
        "{mode} padding of {amount} on the {side} repeats an input of length {length} more than once (at most {limit}; unbounded_padding allows more)"
    )]
    PaddingTooLong {
        /// Name of the padding mode.
        mode: &'static str,
        /// `left` or `right`.
        side: &'static str,
        /// Requested samples.
        amount: u64,
        /// Length of the input.
        length: usize,
        /// Largest amount for this mode and length.
        limit: u64,
    },
    /// The output padding of a transposed convolution is not smaller than its stride or its dilation.
    #[error("output_padding {output_padding} must be smaller than stride {stride} or dilation {dilation}")]
    OutputPadding {
        /// The argument.
        output_padding: usize,
        /// Stride.
        stride: usize,
        /// Dilation.
        dilation: usize,
    },
    /// The text does not name an amount of padding.
    #[error(
        "{text:?} is not a padding; expected valid, same, same-lower, causal, anti-causal, full or numbers: 2 (both sides), 3,0"
    )]
    UnknownPadding {
        /// The text.
        text: String,
    },
    /// There is no padding mode of this name.
    #[error(
        "no padding mode is called {name:?}; there are zeros, constant=VALUE, reflect, symmetric, replicate and circular"
    )]
    UnknownPaddingMode {
        /// The name.
        name: String,
    },
    /// A transposed convolution has no padding mode: its padding crops the output.
    #[error("a transposed convolution has no padding mode {mode}")]
    TransposedPaddingMode {
        /// Name of the mode.
        mode: &'static str,
    },
    /// The slope of a leaky `ReLU` is not finite.
    #[error("the slope of a leaky ReLU must be finite, got {slope}")]
    Slope {
        /// The slope.
        slope: f32,
    },
    /// The padding of a transposed convolution crops the whole output away.
    #[error("padding crops {cropped} samples of an output of {full}: nothing is left")]
    EmptyOutput {
        /// Length before cropping, output padding included.
        full: u64,
        /// `pad_left + pad_right`.
        cropped: u64,
    },
    /// The forced kernel does not support the operation, or no kernel does.
    #[error("kernel {kernel} cannot do this: {reason}")]
    Unsupported {
        /// Name of the kernel.
        kernel: &'static str,
        /// The cause, with the values.
        reason: String,
    },
    /// There is no kernel of this name.
    #[error("no kernel is called {name:?}; there are {known}")]
    UnknownKernel {
        /// The requested name.
        name: String,
        /// Names of all kernels.
        known: String,
    },
    /// A limit of the device does not meet the need.
    #[error("the device's {limit} is {available}, {needed} is needed")]
    DeviceLimit {
        /// Name of the limit.
        limit: &'static str,
        /// The limit of the device.
        available: u64,
        /// The limit that is needed.
        needed: u64,
    },
    /// The rows of two signals do not pair up: two axes differ, and neither has size 1.
    #[error("the rows of {first:?} and {second:?} do not broadcast: axis {axis} from the end has sizes {sizes:?}")]
    Broadcast {
        /// Shape of the first tensor.
        first: Vec<usize>,
        /// Shape of the second tensor.
        second: Vec<usize>,
        /// The axis, counted from the end; the last is 1.
        axis: usize,
        /// Size of that axis in each tensor.
        sizes: [usize; 2],
    },
    /// A buffer that the plan needs was not given.
    #[error("the plan needs a buffer for {role}, none was given")]
    MissingBuffer {
        /// Role of the buffer.
        role: &'static str,
    },
    /// A buffer was given that the plan does not use.
    #[error("a buffer was given for {role}, which this plan does not use")]
    UnusedBuffer {
        /// Role of the buffer.
        role: &'static str,
    },
    /// Two tensors were given for one role.
    #[error("{role} is given twice")]
    GivenTwice {
        /// The role.
        role: &'static str,
    },
    /// A buffer is too short for its tensor.
    #[error("the buffer for {role} has {got} bytes from its offset, {needed} are needed")]
    BufferTooSmall {
        /// Role of the buffer.
        role: &'static str,
        /// Bytes from the offset on.
        got: u64,
        /// Bytes of the tensor.
        needed: u64,
    },
    /// The offset of a buffer is not a multiple of 4 bytes.
    #[error("the offset {offset} of the buffer for {role} is not a multiple of 4 bytes")]
    BufferMisaligned {
        /// Role of the buffer.
        role: &'static str,
        /// The offset in bytes.
        offset: u64,
    },
    /// A buffer was created without a usage that it needs.
    #[error("the buffer for {role} lacks the usage {usage}")]
    BufferUsage {
        /// Role of the buffer.
        role: &'static str,
        /// Name of the missing usage.
        usage: &'static str,
    },
    /// Two tensors share elements of a buffer, and one of them is written.
    #[error("{first} and {second} overlap in one buffer, and one of them is written")]
    Aliased {
        /// One role.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Two tensors of one buffer, one of which is written, do not overlap, but their aligned bindings do. Browsers refuse that.
    #[error(
        "{first} and {second} are in one buffer and overlap where bindings start, at multiples of {alignment} bytes; one of them is \
         written, and browsers refuse that"
    )]
    AliasedByAlignment {
        /// One role.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Alignment of the start of a binding, in bytes.
        alignment: u64,
    },
    /// The layout of a packed weight differs from the one that a plan reads.
    #[error("the packed weight is {got}; the plan reads {expected}")]
    PackedWeight {
        /// The layout of the packed weight.
        got: String,
        /// The layout that the plan reads.
        expected: String,
    },
    /// The variants of a plan add terms in another order than the requested one.
    #[error("the requested order is: {wanted}; the order of this variant is: {got}")]
    Order {
        /// The requested order.
        wanted: String,
        /// The order of the best candidate.
        got: String,
    },
    /// A packed weight was requested for an operation that reads no weight.
    #[error("{operation} reads no weight that could be packed")]
    NoWeight {
        /// The operation.
        operation: &'static str,
    },
    /// A tensor, a workspace, a packed weight or a bound operation belongs to another device than the one it is used with.
    #[error("{tensor} belongs to another device")]
    WrongDevice {
        /// Name of the tensor or of the other object.
        tensor: &'static str,
    },
    /// No adapter matches.
    #[error(
        "no adapter {wanted}; there are: {found}. On Linux without a GPU, the package mesa-vulkan-drivers brings a software one"
    )]
    NoAdapter {
        /// The criterion, in words.
        wanted: String,
        /// Names of the adapters found, or `none`.
        found: String,
    },
    /// The tuning was measured on another adapter, with another driver, or by another version of this library.
    #[error("the tuning is for the {what} {tuned:?}, this is {have:?}")]
    TunedElsewhere {
        /// The property that differs.
        what: &'static str,
        /// Its value in the tuning.
        tuned: String,
        /// Its value here.
        have: String,
    },
    /// A file could not be read or written, or its contents are invalid.
    #[error("{path}: {message}")]
    File {
        /// Path of the file.
        path: String,
        /// The cause.
        message: String,
    },
    /// The adapter did not return a device.
    #[error("no device: {message}")]
    NoDevice {
        /// Message of the driver.
        message: String,
    },
    /// The device is out of memory. Nothing was run.
    #[error("out of device memory: {message}")]
    OutOfMemory {
        /// Message of the driver.
        message: String,
    },
    /// The device was lost: the driver gave it up, or it was destroyed.
    #[error("the device was lost: {message}")]
    DeviceLost {
        /// The cause.
        message: String,
    },
    /// A shader could not be composed, compiled or bound.
    #[error("shader {shader} failed: {message}")]
    Shader {
        /// Name of the shader.
        shader: String,
        /// Message of the compiler.
        message: String,
    },
    /// A variable of a caller's shader cannot be bound.
    #[error("shader {shader}, {variable}: {reason}")]
    Binding {
        /// Name of the shader.
        shader: String,
        /// Name of the variable, or of the field of a uniform struct.
        variable: String,
        /// The cause, with the values.
        reason: String,
    },
    /// wgpu refused a call. This is a defect of this crate unless the caller's device or buffers are invalid.
    #[error("wgpu refused: {message}")]
    Validation {
        /// Message of wgpu.
        message: String,
    },
}

impl Error {
    pub(crate) fn file(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        Error::File { path: path.display().to_string(), message: reason.to_string() }
    }
}
