//! Errors of networks name the place of the error and say what to do.

use crate::harness::{gpu, values};
use conv1d::{Activation, Conv1d, Padding};
use conv1d_nn::{
    BatchNorm1d, Dropout, Error, FeatureExtractor, Graph, Init, LastStep, Linear, Mode, Module, Network, Parallel,
    Sequential, Session, SessionOptions, Skip, StateDict, Tcn, Value,
};

fn session_error(module: &dyn Module, shape: [usize; 3]) -> String {
    Network::new(gpu(), module, 0).unwrap().session(shape).unwrap_err().to_string()
}

/// A value that is not kept and a layer that does not exist give different errors.
#[test]
fn values_that_are_not_kept_say_how_to_keep_them() {
    let network = Network::new(gpu(), &Tcn::new(2, 4, 1).layers(2), 1).unwrap();
    let session = network.session([1, 2, 20]).unwrap();
    let error = session.value("network.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer network.0: values between layers need a session made with SessionOptions::keep_values"
    );
    let error = session.value("network.7").unwrap_err().to_string();
    assert!(error.starts_with("network.7: no layer has this name; there are [\"network.0.conv1\","), "{error}");
    assert!(!error.contains("\"\""), "{error}");
}

/// A layer has the same name in every session, whichever operations are fused or removed.
#[test]
fn layers_keep_their_names_in_every_session() {
    let layers = || Sequential::new().then(Conv1d::new(2, 3, 3)).then(Dropout(0.5)).then(Activation::Relu);
    let network = Network::new(gpu(), &layers(), 1).unwrap();
    let x = values(1, 20);
    let run = |session: &Session| {
        session.input().write(&x).unwrap();
        session.forward().unwrap();
        session.output().read().unwrap()
    };
    let kept = network.session_with([1, 2, 10], &SessionOptions::default().keep_values()).unwrap();
    let y = run(&kept);
    let convolved = kept.value("0").unwrap().read().unwrap();
    assert!(convolved.iter().any(|&v| v < 0.0));
    // Dropout does nothing in evaluation: its output is its input.
    assert_eq!(kept.value("1").unwrap().read().unwrap(), convolved);
    assert_eq!(kept.value("2").unwrap().read().unwrap(), y);
    // The activation is fused into the convolution, whose own output is not available.
    let fused = network.session([1, 2, 10]).unwrap();
    assert_eq!(run(&fused), y);
    assert!(matches!(fused.value("0"), Err(Error::Layer { error, .. }) if matches!(*error, Error::Unprepared { .. })));
    assert_eq!(fused.value("2").unwrap().read().unwrap(), y);
    // Modules of several layers have an output, too.
    let network = Network::new(gpu(), &FeatureExtractor::new(2, 3), 1).unwrap();
    let kept = network.session_with([1, 2, 10], &SessionOptions::default().keep_values()).unwrap();
    let y = run(&kept);
    assert_eq!(kept.value("medium_conv").unwrap().read().unwrap(), y[30..60]);
}

/// Gradients that a session does not compute are an error, not an empty result.
#[test]
fn gradients_that_are_not_computed_are_errors() {
    let network = Network::new(gpu(), &Conv1d::new(2, 3, 3), 1).unwrap();
    let session = network.session([1, 2, 10]).unwrap();
    session.forward().unwrap();
    let (read, run) = (session.gradients().unwrap_err(), session.backward().unwrap_err());
    assert!(matches!(read, Error::Unprepared { .. }), "{read}");
    assert_eq!(read, run);
    let mut options = SessionOptions::default();
    options.input_gradient = true;
    let session = network.session_with([1, 2, 10], &options).unwrap();
    session.forward().unwrap();
    session.backward().unwrap();
    let error = session.gradients().unwrap_err().to_string();
    assert_eq!(error, "gradients of parameters need a session made with SessionOptions::parameter_gradients");

    // Gradients of parameters that nothing uses are zeros.
    struct Unused;
    impl Module for Unused {
        fn add_to(&self, graph: &mut Graph, x: Value) -> Value {
            graph.parameter("unused", [2], Init::Constant(1.0));
            x
        }
    }
    let network = Network::new(gpu(), &Unused, 1).unwrap();
    let session = network.session_with([1, 2, 10], &SessionOptions::default().gradients()).unwrap();
    session.forward().unwrap();
    session.backward().unwrap();
    let gradients = session.gradients().unwrap().read().unwrap();
    assert_eq!(gradients.entries["unused"], conv1d_nn::Entry::floats([2], vec![0.0; 2]));
}

#[test]
fn a_skip_that_changes_the_shape_is_named() {
    let shorter = || Skip(Conv1d::new(1, 1, 3));
    let says = "the output of the module in Skip has the shape [1, 1, 6], expected [1, 1, 8], the shape of its \
                input";
    assert_eq!(session_error(&shorter(), [1, 1, 8]), format!("layer (root): {says}"));
    let row = Sequential::new().then(Activation::Tanh).then_named("block", Sequential::new().then(shorter()));
    assert_eq!(session_error(&row, [1, 1, 8]), format!("layer block.0: {says}"));
}

