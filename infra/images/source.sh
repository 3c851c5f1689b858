#!/bin/sh
# source.sh PACKAGE LOCK: a virtual environment in /opt/venv with one package of a lock, compiled here.
set -eu
if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi
header=$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["include"] + "/Python.h")')
apt-get update -qq
if [ -e "$header" ]; then set -- "$@" g++; else set -- "$@" g++ python3-dev; fi
package=$1 lock=$2
shift 2
apt-get install -qq --no-install-recommends -y "$@" >/dev/null
awk -v name="$package" '/^[a-z]/ { taken = index($0, name "==") == 1 } taken' "/build/requirements/$lock.txt" >/tmp/one.txt
export UV_CACHE_DIR=/root/.cache/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
/build/uv venv --quiet --python "$(command -v python3)" /opt/venv
/build/uv pip install --quiet --require-hashes --no-deps --python /opt/venv/bin/python -r /tmp/one.txt
