//! The published package: the Rust version that it needs, its size, the links of its README. This test is not part of the
//! package, because cargo rewrites the manifest there.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::path::{Path, PathBuf};
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

/// The crates that are built on this platform, with all features and for the tests.
fn packages() -> Vec<Value> {
    let about = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = cargo(&["metadata", "--format-version", "1", "--all-features", "--filter-platform", host]);
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// No crate that is built on this platform, with all features and for the tests, declares a newer Rust than this one does.
/// Clippy's `incompatible_msrv` checks calls of the standard library; only a compiler of that version finds newer language.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let needs = |package: &Value| package["rust_version"].as_str().map(version);
    let packages = packages();
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    let names: Vec<&Value> = ours.iter().map(|package| &package["name"]).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let promised = needs(ours[0]).unwrap();
    assert!(ours.iter().all(|package| needs(package) == Some(promised)), "packages state different Rust versions");
    let newer = packages.iter().filter(|package| needs(package).is_some_and(|version| version > promised));
    let newer: Vec<String> =
        newer.map(|p| format!("{} {} needs Rust {}", p["name"], p["version"], p["rust_version"])).collect();
    assert!(newer.is_empty(), "rust-version is {promised:?}, but {}", newer.join(", "));
    assert!(packages.iter().filter_map(needs).count() > 100, "the dependencies are not listed");
}

#[test]
fn the_packages_beside_the_library_are_whole() {
    for (package, needed) in [
        ("conv1d-nn", &["src/lib.rs", "shaders/adam.wgsl", "shaders/lib/step.wgsl", "examples/gan.rs"][..]),
        ("conv1d-cli", &["src/main.rs", "templates/report.html"]),
        ("conv1d-models", &["src/lib.rs", "src/nvidia.rs"]),
        ("conv1d-simt", &["src/lib.rs", "src/compile/mod.rs"]),
    ] {
        let files = String::from_utf8(cargo(&["package", "--list", "--allow-dirty", "-p", package])).unwrap();
        for file in needed.iter().chain(&["LICENSE-MIT", "LICENSE-APACHE"]) {
            assert!(files.lines().any(|line| line.trim() == *file), "{package}: {file} is not in the package\n{files}");
        }
    }
}

