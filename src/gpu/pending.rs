//! Errors of wgpu's calls. Natively each call waits for its errors and returns them. A browser reports them later.

#[cfg(target_arch = "wasm32")]
use super::lock;
use crate::error::{Error, Result};
#[cfg(target_arch = "wasm32")]
use std::sync::Mutex;

/// The error of a call of wgpu, if any, once it is known.
type Said = std::pin::Pin<Box<dyn Future<Output = Option<Error>>>>;

/// Calls wgpu in error scopes: its errors are returned and do not reach the application's handler. `told` maps them.
fn captured<T>(
    device: &wgpu::Device,
    call: impl FnOnce() -> T,
    told: impl FnOnce(Error) -> Error + 'static,
) -> (T, Said) {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let value = call();
    let (validation, internal, memory) = (validation.pop(), internal.pop(), memory.pop());
    let said = Box::pin(async {
        // Out of memory first: calls that follow it fail validation.
        let errors = [memory.await, internal.await, validation.await];
        errors.iter().flatten().next().map(|error| told(convert(error)))
    });
    (value, said)
}

impl Pending {
    /// Calls wgpu in error scopes. Natively returns the error; in a browser keeps it for [`Pending::settled`].
    pub(super) fn guarded<T>(
        &self,
        device: &wgpu::Device,
        call: impl FnOnce() -> T,
        told: impl FnOnce(Error) -> Error + 'static,
    ) -> Result<T> {
        let (value, said) = captured(device, call, told);
        self.hear(said).map(|()| value)
    }
}

/// Errors of calls that have returned: none natively, because every call waits for its own.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug, Default)]
pub(super) struct Pending {}

#[cfg(not(target_arch = "wasm32"))]
impl Pending {
    fn hear(&self, said: Said) -> Result<()> {
        pollster::block_on(said).map_or(Ok(()), Err)
    }

    pub(super) async fn settled(&self) -> Result<()> {
        Ok(())
    }
}

/// Errors of calls that have returned. A browser reports them later.
#[cfg(target_arch = "wasm32")]
#[derive(Default)]
pub(super) struct Pending {
    said: Mutex<Vec<Said>>,
    /// The first error that was not yet returned.
    first: Mutex<Option<Error>>,
}

#[cfg(target_arch = "wasm32")]
impl Pending {
    fn hear(&self, said: Said) -> Result<()> {
        let mut all = lock(&self.said);
        all.push(said);
        // Known outcomes are removed now, because a program may never call `settled`.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        all.retain_mut(|said| match said.as_mut().poll(&mut context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(error) => {
                self.note(error);
                false
            }
        });
        Ok(())
    }

    fn note(&self, error: Option<Error>) {
        let mut first = lock(&self.first);
        if first.is_none() {
            *first = error;
        }
    }

    pub(super) async fn settled(&self) -> Result<()> {
        let all = std::mem::take(&mut *lock(&self.said));
        for said in all {
            self.note(said.await);
        }
        lock(&self.first).take().map_or(Ok(()), Err)
    }
}

#[cfg(target_arch = "wasm32")]
impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("calls", &lock(&self.said).len()).finish_non_exhaustive()
    }
}

fn convert(error: &wgpu::Error) -> Error {
    // The display of a wgpu error names the call; the causes are its sources.
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.contains(&cause_text) {
            message = format!("{message}: {cause_text}");
        }
        source = cause.source();
    }
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { message },
        _ => Error::Validation { message },
    }
}
