#!/usr/bin/env bash
# Installs those of the given Debian packages that are missing (as root).
set -euo pipefail
missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=none
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "packages: installing ${missing[*]}"
apt-get update -qq || echo "packages: apt-get update failed; going on with the lists at hand"
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
