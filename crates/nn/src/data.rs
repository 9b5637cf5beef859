//! Batches of samples, made on one thread while another thread feeds the device.

use crate::error::{Error, Result};
use crate::loss::Target;
use crate::random::{key, permuted};
#[cfg(not(target_arch = "wasm32"))]
use std::ops::{ControlFlow, Range};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::mpsc::sync_channel;

/// Samples to train on.
///
/// ```
/// use conv1d_nn::Dataset;
///
/// /// Rising and falling lines, with the direction as the class.
/// struct Lines;
///
/// impl Dataset for Lines {
///     type Target = u32; // classes, for Loss::CrossEntropy; numbers are f32
///
///     fn len(&self) -> usize {
///         1000
///     }
///
///     fn sample(&self, index: usize, input: &mut [f32], target: &mut [u32]) {
///         let slope = if index % 2 == 0 { 0.1 } else { -0.1 };
///         input.iter_mut().enumerate().for_each(|(t, x)| *x = slope * t as f32);
///         target[0] = index as u32 % 2;
///     }
/// }
/// let (mut input, mut target) = ([0.0; 4], [0]);
/// Lines.sample(1, &mut input, &mut target);
/// assert_eq!((input[1], target), (-0.1, [1]));
/// ```
pub trait Dataset: Sync {
    /// Element type of the targets.
    type Target: Target;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes a sample `[C, L]` and its target. Both must depend only on the index, so that a run is repeatable.
    fn sample(&self, index: usize, input: &mut [f32], target: &mut [Self::Target]);
}

/// Number of batches prepared ahead of the device.
#[cfg(not(target_arch = "wasm32"))]
const AHEAD: usize = 2;

/// Random stream of the sample order in the first epoch. Parameters and dropouts use other streams.
const ORDER: u32 = 0x4000_0000;

/// Makes the batches of a run. For a given seed, the step alone determines the samples of a batch.
#[derive(Debug)]
pub(super) struct Loader<'a, D> {
    data: &'a D,
    samples: u64,
    batch: usize,
    /// Elements of the input and of the target of a batch.
    input: usize,
    target: usize,
    seed: u64,
}

impl<'a, D: Dataset> Loader<'a, D> {
    pub(super) fn new(data: &'a D, batch: usize, input: usize, target: usize, seed: u64) -> Result<Self> {
        let samples = data.len();
        if samples < batch || batch == 0 {
            return Err(Error::TooFewSamples { samples, batch });
        }
        Ok(Loader { data, samples: samples as u64, batch, input, target, seed })
    }

    /// Passes the batch of each step to `each`, which may stop the loop. Batches are made on another thread if one can
    /// be started.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn run(
        &self,
        steps: Range<u64>,
        mut each: impl FnMut(&[f32], &[D::Target]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(AHEAD);
            let ahead = steps.clone();
            let make = move || {
                // Sending fails once the run has ended.
                ahead.map(|step| sender.send(self.make(step))).take_while(std::result::Result::is_ok).count()
            };
            let Ok(maker) = std::thread::Builder::new().name("conv1d batches".into()).spawn_scoped(scope, make) else {
                return all(steps.map(|step| self.make(step)), each);
            };
            let done = all(receiver.into_iter(), &mut each);
            match maker.join() {
                Ok(_) => done,
                // Continue a panic of the dataset on this thread.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The batch of a step.
    pub(super) fn make(&self, step: u64) -> Batch<D::Target> {
        let batches = self.samples / self.batch as u64;
        let order = key(self.seed, ORDER.wrapping_add((step / batches) as u32));
        let first = step % batches * self.batch as u64;
        let mut inputs = vec![0.0; self.input];
        let mut targets = vec![<D::Target as bytemuck::Zeroable>::zeroed(); self.target];
        let (input, target) = (self.input / self.batch, self.target / self.batch);
        for place in 0..self.batch {
            let sample = permuted(first + place as u64, self.samples, order) as usize;
            let inputs = &mut inputs[place * input..][..input];
            self.data.sample(sample, inputs, &mut targets[place * target..][..target]);
        }
        (inputs, targets)
    }
}

/// Inputs and targets.
pub(super) type Batch<T> = (Vec<f32>, Vec<T>);

#[cfg(not(target_arch = "wasm32"))]
fn all<T>(
    batches: impl Iterator<Item = Batch<T>>,
    mut each: impl FnMut(&[f32], &[T]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for (input, target) in batches {
        if each(&input, &target)?.is_break() {
            break;
        }
    }
    Ok(())
}
