#!/bin/bash
# In headless Chromium, on its software adapter: the page of web/, clicked through, and tests/web.rs, the library itself compiled to
# WebAssembly. What is missing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/web-tools.sh chromium chromium-driver
export CHROMEDRIVER=/usr/bin/chromedriver WASM_BINDGEN_TEST_TIMEOUT=900

./scripts/web.sh
cargo test --locked --workspace --features conv1d/cli,conv1d-web/browser --test page
web_cargo test --test web
