//! Errors.

/// A shader or a dispatch that cannot be interpreted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not valid WGSL. The message has the line.
    #[error("the shader is not valid: {message}")]
    Invalid {
        /// naga's message.
        message: String,
    },
    /// The shader uses something that the interpreter does not know.
    #[error("the interpreter does not know {what}")]
    Unknown {
        /// Its name.
        what: String,
    },
    /// There is no compute entry point with this name, or none at all.
    #[error("there is no compute entry point {name:?}")]
    EntryPoint {
        /// The name, empty for the first.
        name: String,
    },
    /// A variable has nothing bound to it, or a bound name is not one of its variables.
    #[error("variable {name:?}: {problem}")]
    Binding {
        /// Name of the variable.
        name: String,
        /// The reason.
        problem: String,
    },
    /// A number is out of its range.
    #[error("{what} is {value}, expected {expected}")]
    Value {
        /// Name of the number.
        what: &'static str,
        /// The number.
        value: u64,
        /// The allowed values.
        expected: &'static str,
    },
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
