# Installs Debian's rustc-web and the sources of its standard library if they are missing; std_cargo builds the library for other
# platforms. Source this file in the project's root; $1... are further packages.

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

web_target=${WEB_TARGET_DIR:-target/web} # a separate folder for another compiler
# Runs cargo for another platform: std_cargo TRIPLE COMMAND ARGUMENTS...
std_cargo() {
    local triple=$1 command=$2
    shift 2
    # RUSTC_BOOTSTRAP allows -Zbuild-std on Debian's stable compiler.
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$web_target \
        cargo "$command" --locked --release -Zbuild-std=std,panic_abort --target "$triple" "$@"
}
