#!/bin/sh
# Runs a part of the GPU tests on SwiftShader, the Vulkan driver of Chromium: another compiler than Mesa's, subgroups of 4, offsets
# aligned to 256 bytes, no f16. Needs only the binary of `make test`.
set -eu
cd "$(dirname "$0")/.."
: "${SWIFTSHADER_ICD:=/usr/lib/chromium/vk_swiftshader_icd.json}"
if [ ! -e "$SWIFTSHADER_ICD" ]; then
    echo "SKIPPED: the tests on SwiftShader need $SWIFTSHADER_ICD, which is in Debian's package chromium." >&2
    exit 77
fi

# Selects the adapter by name, so that no other one is tested by mistake.
export VK_DRIVER_FILES=$SWIFTSHADER_ICD CONV1D_ADAPTER=SwiftShader
cargo test --locked --workspace --exclude conv1d-web --exclude conv1d-simt --test main -- \
    --skip cases:: --skip choices:: --skip counts:: --skip determinism:: --skip oracle:: --skip order:: --skip paper:: --skip planted:: --skip processor:: --skip random:: --skip work:: \
    --skip limits::larger_cases --skip limits::long_sums --skip limits::past_65535 --skip limits::tensors_larger \
    --skip sums::gradients_over_2 --skip sums::sums_in # minutes each
