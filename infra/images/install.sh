#!/bin/sh
# install.sh LOCK...: a virtual environment in /opt/venv that holds what the locks name, each file by its hash.
set -eu
if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi
export UV_CACHE_DIR=/root/.cache/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
[ -d /opt/venv ] || /build/uv venv --quiet --python "$(command -v python3)" /opt/venv
for lock in "$@"; do
  # TFDV and kfp's client hang on packages that exist as source alone; elsewhere nothing is built.
  case $lock in validate* | launcher) build= ;; *) build=--no-build ;; esac
  /build/uv pip install --quiet --require-hashes --no-deps --no-compile-bytecode $build \
    --python /opt/venv/bin/python -r "/build/requirements/$lock.txt"
done
# For a person's shell, and for installers.
rm -rf /opt/venv/bin/activate* /opt/venv/bin/deactivate* /opt/venv/.lock /opt/venv/.gitignore /opt/venv/CACHEDIR.TAG
/opt/venv/bin/python -B /build/images/slim.py /opt/venv/lib/python3*/site-packages
# The server's stage compiles what it serves with.
[ "$1" = server ] || sh /build/images/compile.sh /opt/venv/lib
