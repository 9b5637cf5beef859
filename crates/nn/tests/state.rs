//! State dictionaries that match a network only in part, and names with prefixes.

use crate::harness::gpu;
use conv1d::Conv1d;
use conv1d_nn::{Entry, Error, Network, Sequential, StateDict, Tcn};

fn tcn(layers: usize, seed: u64) -> Network {
    Network::new(gpu(), &Tcn::new(2, 4, 1).layers(layers), seed).unwrap()
}

fn dict<const N: usize>(names: [&str; N]) -> StateDict {
    names.into_iter().zip(1_u8..).map(|(name, i)| (name.to_owned(), Entry::floats([1], vec![i.into()]))).collect()
}

#[test]
fn a_part_of_a_dictionary_is_loaded() {
    let (published, network) = (tcn(1, 1).state_dict().unwrap(), tcn(2, 2));
    let before = network.state_dict().unwrap();
    let mut given = published.clone();
    given.entries.insert("head.weight".into(), Entry::floats([3], vec![0.0; 3]));
    let others = network.load_state_dict_partial(&given).unwrap();
    assert_eq!(others.unexpected, ["head.weight"]);
    let lacking: Vec<_> = before.entries.keys().filter(|name| name.starts_with("network.1.")).collect();
    assert!(!lacking.is_empty());
    let mut missing: Vec<_> = others.missing.iter().collect();
    missing.sort();
    assert_eq!(missing, lacking);
    assert!(!others.is_empty());
    let after = network.state_dict().unwrap();
    for (name, entry) in &after.entries {
        let source = if published.entries.contains_key(name) { &published } else { &before };
        assert_eq!(entry, &source.entries[name], "{name}");
    }
    // Strict loading refuses the dictionary with the same names, and changes nothing.
    match network.load_state_dict(&given) {
        Err(Error::StateKeys { missing, unexpected }) => {
            assert_eq!((missing, unexpected), (others.missing, others.unexpected));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(network.state_dict().unwrap(), after);
    // A complete dictionary leaves no names; an empty one leaves all.
    assert!(network.load_state_dict_partial(&before).unwrap().is_empty());
    assert_eq!(network.state_dict().unwrap(), before);
    let nothing = network.load_state_dict_partial(&StateDict::default()).unwrap();
    assert_eq!((nothing.missing.len(), nothing.unexpected.len()), (before.entries.len(), 0));
    assert_eq!(network.state_dict().unwrap(), before);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.safetensors");
    published.save(&path).unwrap();
    assert!(matches!(network.load(&path), Err(Error::StateKeys { .. })));
    assert_eq!(network.load_partial(&path).unwrap().unexpected, [""; 0]);
    assert_eq!(network.state_dict().unwrap(), {
        let mut both = before.clone();
        both.entries.extend(published.entries);
        both
    });
}

/// A different shape is an error, before anything is written.
#[test]
fn a_part_of_another_shape_is_refused() {
    let network = tcn(1, 1);
    let before = network.state_dict().unwrap();
    let mut given = tcn(1, 5).state_dict().unwrap();
    given.entries.remove("network.0.conv1.bias");
    given.entries.insert("output_layer.weight".into(), Entry::floats([1, 5], vec![0.0; 5]));
    let error = network.load_state_dict_partial(&given).unwrap_err();
    let says = "output_layer.weight: it has the shape [1, 5] and 5 values, the network needs [1, 4]";
    assert_eq!(error.to_string(), says);
    let integers = Entry::integers([1, 4], vec![1; 4]);
    given.entries.insert("output_layer.weight".into(), integers);
    assert!(matches!(network.load_state_dict_partial(&given), Err(Error::Parameter { .. })));
    assert_eq!(network.state_dict().unwrap(), before);
}

#[test]
fn prefixes_are_stripped() {
    let network = Network::new(gpu(), &Sequential::new().then(Conv1d::new(1, 2, 3)), 1).unwrap();
    let state = network.state_dict().unwrap();
    let mut wrapped = StateDict::default();
    wrapped.metadata.insert("format".into(), "pt".into());
    wrapped.entries.extend(state.entries.iter().map(|(name, entry)| (format!("module.{name}"), entry.clone())));
    let stripped = wrapped.strip_prefix("module.").unwrap();
    assert_eq!(stripped.entries, state.entries);
    assert_eq!(stripped.metadata["format"], "pt");
    network.load_state_dict(&stripped).unwrap();

    // Names without the prefix stay, and the prefix is removed once.
    let mixed = dict(["model.a", "b", "model.model.c"]).strip_prefix("model.").unwrap();
    let numbers: Vec<_> = mixed.entries.into_iter().map(|(name, entry)| (name, entry.values)).collect();
    let floats = |v: f32| conv1d_nn::Values::Floats(vec![v]);
    // In the order of the map: model.a was 1, model.model.c 3.
    assert_eq!(numbers, [("a".into(), floats(1.0)), ("b".into(), floats(2.0)), ("model.c".into(), floats(3.0))]);
    assert_eq!(dict(["a"]).strip_prefix("").unwrap(), dict(["a"]));
}

#[test]
fn prefixes_that_cannot_go_are_errors() {
    let error = |dict: StateDict, prefix: &str| dict.strip_prefix(prefix).unwrap_err().to_string();
    assert_eq!(
        error(dict(["module.a", "module.b"]), "model."),
        r#"the state dictionary: no name begins with "model."; there are ["module.a", "module.b"]"#
    );
    assert_eq!(
        error(StateDict::default(), "model."),
        r#"the state dictionary: no name begins with "model."; there are []"#
    );
    let twice = r#"a: two tensors have this name without the prefix "model.""#;
    assert_eq!(error(dict(["a", "model.a"]), "model."), twice);
    // In either order.
    assert_eq!(error(dict(["z.a", "a"]), "z."), r#"a: two tensors have this name without the prefix "z.""#);
    assert_eq!(
        error(dict(["model.", "model.a"]), "model."),
        r#"model.: nothing is left of this name without the prefix "model.""#
    );
}
