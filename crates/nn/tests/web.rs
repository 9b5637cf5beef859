//! Networks in a browser: one of PyTorch, and training. Run by `make test-web`.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conv1d::{Gpu, GpuOptions};
use conv1d_nn::{Adam, Loss, Mode, Network, SessionOptions, StateDict, Tcn, TcnBlock, Values};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

async fn open() -> Gpu {
    Gpu::open(&GpuOptions::default()).await.unwrap_or_else(|e| panic!("{e}"))
}

/// A network from PyTorch: its output and gradients. The native tests check accuracy; this test checks that the network is the same.
#[wasm_bindgen_test]
async fn a_network_of_pytorch() {
    let gpu = open().await;
    let file = StateDict::from_bytes(include_bytes!("../../../tests/goldens/models/tcn_block.safetensors")).unwrap();
    let floats = |name: &str| match &file.entries[name].values {
        Values::Floats(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    let mut state = StateDict::default();
    for (name, entry) in &file.entries {
        state.entries.extend(name.strip_prefix("state.").map(|name| (name.to_owned(), entry.clone())));
    }
    let network = Network::new(&gpu, &TcnBlock::new(4, 8, 3).dilation(2).dropout(0.0), 1).unwrap();
    network.load_state_dict_async(&state).await.unwrap();
    let session = network.session_with([3, 4, 37], &SessionOptions::default().gradients()).unwrap();
    session.input().write(&floats("x")).unwrap();
    session.forward().unwrap();
    session.output_gradient().unwrap().write(&floats("dy")).unwrap();
    session.backward().unwrap();
    let near = |got: &[f32], name: &str| {
        let golden = floats(name);
        let size = golden.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let off = got.iter().zip(&golden).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(got.len() == golden.len() && off <= 1e-5 * size, "{name}: off by {off} of {size}");
    };
    near(&session.output().read_async().await.unwrap(), "y");
    near(&session.input_gradient().unwrap().read_async().await.unwrap(), "dx");
    let gradients = session.gradients().unwrap().read_async().await.unwrap();
    for (name, entry) in &gradients.entries {
        let Values::Floats(values) = &entry.values else { panic!("{name}") };
        near(values, &format!("grad.{name}"));
    }
}

#[wasm_bindgen_test]
async fn training_runs_in_a_browser() {
    let gpu = open().await;
    let network = Network::new(&gpu, &Tcn::new(2, 6, 1).layers(2).dropout(0.0), 1).unwrap();
    let mut trainer = network.trainer([4, 2, 16], Loss::MeanSquaredError, Adam::new(0.02)).unwrap();
    let x = (0..4 * 2 * 16).map(|i| (i as f32).sin()).collect::<Vec<_>>();
    for _ in 0..30 {
        trainer.step(&x, &[1.0f32, -1.0, 0.5, 0.0]).unwrap();
    }
    let losses = trainer.losses_async().await.unwrap();
    assert!(losses[29].loss < 0.2 * losses[0].loss, "{losses:?}");
    let checkpoint = trainer.checkpoint_async().await.unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    trainer.resume_async(StateDict::from_bytes(&bytes).unwrap()).await.unwrap();
    let evaluated = network.session_with([4, 2, 16], &SessionOptions::default().mode(Mode::Evaluation)).unwrap();
    evaluated.forward().unwrap();
    assert_eq!(evaluated.output().read_async().await.unwrap().len(), 4);
}
