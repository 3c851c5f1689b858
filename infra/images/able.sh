#!/usr/bin/env bash
# able.sh: whether this machine can make a base, build images over it and run them; what it lacks is said, one line each.
set -uo pipefail
failed=0
lacks() {
  echo "images: this machine must $1. Got $2. $3" >&2
  failed=1
}
[ "$(id -u)" = 0 ] || lacks "run them as root" "user $(id -un)" "A base is made with chroot and mounts: run as root."
for tool in podman runc debootstrap; do
  command -v "$tool" >/dev/null || lacks "have $tool" "none on PATH" "Debian: apt-get install --no-install-recommends $tool."
done
((failed)) && exit 1
said=$(unshare --mount mount -t tmpfs none /mnt 2>&1) ||
  lacks "let root mount" "'$said'" "It may be a container itself: give it CAP_SYS_ADMIN (docker run --privileged)."
place=$(podman info --format '{{.Store.GraphRoot}}' 2>&1) ||
  lacks "let podman answer" "'$(tail -n 1 <<<"$place")'" "podman info says what it lacks."
((failed)) && exit 1
free=$(df --output=avail --block-size=1G "$place" | tail -n 1)
((free >= 12)) || lacks "have 12 GiB free for images" "${free// /} GiB at $place" "podman system prune frees what no image needs."
exit "$failed"