#[test]
fn the_package_is_small_and_whole() {
    let files = String::from_utf8(cargo(&["package", "--list", "--allow-dirty"])).unwrap();
    let files: Vec<&str> = files.lines().map(str::trim).collect();
    for needed in ["src/lib.rs", "shaders/window.wgsl", "shaders/lib/activation/gelu.wgsl", "docs/networks.md"] {
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

/// Licences that a program can be built from, whatever its own: they ask for no more than their notice.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every crate that is built on this platform, with all features and for the tests, may be used under one of these licences.
#[test]
fn every_dependency_has_a_permissive_licence() {
    let refused: Vec<String> = packages()
        .iter()
        .filter_map(|package| {
            let told = package["license"].as_str().unwrap_or_default();
            let allowed = spdx::Expression::parse_mode(told, spdx::ParseMode::LAX).is_ok_and(|expression| {
                expression.evaluate(|required| LICENCES.contains(&required.to_string().as_str()))
            });
            (!allowed).then(|| format!("{} {}: {told:?}", package["name"], package["version"]))
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let evaluate = |told: &str| {
        let expression = spdx::Expression::parse_mode(told, spdx::ParseMode::LAX).unwrap();
        expression.evaluate(|required| LICENCES.contains(&required.to_string().as_str()))
    };
    assert!(evaluate("GPL-3.0-only OR MIT") && !evaluate("GPL-3.0-only AND MIT") && !evaluate("MPL-2.0"));
}

/// Crates that are there in two versions, on any platform, and why.
const TWICE: [(&str, &str); 5] = [
    ("hashbrown", "gpu-allocator and safetensors are one version behind indexmap"),
    ("rustc-hash", "naga 30 is at version 1, askama at 2"),
    ("syn", "zerocopy's derive is at version 2, those of askama and others at 3"),
    ("thiserror", "sysctl, of gemm on macOS, is at version 1"),
    ("thiserror-impl", "as thiserror"),
];

/// A crate in two versions is compiled twice, and its types do not fit together.
#[test]
fn no_dependency_is_there_twice_without_a_reason() {
    let lock = std::fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = ")).map(|n| n.trim_matches('"')).collect();
    assert!(names.len() > 100, "Cargo.lock is not read");
    let mut twice: Vec<&str> =
        names.iter().copied().filter(|name| names.iter().filter(|n| *n == name).count() > 1).collect();
    twice.dedup();
    assert_eq!(twice, TWICE.map(|(name, _)| name), "the list of crates in two versions has changed");
}

/// The rooms of the library and the modules of `conv1d-nn`, each with all that it may use: itself, and those before it.
const ROOMS: &[&str] = &[
    "error",
    "files",
    "sums",
    "geometry",
    "caps",
    "timing",
    "roofline",
    "reference",
    "cpu",
    "lowering",
    "kernels",
    "plan",
    "shader",
    "gpu",
    "ops",
    "signals",
    "tune",
    "suite",
    "paper",
];
const MODULES: &[&str] = &[
    "error",
    "random",
    "input",
    "graph",
    "fuse",
    "layers",
    "networks",
    "rule",
    "loss",
    "data",
    "layout",
    "launch",
    "shaders",
    "schedule",
    "memory",
    "state",
    "network",
    "gradients",
    "summary",
    "session",
    "optimizer",
    "train",
];

/// Data flows one way: no room uses one behind it, so that there is no circle. Unit tests may.
#[test]
fn no_room_uses_one_behind_it() {
    for (root, rooms) in [("src", ROOMS), ("crates/nn/src", MODULES)] {
        let mut circles = Vec::new();
        let mut files = Vec::new();
        collect(&Path::new(ROOT).join(root), &mut files);
        for file in &files {
            let inside = file.strip_prefix(Path::new(ROOT).join(root)).unwrap();
            let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
            if ["lib", "validation"].contains(&room) {
                continue;
            }
            let place = rooms.iter().position(|known| *known == room);
            let place = place.unwrap_or_else(|| panic!("{root}/{room} has no place in the list of rooms"));
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                for used in line.split("crate::").skip(1) {
                    // A name that the root exports would hide its room.
                    assert!(!used.starts_with(|c: char| c == '{' || c.is_uppercase()), "{}: {line}", inside.display());
                    let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if rooms.iter().position(|known| *known == used).is_some_and(|other| other > place) {
                        circles.push(format!("{}: {line}", inside.display()));
                    }
                }
            }
        }
        assert!(files.len() > 15, "{root} is not read");
        assert!(circles.is_empty(), "{circles:#?}");
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Links of the README and of the pages lead to the web, to a heading, or to a file of the repository, and the README's to files of the
/// package.
#[test]
fn every_link_leads_somewhere() {
    let packaged = String::from_utf8(cargo(&["package", "--list", "--allow-dirty"])).unwrap();
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "CHANGELOG.md".to_owned()];
    let docs = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    pages.extend(docs.map(|page| format!("docs/{}", page.unwrap().file_name().to_str().unwrap())));
    assert!(pages.len() >= 10, "{pages:?}");
    let mut broken = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.starts_with("https://")) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = match file {
                "" => Path::new(page).to_owned(),
                file => Path::new(page).parent().unwrap().join(file),
            };
            let target: PathBuf = target.components().fold(PathBuf::new(), |path, part| match part {
                std::path::Component::ParentDir => path.parent().unwrap().to_owned(),
                part => path.join(part),
            });
            let there = std::fs::read_to_string(Path::new(ROOT).join(&target));
            let found =
                there.is_ok_and(|text| heading.is_none_or(|heading| headings(&text).contains(&heading.to_owned())));
            let lost = page == "README.md" && !packaged.lines().any(|file| Path::new(file.trim()) == target);
            if !found || lost {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(
        links("[a](b.rs), ![c](https://d)\n[e]: f.md\n[g](#h) `[i](j)` [`k`](l)"),
        ["b.rs", "https://d", "#h", "l", "f.md"]
    );
    assert_eq!(headings("# To add\n## A `b`, c?"), ["to-add", "a-b-c"]);
}

/// Targets of links and pictures. Code has no links.
fn links(text: &str) -> Vec<&str> {
    let prose = || text.split('`').step_by(2);
    let inline = prose().flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next());
    let references = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    inline.chain(references.map(|(_, target)| target.trim())).collect()
}

/// The anchors of the headings of a page.
fn headings(text: &str) -> Vec<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    text.lines().filter(|line| line.starts_with('#')).map(heading).collect()
}
