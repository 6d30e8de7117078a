#!/usr/bin/env bash
# packages.sh PACKAGE...: installs the Debian packages that are missing, and says nothing when none is.
set -euo pipefail

if ! command -v dpkg-query > /dev/null; then
    echo "packages: this is not Debian, nothing is installed; needed is what Debian calls: $*" >&2
    exit 0
fi

missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2> /dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo > /dev/null; then
        echo "packages: not root and no sudo; as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing ${missing[*]}"
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The lists may be missing (a fresh container) or old; an update that fails is fatal only if the packages cannot be had either.
apt update > "$log" 2>&1 || true
if ! apt install --yes --no-install-recommends "${missing[@]}" >> "$log" 2>&1; then
    cat "$log" >&2
    echo "packages: apt-get could not install ${missing[*]}" >&2
    exit 1
fi
