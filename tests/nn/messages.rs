//! Errors of networks say where something went wrong, and what to do about it.

use conv1d::Error;
use conv1d::nn::StateDict;

/// Files that are no safetensors files say so, those of `torch.save` with the way out.
#[test]
fn other_files_than_safetensors_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = StateDict::load(&path).unwrap_err();
        assert!(matches!(&error, Error::File { path: told, .. } if *told == path.display().to_string()), "{error}");
        let same = StateDict::from_bytes(bytes).unwrap_err().to_string();
        let text = error.to_string().split_once(": ").unwrap().1.to_owned();
        assert_eq!(same, format!("the state dictionary: {text}"));
        text
    };
    let convert =
        "in PyTorch, safetensors.torch.save_file(model.state_dict(), \"x.safetensors\") writes one that is read";
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
    // A header of 640 bytes starts like a pickle of protocol 2: a damaged file of one is still what it is.
    let mut dict = StateDict::default();
    dict.entries.insert("w".into(), conv1d::nn::Entry::floats([1], vec![1.0]));
    let mut padding = 0;
    let bytes = loop {
        dict.metadata.insert("note".into(), "x".repeat(padding));
        let bytes = dict.to_bytes().unwrap();
        if bytes[..8] == 640u64.to_le_bytes() {
            break bytes;
        }
        padding += 1;
        assert!(padding < 700);
    };
    assert_eq!(StateDict::from_bytes(&bytes).unwrap(), dict);
    let text = message("damaged", &bytes[..bytes.len() - 1]);
    assert!(text.starts_with("the safetensors file is damaged"), "{text}");
}
