#!/bin/bash
# Builds the page into static files in target/page.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/web-tools.sh

web_cargo build -p conv1d-web
page=target/page
rm -rf "$page"
mkdir -p "$page"
"$web_tools/bin/wasm-bindgen" --target web --no-typescript --remove-name-section --remove-producers-section \
    --out-dir "$page" "$web_target/wasm32-unknown-unknown/release/conv1d_web.wasm"
cp web/page/* "$page"
echo "The page is in $page, its WebAssembly $(gzip -9 -c "$page/conv1d_web_bg.wasm" | wc -c) bytes compressed. To view it:"
echo "    python3 -m http.server -d $page 8000    # then open http://localhost:8000 in a browser with WebGPU"
