#!/bin/sh
# finish.sh NAME: bytecode of our own code, and a list of what the image holds.
set -eu
sh /build/images/compile.sh /opt/esteira
/opt/venv/bin/python -B /build/images/sbom.py "$1" >/opt/esteira/sbom.cdx.json
