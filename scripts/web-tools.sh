# Installs the missing tools of a build for browsers: the compiler of rustc-web.sh, its linker, and wasm-bindgen's programs in the
# same version as the library. Source this file in the project's root; $1... are further packages.

. scripts/rustc-web.sh "$@"
# The linker of the compiler's LLVM version.
web_llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
web_have "lld-$web_llvm" || web_install "lld-$web_llvm"

web_bindgen=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
web_tools=${WEB_TOOLS:-$HOME/.cache/conv1d-web-tools}
if [ "$("$web_tools/bin/wasm-bindgen" --version 2>/dev/null)" != "wasm-bindgen $web_bindgen" ]; then
    echo "Building wasm-bindgen $web_bindgen." >&2
    cargo install -q wasm-bindgen-cli --version "=$web_bindgen" --no-default-features --root "$web_tools"
fi

# Runs cargo for a browser: web_cargo COMMAND ARGUMENTS...
web_cargo() {
    local command=$1
    shift
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-$web_llvm \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$web_tools/bin/wasm-bindgen-test-runner \
        std_cargo wasm32-unknown-unknown "$command" "$@"
}
