#!/usr/bin/env bash
# store.sh save|load|load-if-there FOLDER ADDRESS: a folder as one archive at gs://… or a path. An archive that is not
# there is no failure of load-if-there; one that this account may not read is, and so is a bucket that is not there.
set -euo pipefail
action=$1 folder=$2 address=$3
[[ -n $address ]] || { echo "store: 'ADDRESS' must be gs://… or a path. Got ''. Set it." >&2; exit 2; }
copy() {
  if [[ "$1$2" == *gs://* ]]; then gcloud storage cp --quiet "$1" "$2"; else mkdir -p "$(dirname "$2")" && cp -- "$1" "$2"; fi
}
absent() {
  # gcloud's exit code is 1 whatever happened. It lists the bucket before it says this, and without the right to, it says so.
  if [[ $address == gs://* ]]; then [[ $said == *"matched no objects or files"* ]]; else [[ ! -e $address ]]; fi
}
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
case $action in
  save)
    tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner -czf "$archive" .
    copy "$archive" "$address"
    ;;
  load | load-if-there)
    if ! said=$(copy "$address" "$archive" 2>&1); then
      rule="store: '$address' must be an archive that this account reads"
      if ! absent; then
        read -r -d '' -a words <<<"$said" || true
        echo "$rule. Got '${words[*]}'. Give it roles/storage.objectViewer, or mend the address." >&2
        exit 4
      fi
      [[ $action == load-if-there ]] && exit 0
      echo "$rule. Got none. Save it first." >&2
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
