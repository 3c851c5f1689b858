#!/usr/bin/env bash
# base.sh NAME: a Debian base with Python, made here from packages that apt verifies, for a machine that reaches no
# registry of images; one that is there is taken. Its name by digest is printed. Needs root, debootstrap, an engine.
set -euo pipefail
name=$1
engine=${ESTEIRA_ENGINE:-podman}
digest() { "$engine" image inspect --format '{{index .RepoDigests 0}}' "$name"; }
if "$engine" image inspect "$name" >/dev/null 2>&1; then
  digest
  exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --force-check-gpg --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$folder/root" >"$folder/log" ||
  { tail -n 20 "$folder/log" >&2; exit 1; }
(
  cd "$folder/root"
  rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc/* usr/share/man/* usr/share/locale/* var/log/*
)
tar -C "$folder/root" --sort=name --numeric-owner -c . | "$engine" import - "$name" >/dev/null
digest
