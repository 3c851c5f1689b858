#!/bin/sh
# compile.sh FOLDER: bytecode, which a read-only image cannot keep when it compiles. By hash, so that no time stamp is in
# it. What is there and valid stays; some packages bring templates that are no Python, which is no failure. What Vertex
# AI's SDK holds beside the API that we call is left as source: it works, and nothing here imports it.
set -eu
PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
  -x '/(test|tests|idlelib|lib2to3|ensurepip|turtledemo|aiplatform_v1beta1|vertexai|agentplatform|genai)/' "$1" >/dev/null || true
