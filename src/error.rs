//! What can go wrong, with the numbers in it.

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. No call of this crate panics on what a caller passes; it answers one of these.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that counts something is 0.
    #[error("{argument} must be at least 1, got 0")]
    Zero {
        /// Name of the argument.
        argument: &'static str,
    },
    /// The groups do not split the channels evenly.
    #[error("groups {groups} does not divide {argument} {value}")]
    GroupsDoNotDivide {
        /// Number of groups.
        groups: usize,
        /// `in_channels` or `out_channels`.
        argument: &'static str,
        /// Value of that argument.
        value: usize,
    },
    /// A number is beyond what indices of 32 bits, or the device, can address.
    #[error("{what} is {value}, more than {limit}")]
    TooLarge {
        /// The quantity.
        what: &'static str,
        /// Its value (the largest `u64` where it does not fit one).
        value: u64,
        /// The most it may be.
        limit: u64,
    },
    /// A tensor has another shape than the convolution needs.
    #[error("{tensor} has the shape {got:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        tensor: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it should have, in words or numbers.
        expected: String,
    },
    /// Host data does not have as many values as its shape says.
    #[error("{tensor} has {got} values, its shape needs {expected}")]
    DataLength {
        /// Name of the tensor.
        tensor: &'static str,
        /// Number of values given.
        got: usize,
        /// Number of values of the shape.
        expected: usize,
    },
    /// The kernel, dilated, is longer than the input with its padding: there is no output.
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
        /// Samples asked for.
        amount: u64,
        /// Length of the input.
        length: usize,
        /// The most this mode can give at that length.
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
    /// This is no amount of padding.
    #[error(
        "{text:?} is no padding; there are valid, same, same-lower, causal, anti-causal, full and numbers: 2 (both sides), 3,0"
    )]
    UnknownPadding {
        /// What was given.
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
    /// A transposed convolution crops its output and extends nothing.
    #[error("a transposed convolution has no padding mode {mode}")]
    TransposedPaddingMode {
        /// Name of the mode.
        mode: &'static str,
    },
    /// The slope of a leaky ReLU is no finite number.
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
    /// A kernel was forced that does not support the operation, or no kernel supports it.
    #[error("kernel {kernel} cannot do this: {reason}")]
    Unsupported {
        /// Name of the kernel.
        kernel: &'static str,
        /// Why, with the numbers.
        reason: String,
    },
    /// There is no kernel of this name.
    #[error("no kernel is called {name:?}; there are {known}")]
    UnknownKernel {
        /// The name asked for.
        name: String,
        /// Names of the kernels.
        known: String,
    },
    /// A limit of the device is lower than what is needed.
    #[error("the device's {limit} is {available}, {needed} is needed")]
    DeviceLimit {
        /// Name of the limit.
        limit: &'static str,
        /// What the device offers.
        available: u64,
        /// What is needed.
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
        /// Its size in each.
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
    /// A buffer was created without a usage that is needed.
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
    /// Two tensors of one buffer, one of which is written, lie so near to each other that a browser sees them overlap.
    #[error(
        "{first} and {second} are in one buffer and overlap where bindings start, at multiples of {alignment} bytes; one of them is \
         written, and browsers refuse that"
    )]
    AliasedByAlignment {
        /// One role.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Bytes of which a binding starts at a multiple.
        alignment: u64,
    },
    /// A packed weight has another layout than a plan reads.
    #[error("the packed weight is {got}; the plan reads {expected}")]
    PackedWeight {
        /// The layout of the packed weight.
        got: String,
        /// The layout that the plan reads.
        expected: String,
    },
    /// A plan is asked to add terms in another order than its variants do.
    #[error("the order asked for is: {wanted}; this variant's is: {got}")]
    Order {
        /// The order that was asked for.
        wanted: String,
        /// The order of the best candidate.
        got: String,
    },
    /// A packed weight is asked for an operation that reads no weight.
    #[error("{operation} reads no weight that could be packed")]
    NoWeight {
        /// The operation.
        operation: &'static str,
    },
    /// A tensor belongs to another device than the one it is used with.
    #[error("{tensor} belongs to another device")]
    WrongDevice {
        /// Name of the tensor.
        tensor: &'static str,
    },
    /// No adapter fits.
    #[error(
        "no adapter {wanted}; there are: {found}. On Linux without a GPU, the package mesa-vulkan-drivers brings a software one"
    )]
    NoAdapter {
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// What was measured was measured elsewhere: on another adapter, with another driver, or by another version.
    #[error("the tuning is for the {what} {tuned:?}, this is {have:?}")]
    TunedElsewhere {
        /// What differs.
        what: &'static str,
        /// What it was measured on.
        tuned: String,
        /// What there is.
        have: String,
    },
    /// A file could not be read or written, or is not what it should be.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// The adapter gave no device.
    #[error("no device: {message}")]
    NoDevice {
        /// What the driver said.
        message: String,
    },
    /// The device is out of memory. Nothing was run.
    #[error("out of device memory: {message}")]
    OutOfMemory {
        /// What the driver said.
        message: String,
    },
    /// The device was lost: the driver gave it up, or it was destroyed.
    #[error("the device was lost: {message}")]
    DeviceLost {
        /// What the driver said.
        message: String,
    },
    /// A shader failed to compile.
    #[error("shader {shader} failed: {message}")]
    Shader {
        /// Name of the shader.
        shader: String,
        /// What the compiler said.
        message: String,
    },
    /// A variable of a caller's shader cannot be bound as asked.
    #[error("shader {shader}, {variable}: {reason}")]
    Binding {
        /// Name of the shader.
        shader: String,
        /// Name of the variable, or of the field of a uniform struct.
        variable: String,
        /// Why, with the numbers.
        reason: String,
    },
    /// wgpu refused a call. This is a defect of this crate unless the caller's device or buffers are invalid.
    #[error("wgpu refused: {message}")]
    Validation {
        /// What wgpu said.
        message: String,
    },
}

impl Error {
    pub(crate) fn file(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        Error::File { path: path.display().to_string(), message: reason.to_string() }
    }
}
