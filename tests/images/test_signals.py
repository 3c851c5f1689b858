"""A compiled component's own command in its image: the task is process 1 and gets SIGTERM."""

import json
import subprocess
import time
import uuid
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from components import types
from pipelines.launch.compile import _EXEC, _SHELL
from tests.images.conftest import LOCKED

pytestmark = [pytest.mark.containers, pytest.mark.slow]


@dsl.component(base_image=types.PIPELINE, install_kfp_package=False)
def waits(seconds: int) -> None:
    import os
    import signal
    import sys
    import time

    def told(*_: object) -> None:
        print("got SIGTERM as", os.getpid(), flush=True)
        sys.exit(7)

    signal.signal(signal.SIGTERM, told)
    print("waiting", flush=True)
    time.sleep(seconds)


def test_sigterm_reaches_the_task(references: dict[str, str], tmp_path: Path) -> None:
    compiler.Compiler().compile(waits, str(tmp_path / "waits.yaml"))
    spec = yaml.safe_load((tmp_path / "waits.yaml").read_text())
    container = spec["deploymentSpec"]["executors"]["exec-waits"]["container"]
    command = [part.replace(_SHELL, _EXEC) for part in container["command"]]
    given = json.dumps({"inputs": {"parameterValues": {"seconds": 60}}, "outputs": {"outputFile": "/tmp/out.json"}})
    arguments = ["--executor_input", given, "--function_to_execute", "waits"]
    name = f"esteira-test-{uuid.uuid4().hex[:8]}"
    line = [
        "podman",
        "run",
        "--detach",
        "--name",
        name,
        "--network=host",
        *LOCKED,
        "--entrypoint",
        json.dumps(command[:1]),
    ]
    try:
        subprocess.run(
            [*line, references["esteira-pipeline"], *command[1:], *arguments], check=True, capture_output=True
        )
        for _ in range(300):
            said = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=True)
            if "waiting" in said.stdout:
                break
            time.sleep(0.1)
        subprocess.run(["podman", "stop", "--time", "20", name], check=True, capture_output=True)
        said = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=True)
        assert "got SIGTERM as 1" in said.stdout, said.stdout + said.stderr
        line = ["podman", "inspect", "--format", "{{.State.ExitCode}}", name]
        assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() == "7"
    finally:
        subprocess.run(["podman", "rm", "--force", name], check=True, capture_output=True)
