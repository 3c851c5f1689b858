"""The same job on a portable job service, its worker a process of its own in an empty directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Bench, parcels

PRISM = os.environ.get("ESTEIRA_PRISM", "")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not PRISM, reason="ESTEIRA_PRISM names no job service (host:port of Prism)"),
]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def worker_pool(tmp_path: Path) -> Iterator[str]:
    """The address of a pool that starts workers in an empty directory, with this Python."""
    port, empty = _free_port(), tmp_path / "empty"
    empty.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", str(port)]
    with subprocess.Popen(command, cwd=empty, env={**os.environ, "PATH": path}) as pool:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            pool.terminate()


def test_prism_publishes_what_the_embedded_runner_does(bench: Bench, worker_pool: str) -> None:
    bench.give(parcels())
    bench.run()
    digests = bench.digests()
    bench.case["split"]["train"] = 2  # says what it already was, under another key
    options = {"job_endpoint": PRISM, "environment_type": "EXTERNAL", "environment_config": worker_pool}
    bench.jobs = {"runner": "PortableRunner", "options": options}
    assert not bench.run().reused
    assert bench.digests() == digests
