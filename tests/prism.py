"""Prism, Beam's portable job service that `make servers` starts, with workers that are processes in an empty directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

PRISM = os.environ.get("ESTEIRA_PRISM", "")


def needed(test: Any) -> Any:
    """Marks a test that runs on it."""
    absent = pytest.mark.skipif(not PRISM, reason="ESTEIRA_PRISM names no job service (host:port of Prism)")
    return pytest.mark.servers(absent(test))


@contextmanager
def workers(empty: Path) -> Iterator[dict[str, Any]]:
    """A pool that starts workers in this new directory, with this Python; the options by which a job uses it."""
    port = _free_port()
    empty.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", "--service_port", str(port)]
    with subprocess.Popen(command, cwd=empty, env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}) as pool:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            address = f"127.0.0.1:{port}"
            yield {"job_endpoint": PRISM, "environment_type": "EXTERNAL", "environment_config": address}
        finally:
            pool.terminate()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
