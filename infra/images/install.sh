#!/bin/sh
# install.sh LOCK...: a virtual environment in /opt/venv that holds what the locks name, each file by its hash.
set -eu
if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi
export UV_CACHE_DIR=/root/.cache/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy PYTHONHASHSEED=0
[ -d /opt/venv ] || /build/uv venv --quiet --python "$(command -v python3)" /opt/venv
for lock in "$@"; do
  # TFDV and kfp's client hang on packages that exist as source alone; elsewhere nothing is built.
  case $lock in validate* | launcher) build= ;; *) build=--no-build ;; esac
  /build/uv pip install --quiet --require-hashes --no-deps --no-compile-bytecode $build \
    --python /opt/venv/bin/python -r "/build/requirements/$lock.txt"
done
# For a person's shell, for compilers, for the packages' own authors: no image needs them.
rm -rf /opt/venv/bin/activate* /opt/venv/bin/deactivate* /opt/venv/.lock /opt/venv/.gitignore /opt/venv/CACHEDIR.TAG
find /opt/venv/lib/python3*/site-packages -depth -type d \
  \( -path '*/tensorflow/include' -o -path '*/pyarrow/include' -o -path '*/pyarrow/tests' -o -path '*/scipy/*/tests' \
  -o -path '*/sklearn/*/tests' -o -path '*/pandas/tests' -o -path '*/numpy/*/tests' \) -exec rm -rf {} +
# A read-only image cannot keep what it compiles. By hash, so that no time stamp is in it; some packages bring
# templates that are no Python, which is no failure.
/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib >/dev/null || true
