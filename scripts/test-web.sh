#!/bin/bash
# Runs tests/web.rs in headless Chromium, on its software adapter: the library itself, compiled to WebAssembly.
# What is missing is installed. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/web-tools.sh chromium chromium-driver

export CHROMEDRIVER=/usr/bin/chromedriver WASM_BINDGEN_TEST_TIMEOUT=900
web_cargo test --test web "$@"
