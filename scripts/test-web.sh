#!/bin/bash
# Tests in headless Chromium, on its software adapter: the page of web/, tests/web.rs and crates/nn/tests/web.rs, the libraries
# compiled to WebAssembly. Installs missing tools.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/web-tools.sh chromium chromium-driver
export CHROMEDRIVER=/usr/bin/chromedriver WASM_BINDGEN_TEST_TIMEOUT=900 WASM_BINDGEN_TEST_WEBDRIVER_JSON=$PWD/webdriver.json

./scripts/web.sh
cargo test --locked --workspace --features conv1d-web/browser --test page
web_cargo test -p conv1d --test web
web_cargo test -p conv1d-nn --test web
