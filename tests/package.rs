//! The published package: the Rust version that it needs, its size, the links of its README. This test is not part of the
//! package, because cargo rewrites the manifest there.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The output of this cargo, run without the network.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.current_dir(ROOT).args(arguments).args(["--locked", "--offline"]).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Major, minor and patch of `1.89` or `1.89.0`.
fn version(text: &str) -> [u64; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// No crate that is built on this platform, with all features and for the tests, declares a newer Rust than this one does.
/// Clippy's `incompatible_msrv` checks calls of the standard library; only a compiler of that version finds newer language.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let about = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = cargo(&["metadata", "--format-version", "1", "--all-features", "--filter-platform", host]);
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let needs = |package: &Value| package["rust_version"].as_str().map(version);
    let packages = metadata["packages"].as_array().unwrap();
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    let names: Vec<&Value> = ours.iter().map(|package| &package["name"]).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let promised = needs(ours[0]).unwrap();
    assert!(ours.iter().all(|package| needs(package) == Some(promised)), "packages state different Rust versions");
    let newer = packages.iter().filter(|package| needs(package).is_some_and(|version| version > promised));
    let newer: Vec<String> =
        newer.map(|p| format!("{} {} needs Rust {}", p["name"], p["version"], p["rust_version"])).collect();
    assert!(newer.is_empty(), "rust-version is {promised:?}, but {}", newer.join(", "));
    assert!(packages.iter().filter_map(needs).count() > 100, "the dependencies are not listed");
}

#[test]
fn the_package_is_small_and_whole() {
    let files = String::from_utf8(cargo(&["package", "--list", "--allow-dirty"])).unwrap();
    let files: Vec<&str> = files.lines().map(str::trim).collect();
    for needed in ["src/lib.rs", "src/bin/conv1d/main.rs", "shaders/nn/adam.wgsl", "templates/report.html"] {
        assert!(files.contains(&needed), "{needed} is not in the package");
    }
    let goldens: Vec<&&str> = files.iter().filter(|file| file.ends_with(".safetensors")).collect();
    assert!(goldens.is_empty(), "test data in the package: {goldens:?}");
    let target = tempfile::tempdir().unwrap();
    cargo(&["package", "--no-verify", "--allow-dirty", "--target-dir", target.path().to_str().unwrap()]);
    let name = concat!("package/", env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"), ".crate");
    let bytes = target.path().join(name).metadata().unwrap().len();
    assert!(bytes < 1 << 20, "the package has {bytes} bytes compressed, more than 1 MiB");
}

/// A registry shows the README alone: a link to a file of the repository leads nowhere there.
#[test]
fn the_readme_links_to_the_web_and_to_itself_only() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert_eq!(broken_links(&text), Vec::<&str>::new());
    assert_eq!(broken_links("[a](b.rs), ![c](https://d)\n[e]: f.md\n[g](#h) `[i](j)` [`k`](l)"), ["b.rs", "l", "f.md"]);
}

/// Targets of links and pictures that are neither addresses nor headings.
fn broken_links(text: &str) -> Vec<&str> {
    // Code has no links.
    let prose = || text.split('`').step_by(2);
    let inline = prose().flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next());
    let references = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let targets = inline.chain(references.map(|(_, target)| target.trim()));
    targets.filter(|target| !["https://", "http://", "#"].iter().any(|head| target.starts_with(head))).collect()
}
