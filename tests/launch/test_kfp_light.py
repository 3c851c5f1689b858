"""In a process of its own: what is imported stays imported."""

from __future__ import annotations

import subprocess
import sys

from pipelines.launch.environments import HOME

PROGRAM = """
import sys
from pipelines.launch import kfp_light
kfp_light.load()
from kfp import compiler, dsl, local
assert "kubernetes" not in sys.modules
import kfp.client
assert kfp.client.Client.__module__ == "kfp.client.client"
assert "kubernetes" in sys.modules
kfp_light.load()
"""


def test_compiling_needs_no_client_and_the_client_can_still_be_had() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=HOME, env={"PYTHONPATH": str(HOME)}
    )
    assert done.returncode == 0, done.stderr
