#!/bin/bash
# Type-checks the library, the command line and the tests for platforms on which they have not been run: check-targets.sh [TRIPLE...],
# by default all of them; check-targets.sh one checks one of them, the next with each commit. Nothing is linked, so no SDK is needed.
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
set -- # otherwise rustc-web.sh takes the arguments for packages
. scripts/rustc-web.sh

# Cargo compiles the standard library even for a check.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
# A dependency of criterion has a C function. Nothing is linked, so an empty library suffices: ar crs FILE..., lib -out:FILE...
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
    std_cargo "$triple" check --lib --bins --tests --examples -p conv1d -p conv1d-nn -p conv1d-cli --all-features
done
