//! The error type: errors of networks, and those of `conv1d`.

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of a failed call. A failed call changes nothing, unless its documentation says otherwise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of [`conv1d`]: a shape, a limit, a file, the device.
    #[error(transparent)]
    Conv1d(#[from] conv1d::Error),
    /// An error in one layer of a network.
    #[error("layer {layer}: {error}")]
    Layer {
        /// Name of the layer; `(root)` for an operation of the network's own module.
        layer: String,
        /// The error.
        error: Box<Error>,
    },
    /// An argument is out of range.
    #[error("{argument} must be {expected}, got {value}")]
    Argument {
        /// Name of the argument.
        argument: &'static str,
        /// The value.
        value: f64,
        /// The valid range.
        expected: &'static str,
    },
    /// A parameter has the wrong name, shape or contents.
    #[error("{name}: {message}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// The cause.
        message: String,
    },
    /// The names in a state dictionary differ from those of the network.
    #[error("the state dictionary is of another network: missing {missing:?}, unexpected {unexpected:?}")]
    StateKeys {
        /// Names that the network has and the dictionary lacks.
        missing: Vec<String>,
        /// Names that the dictionary has and the network lacks.
        unexpected: Vec<String>,
    },
    /// Batch normalisation in training mode has too few values per channel for a variance.
    #[error("batch normalisation needs 2 values of each channel to train on, the batch has {positions}")]
    TooFewPositions {
        /// Values per channel: batch times length.
        positions: u64,
    },
    /// A dataset does not fill one batch.
    #[error("{samples} samples do not fill a batch of {batch}")]
    TooFewSamples {
        /// Number of samples in the dataset.
        samples: usize,
        /// Number of samples in a batch.
        batch: usize,
    },
    /// The loss needs targets of another type.
    #[error("the loss needs targets of {expected}, got {got}")]
    TargetKind {
        /// The type that the loss needs.
        expected: &'static str,
        /// The type that was given.
        got: &'static str,
    },
    /// A call needs an option or another call before it.
    #[error("{what} need {needs}")]
    Unprepared {
        /// The requested values.
        what: &'static str,
        /// The option or the call that they need.
        needs: &'static str,
    },
    /// Parameters, gradients, sessions or optimisers of different networks were combined.
    #[error("{what} of another network")]
    WrongNetwork {
        /// The object that belongs to another network.
        what: &'static str,
    },
}

impl Error {
    /// Adds the name of the layer to this error. An error that already names a layer is unchanged, so the innermost
    /// layer stays.
    pub(crate) fn in_layer(self, layer: &str) -> Self {
        match self {
            error @ Error::Layer { .. } => error,
            error => {
                let layer = if layer.is_empty() { "(root)" } else { layer };
                Error::Layer { layer: layer.into(), error: Box::new(error) }
            }
        }
    }

    pub(crate) fn argument(argument: &'static str, value: impl Into<f64>, expected: &'static str) -> Self {
        Error::Argument { argument, value: value.into(), expected }
    }

    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Error::Parameter { name: name.into(), message: message.into() }
    }

    pub(crate) fn shape(tensor: &'static str, got: &[usize], expected: impl Into<String>) -> Self {
        conv1d::Error::Shape { tensor, got: got.to_vec(), expected: expected.into() }.into()
    }

    pub(crate) fn too_large(what: &'static str, value: u64, limit: u64) -> Self {
        conv1d::Error::TooLarge { what, value, limit }.into()
    }

    pub(crate) fn zero(argument: &'static str) -> Self {
        conv1d::Error::Zero { argument }.into()
    }

    pub(crate) fn file(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        conv1d::Error::File { path: path.display().to_string(), message: reason.to_string() }.into()
    }
}
