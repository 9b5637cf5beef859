#!/bin/sh
# Ensures that there is a Vulkan driver: if no usable one is found, installs Mesa's software driver with the system's package
# manager and prints a note. Does nothing on macOS, which has Metal.
set -eu

# Folders of driver manifests, and the folder of devices. Overridable to test this script.
: "${ICD_DIRECTORIES:=/usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d}"
: "${DEVICES:=/dev}"

[ "$(uname)" = Darwin ] && exit 0

has_loader() {
    ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || ls /lib*/libvulkan.so.1 /usr/lib*/libvulkan.so.1 >/dev/null 2>&1
}

# A driver that the environment names is accepted without a check.
has_named_driver() { [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ]; }

icd() { for directory in $ICD_DIRECTORIES; do ls "$directory"/$1 2>/dev/null || true; done | grep -q .; }

# A hardware driver is useful only if there is hardware.
has_hardware() { [ -e "$DEVICES/dri" ] || [ -e "$DEVICES/nvidia0" ] || [ -e "$DEVICES/dxg" ]; }

if has_loader && { has_named_driver || icd 'lvp_icd*.json' || { icd '*.json' && has_hardware; }; }; then
    exit 0
fi

root=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1; then root=sudo; fi
fi

echo "No Vulkan driver found: installing Mesa's software driver (lavapipe)." >&2
if command -v apt-get >/dev/null 2>&1; then
    $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null
elif command -v dnf >/dev/null 2>&1; then
    $root dnf install -y -q mesa-vulkan-drivers vulkan-loader
elif command -v pacman >/dev/null 2>&1; then
    $root pacman -S --noconfirm --needed vulkan-swrast vulkan-icd-loader
elif command -v zypper >/dev/null 2>&1; then
    $root zypper --non-interactive install libvulkan_lvp libvulkan1
elif command -v apk >/dev/null 2>&1; then
    $root apk add --quiet mesa-vulkan-swrast vulkan-loader
else
    false
fi || {
    echo "Could not install it. Install a Vulkan driver by hand (Debian, Ubuntu: mesa-vulkan-drivers and libvulkan1)." >&2
    exit 1
}
