#!/usr/bin/env bash
# store.sh save|load|load-if-there FOLDER ADDRESS: a folder as one archive at gs://… or a path.
set -euo pipefail
action=$1 folder=$2 address=$3
[[ -n $address ]] || { echo "store: 'ADDRESS' must be gs://… or a path. Got ''. Set it." >&2; exit 2; }
copy() {
  if [[ "$1$2" == *gs://* ]]; then gcloud storage cp --quiet "$1" "$2"; else mkdir -p "$(dirname "$2")" && cp -- "$1" "$2"; fi
}
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
case $action in
  save)
    tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner -czf "$archive" .
    copy "$archive" "$address"
    ;;
  load | load-if-there)
    if ! copy "$address" "$archive" 2>/dev/null; then
      [[ $action == load-if-there ]] && exit 0
      echo "store: '$address' must be an archive that this account reads. Got none. Save it first." >&2
      exit 4
    fi
    mkdir -p "$folder"
    tar -C "$folder" -xzf "$archive"
    ;;
  *)
    echo "store: the action must be save, load or load-if-there. Got '$action'." >&2
    exit 2
    ;;
esac