/// Every error of a layer contains its name.
#[test]
fn every_error_of_a_layer_has_its_name() {
    let row = |layer: Box<dyn Module>| Sequential::new().then_named("layer", layer);
    let cases: [(Box<dyn Module>, [usize; 3]); 7] = [
        (Box::new(Conv1d::new(2, 4, 3).groups(3)), [1, 2, 8]),
        (Box::new(Conv1d::new(3, 4, 3)), [1, 2, 8]),
        (Box::new(Linear::new(2, 3)), [1, 2, 8]),
        (Box::new(Dropout(-1.0)), [1, 2, 8]),
        (Box::new(BatchNorm1d::new(3)), [1, 2, 8]),
        (Box::new(Sequential::new().then(LastStep).then(LastStep)), [1, 2, 8]),
        (Box::new(Parallel::new().with("a", Conv1d::new(2, 4, 3)).with("b", Activation::Relu)), [1, 2, 8]),
    ];
    for (index, (layer, shape)) in cases.into_iter().enumerate() {
        let network = row(layer);
        let error = session_error(&network, shape);
        assert!(error.starts_with("layer layer"), "case {index}: {error}");
        let summary = Network::new(gpu(), &network, 0).unwrap().summary(shape).unwrap_err().to_string();
        assert_eq!(summary, error, "case {index}");
    }
    // The only layer of a network has a name, too.
    let alone = session_error(&Conv1d::new(2, 4, 3).groups(3), [1, 2, 8]);
    assert_eq!(alone, "layer (root): groups 3 does not divide in_channels 2");
    // An output that is too large for the device names the layer that computes it.
    let limit = gpu().caps().max_binding_bytes / 4;
    let channels = (limit / 1000 + 1) as usize;
    let wide = Sequential::new().then_named("wide", Conv1d::new(1, channels, 1).padding(Padding::Same));
    let error = session_error(&wide, [1, 1, 1000]);
    assert!(error.starts_with("layer wide: elements of a tensor of a network is"), "{error}");
    let one = Network::new(gpu(), &row(Box::new(BatchNorm1d::new(2))), 0).unwrap();
    let error = one.session_with([1, 2, 1], &SessionOptions::default().mode(Mode::Training)).unwrap_err().to_string();
    assert!(error.starts_with("layer layer: batch normalisation needs"), "{error}");
}

/// Errors for files of other formats name the format; those for `torch.save` say how to convert.
#[test]
fn other_files_than_safetensors_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = StateDict::load(&path).unwrap_err();
        assert!(
            matches!(&error, Error::Conv1d(conv1d::Error::File { path: told, .. }) if *told == path.display().to_string()),
            "{error}"
        );
        let same = StateDict::from_bytes(bytes).unwrap_err().to_string();
        let text = error.to_string().split_once(": ").unwrap().1.to_owned();
        assert_eq!(same, format!("the state dictionary: {text}"));
        text
    };
    let convert = "in PyTorch, safetensors.torch.save_file(model.state_dict(), \"x.safetensors\") writes one";
    // The first bytes of what torch.save writes, now and before PyTorch 1.6.
    let zip = [b"PK\x03\x04".as_slice(), &[0; 200]].concat();
    assert_eq!(
        message("model.pt", &zip),
        format!("this is a zip archive, as torch.save writes it, and no safetensors file; {convert}")
    );
    let pickle = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.";
    assert_eq!(
        message("model.bin", pickle),
        format!("this is a pickle, as torch.save writes it, and no safetensors file; {convert}")
    );
    for (name, bytes) in [("empty", b"".as_slice()), ("text", b"epoch,loss\n1,0.5\n2,0.25\n"), ("short", b"abc")] {
        let text = message(name, bytes);
        assert!(text.starts_with("this is no safetensors file ("), "{text}");
    }
    // A header of 640 bytes starts like a pickle of protocol 2. Such a file, when damaged, is still reported as
    // safetensors.
    let mut dict = StateDict::default();
    dict.entries.insert("w".into(), conv1d_nn::Entry::floats([1], vec![1.0]));
    let mut padding = 0;
    let bytes = loop {
        dict.metadata.insert("note".into(), "x".repeat(padding));
        let bytes = dict.to_bytes().unwrap();
        if bytes[..8] == 640_u64.to_le_bytes() {
            break bytes;
        }
        padding += 1;
        assert!(padding < 700);
    };
    assert_eq!(StateDict::from_bytes(&bytes).unwrap(), dict);
    let text = message("damaged", &bytes[..bytes.len() - 1]);
    assert!(text.starts_with("the safetensors file is damaged"), "{text}");
}
