//! The device seen from the host: its loss, and waiting for it.

use crate::harness::values;
use conv1d::{Conv1d, Gpu};
use conv1d_nn::{Error, Loss, Network, Result, SessionOptions, Sgd};
use std::task::{Context, Poll, Waker};

#[test]
fn a_lost_device_is_told_by_every_call() {
    let gpu = Gpu::new().unwrap();
    let module = Conv1d::new(16, 2, 3);
    let network = Network::new(&gpu, &module, 1).unwrap();
    let session = network.session_with([1, 16, 40], &SessionOptions::training()).unwrap();
    let mut trainer = network.trainer([1, 16, 40], Loss::MeanSquaredError, Sgd::new(0.1)).unwrap();
    let mut optimizer = network.optimizer(Sgd::new(0.1)).unwrap();
    session.forward().unwrap();
    gpu.device().destroy();

    let lost = |result: Result<()>| {
        assert!(matches!(result, Err(Error::Conv1d(conv1d::Error::DeviceLost { .. }))), "{result:?}");
    };
    lost(session.forward());
    lost(session.set_step(1));
    lost(network.session([1, 16, 40]).map(drop));
    lost(network.state_dict().map(drop));
    lost(Network::new(&gpu, &module, 1).map(drop));
    lost(trainer.step(&[0.0; 640], &[0.0_f32; 76]));
    lost(optimizer.step(session.gradients().unwrap()));
    lost(session.gradients().unwrap().read().map(drop));
    assert_eq!((trainer.steps(), optimizer.steps()), (0, 0));
}

/// Polls a future until it is ready. Returns its value, and how often it was pending.
fn pending<T>(future: impl Future<Output = T>) -> (T, u64) {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    let mut times = 0;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return (value, times);
        }
        times += 1;
        std::thread::yield_now();
    }
}

/// Futures that wait for the device let other futures of their thread run.
#[test]
fn waiting_blocks_no_executor() {
    let gpu = Gpu::new().unwrap();
    let network = Network::new(&gpu, &Conv1d::new(16, 16, 33), 1).unwrap();
    let session = network.session([4, 16, 4000]).unwrap();
    session.input().write(&values(1, 4 * 16 * 4000)).unwrap();
    (0..4).for_each(|_| session.forward().unwrap());
    let (dict, times) = pending(network.state_dict_async());
    dict.unwrap();
    assert!(times > 0, "reading parameters was never pending");

    let mut trainer = network.trainer([4, 16, 4000], Loss::MeanSquaredError, Sgd::new(1e-3)).unwrap();
    let (input, target) = (vec![0.5; 4 * 16 * 4000], vec![0.5_f32; 4 * 16 * 3968]);
    // (Whether submitting blocks depends on the driver: lavapipe waits there for the previous submission.)
    let (losses, times) = pending(async {
        for _ in 0..4 {
            trainer.step_async(&input, &target).await?;
        }
        trainer.losses_async().await
    });
    assert_eq!(losses.unwrap().len(), 4);
    assert!(times > 0, "training was never pending");
}
