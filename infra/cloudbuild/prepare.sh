#!/usr/bin/env bash
# prepare.sh PACKAGE...: what a step's image lacks, from Debian.
set -euo pipefail
missing=()
for package in "$@"; do dpkg --status "$package" >/dev/null 2>&1 || missing+=("$package"); done
((${#missing[@]})) || exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
