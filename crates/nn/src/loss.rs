//! Losses and their targets.

/// Training loss, averaged over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The mean of the squared differences to a target of the output's shape (`torch.nn.MSELoss`).
    MeanSquaredError,
    /// The mean of `-log softmax` over the channels, at the target class (`torch.nn.CrossEntropyLoss`), for outputs
    /// `[N, C]`, or for every position of `[N, C, L]`. Targets are classes, `[N]` or `[N, L]`.
    CrossEntropy,
}

impl Loss {
    /// The type of its targets.
    pub(crate) const fn target(self) -> TargetKind {
        match self {
            Loss::MeanSquaredError => TargetKind::Values,
            Loss::CrossEntropy => TargetKind::Classes,
        }
    }
}

/// The type of the elements of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetKind {
    /// Numbers, for [`Loss::MeanSquaredError`].
    Values,
    /// Classes, for [`Loss::CrossEntropy`].
    Classes,
}

impl TargetKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            TargetKind::Values => "numbers (f32)",
            TargetKind::Classes => "classes (u32)",
        }
    }
}

/// An element of a target: `f32`, a number, or `u32`, a class.
pub trait Target: bytemuck::Pod + Send + private::Sealed {
    /// Its type.
    const KIND: TargetKind;
}

impl Target for f32 {
    const KIND: TargetKind = TargetKind::Values;
}

impl Target for u32 {
    const KIND: TargetKind = TargetKind::Classes;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u32 {}
}
