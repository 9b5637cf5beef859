#!/bin/bash
# Builds the library for WebAssembly and runs tests/web.rs in headless Chromium, on its software adapter. What is missing is installed:
# Debian's rustc-web with the sources of its standard library, Chromium and its driver, and the test runner of wasm-bindgen.
# Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(rustc-web rust-web-src chromium chromium-driver)
have() { dpkg -s "$@" >/dev/null 2>&1; }
root=
if [ "$(id -u)" -ne 0 ]; then root=sudo; fi
install() {
    if ! command -v apt-get >/dev/null; then
        echo "The browser tests are skipped: they need ${packages[*]} of Debian 12 or later." >&2
        exit 77
    fi
    echo "Installing $* for the browser tests." >&2
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
have "${packages[@]}" || install "${packages[@]}"
# Its linker, of the LLVM that the compiler has.
llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
have "lld-$llvm" || install "lld-$llvm"

# The runner must be of the very version of the library.
bindgen=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
tools=${WEB_TOOLS:-$HOME/.cache/conv1d-web-tools}
if [ "$("$tools/bin/wasm-bindgen-test-runner" --version 2>/dev/null)" != "wasm-bindgen-test-runner $bindgen" ]; then
    echo "Building the test runner of wasm-bindgen $bindgen." >&2
    cargo install -q wasm-bindgen-cli --version "=$bindgen" --no-default-features --root "$tools"
fi

export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 # -Zbuild-std on Debian's stable compiler
export CARGO_TARGET_DIR=${WEB_TARGET_DIR:-target/web} # its own: another compiler
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-$llvm
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$tools/bin/wasm-bindgen-test-runner
export CHROMEDRIVER=/usr/bin/chromedriver WASM_BINDGEN_TEST_TIMEOUT=900
exec cargo test --locked --release -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown --test web "$@"
