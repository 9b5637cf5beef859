//! Waiting for the device without blocking the thread that polls a future.
//!
//! wgpu calls back only within `poll` and `submit`, so some thread must poll. Natively one thread per device polls while a
//! future is awaited; a blocking call polls on its own thread. In a browser the event loop polls.

use super::{Gpu, lost};
use crate::error::Result;
use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The outcome that a callback of wgpu reports, once.
#[derive(Debug)]
pub(crate) struct Signal {
    teller: Arc<Teller>,
    receiver: OneshotReceiver<Result<()>>,
}

/// The sender of a [`Signal`], for the callback.
#[derive(Debug)]
pub(crate) struct Teller {
    sender: OneshotSender<Result<()>>,
    /// The submission that must end before the callback is called.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "a browser polls by itself"))]
    submission: wgpu::SubmissionIndex,
    /// Whether the callback was called, or nobody waits for it any more.
    over: AtomicBool,
}

impl Teller {
    pub(super) fn tell(&self, outcome: Result<()>) {
        self.over.store(true, Ordering::Release);
        // A second send fails, and the first counts.
        drop(self.sender.send(outcome));
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Signal {
    /// A signal for a callback, which `register` installs and which is called after the end of a submission.
    pub(super) fn new(submission: wgpu::SubmissionIndex, register: impl FnOnce(Arc<Teller>)) -> Signal {
        let (sender, receiver) = oneshot_channel();
        let teller = Arc::new(Teller { sender, submission, over: AtomicBool::new(false) });
        register(teller.clone());
        Signal { teller, receiver }
    }

    /// A signal for the end of a submission.
    pub(crate) fn end_of(submission: wgpu::SubmissionIndex, queue: &wgpu::Queue) -> Signal {
        Signal::new(submission, |teller| queue.on_submitted_work_done(move || teller.tell(Ok(()))))
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.teller.over.store(true, Ordering::Release);
    }
}

/// Work that was submitted by [`Gpu::submit`].
#[derive(Debug)]
#[must_use = "it is only good for waiting"]
pub struct Submission {
    pub(super) gpu: Gpu,
    pub(super) signal: Signal,
}

impl Submission {
    /// Waits until the device has finished the work.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(self) -> Result<()> {
        block_on(self.wait_async())
    }

    /// As `wait`, without blocking. Dropping the future cancels the wait.
    pub async fn wait_async(self) -> Result<()> {
        self.gpu.wait(self.signal).await
    }
}

impl Gpu {
    /// Waits for a signal. Dropping the future cancels the wait.
    pub(crate) async fn wait(&self, signal: Signal) -> Result<()> {
        // In a browser the outcome of earlier calls is known only now.
        self.settled().await?;
        #[cfg(not(target_arch = "wasm32"))]
        native::see_to(self, &signal)?;
        let told = signal.receiver.receive().await;
        self.check_lost()?;
        told.unwrap_or_else(|| Err(lost()))
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::Poller;
#[cfg(not(target_arch = "wasm32"))]
pub use native::block_on;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::super::{Gpu, lock, lost};
    use super::{Signal, Teller};
    use crate::error::Result;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    /// Longest wait of one `poll`: meanwhile it holds a lock that stalls threads that drop a buffer.
    const TURN: Duration = Duration::from_millis(2);

    /// The signals that are awaited, and whether a thread polls for them.
    #[derive(Debug, Default)]
    pub(crate) struct Poller {
        state: Mutex<State>,
    }

    #[derive(Debug, Default)]
    struct State {
        watched: Vec<Arc<Teller>>,
        running: bool,
    }

    thread_local! {
        /// Whether this thread is inside [`block_on`].
        static BLOCKING: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a future to completion on this thread. While the future waits for the device in a call of this crate, this thread polls
    /// the device; with other executors a second thread does.
    ///
    /// ```
    /// let gpu = conv1d::Gpu::new()?;
    /// let x = gpu.tensor(&[1.0, 2.0], [2])?;
    /// let sum = conv1d::block_on(async { Ok::<f32, conv1d::Error>(x.read_async().await?.iter().sum()) })?;
    /// assert_eq!(sum, 3.0);
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    pub fn block_on<T>(future: impl Future<Output = T>) -> T {
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                BLOCKING.set(self.0);
            }
        }
        let _restore = Restore(BLOCKING.replace(true));
        pollster::block_on(future)
    }

    /// Makes sure that a thread polls until the signal is sent.
    pub(super) fn see_to(gpu: &Gpu, signal: &Signal) -> Result<()> {
        if BLOCKING.get() {
            // Another thread that polls at the same time may run the callback instead, a little later.
            return poll(gpu.device(), &signal.teller, None).map(drop);
        }
        let poller = &gpu.inner.poller;
        let mut state = lock(&poller.state);
        if !state.running {
            let (device, poller) = (gpu.device().clone(), poller.clone());
            let thread = std::thread::Builder::new().name("conv1d poll".into());
            if thread.spawn(move || poller.run(&device)).is_err() {
                // The system has no thread left: poll on this one.
                drop(state);
                return poll(gpu.device(), &signal.teller, None).map(drop);
            }
            state.running = true;
        }
        state.watched.push(signal.teller.clone());
        Ok(())
    }

    impl Poller {
        /// Polls while a signal is awaited.
        fn run(&self, device: &wgpu::Device) {
            loop {
                let next = {
                    let mut state = lock(&self.state);
                    state.watched.retain(|teller| !teller.is_over());
                    state.running = !state.watched.is_empty();
                    state.watched.first().cloned()
                };
                let Some(next) = next else { return };
                match poll(device, &next, Some(TURN)) {
                    // The work is done, and another thread is about to call back.
                    Ok(true) if !next.is_over() => std::thread::sleep(TURN),
                    Ok(_) => {}
                    Err(error) => {
                        lock(&self.state).watched.drain(..).for_each(|teller| teller.tell(Err(error.clone())));
                    }
                }
            }
        }

        /// Whether a thread polls.
        #[cfg(test)]
        pub(super) fn is_running(&self) -> bool {
            lock(&self.state).running
        }
    }

    /// Waits for the submission of a signal and lets wgpu call back. Returns whether the submission has ended.
    fn poll(device: &wgpu::Device, teller: &Teller, timeout: Option<Duration>) -> Result<bool> {
        let wait = wgpu::PollType::Wait { submission_index: Some(teller.submission.clone()), timeout };
        // wgpu 30 panics here if the driver reports a lost device.
        match catch_unwind(AssertUnwindSafe(|| device.poll(wait))) {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
            Ok(Err(wgpu::PollError::WrongSubmissionIndex(..))) | Err(_) => Err(lost()),
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    /// The thread that polls ends with the last wait, whether that wait completed or was dropped.
    #[test]
    fn the_thread_that_polls_ends_with_the_last_wait() {
        let gpu = Gpu::new().unwrap();
        // Large enough that its copy takes longer than a call.
        let y = gpu.zeros([1 << 24]).unwrap();
        let ended = || {
            while gpu.inner.poller.is_running() {
                std::thread::yield_now();
            }
        };
        assert!(y.read().is_ok());
        assert!(!gpu.inner.poller.is_running(), "a call that blocks polls by itself");
        assert!(pollster::block_on(y.read_async()).is_ok());
        ended();
        let mut read = Box::pin(y.read_async());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(read.as_mut().poll(&mut context).is_pending());
        assert!(gpu.inner.poller.is_running());
        drop(read);
        ended();
    }
}
