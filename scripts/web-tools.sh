# What building for a browser needs, installed where it is missing: Debian's rustc-web with the sources of its standard library and its
# linker, and wasm-bindgen's programs of the very version of the library. Sourced in the project's root; $1... are further packages.

web_packages=(rustc-web rust-web-src "$@")
web_have() { dpkg -s "$@" >/dev/null 2>&1; }
web_root=
if [ "$(id -u)" -ne 0 ]; then web_root=sudo; fi
web_install() {
    echo "Installing $*." >&2
    if ! { command -v apt-get && $web_root apt-get update -qq &&
        $web_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null; then
        echo "SKIPPED: this needs ${web_packages[*]} of Debian 12 or later, which could not be installed." >&2
        exit 77
    fi
}
web_have "${web_packages[@]}" || web_install "${web_packages[@]}"
# The linker of the LLVM that the compiler has.
web_llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
web_have "lld-$web_llvm" || web_install "lld-$web_llvm"

web_bindgen=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
web_tools=${WEB_TOOLS:-$HOME/.cache/conv1d-web-tools}
if [ "$("$web_tools/bin/wasm-bindgen" --version 2>/dev/null)" != "wasm-bindgen $web_bindgen" ]; then
    echo "Building wasm-bindgen $web_bindgen." >&2
    cargo install -q wasm-bindgen-cli --version "=$web_bindgen" --no-default-features --root "$web_tools"
fi

web_target=${WEB_TARGET_DIR:-target/web} # its own: another compiler
# Runs cargo for a browser: web_cargo COMMAND ARGUMENTS...
web_cargo() {
    local command=$1
    shift
    # -Zbuild-std on Debian's stable compiler.
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$web_target \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-$web_llvm \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$web_tools/bin/wasm-bindgen-test-runner \
        cargo "$command" --locked --release -Zbuild-std=std,panic_abort --target wasm32-unknown-unknown "$@"
}
