#!/bin/sh
# A share of the GPU tests on SwiftShader, the Vulkan driver that comes with Chromium: another compiler than Mesa's, subgroups of 4,
# offsets that must be aligned to 256 bytes, no f16. Only the binary of `make test` is needed.
set -eu
cd "$(dirname "$0")/.."
: "${SWIFTSHADER_ICD:=/usr/lib/chromium/vk_swiftshader_icd.json}"
if [ ! -e "$SWIFTSHADER_ICD" ]; then
    echo "SKIPPED: the tests on SwiftShader need $SWIFTSHADER_ICD, which Debian's package chromium has." >&2
    exit 77
fi

# By its name, so that nothing else is tested by mistake.
VK_DRIVER_FILES=$SWIFTSHADER_ICD CONV1D_ADAPTER=SwiftShader cargo test --locked --workspace --features conv1d/cli --test main -- \
    errors fused goldens host limits nn one_buffer packed signals tuning \
    --skip limits::larger_cases --skip limits::long_sums --skip limits::past_65535 --skip limits::tensors_larger # minutes each
