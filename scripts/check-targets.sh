#!/bin/bash
# Type-checks the library, the command line and the tests for platforms that nobody has run them on: check-targets.sh [TRIPLE...], all of
# them by default. `one` stands for one of them, the next with each commit. Nothing is linked, so no SDK is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
triples=(x86_64-pc-windows-msvc aarch64-apple-darwin aarch64-linux-android)
case "$*" in
"") ;;
one)
    commits=$(git rev-list --count HEAD 2>/dev/null || echo 0)
    triples=("${triples[commits % ${#triples[@]}]}")
    ;;
*) triples=("$@") ;;
esac
set -- # or the next line would take them for packages
. scripts/rustc-web.sh

# Cargo compiles the standard library even to check what uses it.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
# A dependency of criterion has a C function. Nothing is linked, so an empty library will do: ar crs FILE..., lib -out:FILE...
mkdir -p "$web_target"
cat > "$web_target/empty-library" <<'END'
#!/bin/sh
for argument; do
    case $argument in
    -out:* | /out:*) : > "${argument#?out:}" ;;
    *.a | *.lib) : > "$argument" ;;
    esac
done
END
chmod +x "$web_target/empty-library"
export TARGET_CC=true TARGET_AR=$PWD/$web_target/empty-library
for triple in "${triples[@]}"; do
    echo "Checking for $triple."
    std_cargo "$triple" check --lib --bins --tests --examples --features cli
done
