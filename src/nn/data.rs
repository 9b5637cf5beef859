//! Batches of samples, made on one thread while another feeds the device.

use super::random::{key, permutation};
use crate::error::{Error, Result};
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::sync_channel;

/// What a target is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Numbers, for [`crate::nn::Loss::MeanSquaredError`].
    Values,
    /// Classes, for [`crate::nn::Loss::CrossEntropy`].
    Classes,
}

impl TargetKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            TargetKind::Values => "numbers (f32)",
            TargetKind::Classes => "classes (u32)",
        }
    }
}

/// An element of a target: `f32`, a number, or `u32`, a class.
pub trait Target: bytemuck::Pod + Send + private::Sealed {
    /// What it is.
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

/// Samples to train on.
pub trait Dataset: Sync {
    /// What targets are made of.
    type Target: Target;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes a sample, `[C, L]`, and its target. It must depend on the index alone, for a run to be repeatable.
    fn sample(&self, index: usize, input: &mut [f32], target: &mut [Self::Target]);
}

/// Batches made ready ahead of the device.
const AHEAD: usize = 2;

/// Stream of the random numbers that order the samples of the first epoch; those of layers and dropouts are other ones.
const ORDER: u32 = 0x4000_0000;

/// Makes the batches of a run: which one follows from the step alone.
#[derive(Debug)]
pub(super) struct Loader<'a, D> {
    data: &'a D,
    batch: usize,
    /// Elements of an input and of a target of a batch.
    input: usize,
    target: usize,
    seed: u64,
    /// Batches of an epoch.
    batches: u64,
}

impl<'a, D: Dataset> Loader<'a, D> {
    pub(super) fn new(data: &'a D, batch: usize, input: usize, target: usize, seed: u64) -> Result<Self> {
        let batches = data.len().checked_div(batch).unwrap_or_default() as u64;
        if batches == 0 {
            return Err(Error::TooFewSamples { samples: data.len(), batch });
        }
        Ok(Loader { data, batch, input, target, seed, batches })
    }

    /// Gives the batches of the steps to `each`, which may end it.
    pub(super) fn run(
        &self,
        steps: Range<u64>,
        mut each: impl FnMut(&[f32], &[D::Target]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(AHEAD);
            scope.spawn(move || {
                let mut epoch = None;
                for step in steps {
                    let of = step / self.batches;
                    let order = match epoch.take() {
                        Some((same, order)) if same == of => order,
                        _ => permutation(self.data.len(), key(self.seed, ORDER.wrapping_add(of as u32))),
                    };
                    let batch = self.batch_of(&order, (step % self.batches) as usize);
                    epoch = Some((of, order));
                    // Nobody listens any more: the run has ended.
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            });
            for (input, target) in receiver {
                if each(&input, &target)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn batch_of(&self, order: &[usize], batch: usize) -> (Vec<f32>, Vec<D::Target>) {
        let mut inputs = vec![0.0; self.input];
        let mut targets = vec![<D::Target as bytemuck::Zeroable>::zeroed(); self.target];
        let samples = order[batch * self.batch..].iter().take(self.batch);
        let (input, target) = (self.input / self.batch, self.target / self.batch);
        for (place, &sample) in samples.enumerate() {
            let inputs = &mut inputs[place * input..][..input];
            self.data.sample(sample, inputs, &mut targets[place * target..][..target]);
        }
        (inputs, targets)
    }
}
