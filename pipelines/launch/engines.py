"""The engine that runs containers here: docker, or a podman service for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import SetupError

if TYPE_CHECKING:
    from docker import DockerClient

_SOCKET = "unix:///var/run/docker.sock"
_LONGEST = 600
"""Seconds for one answer of the engine; a pull or a quiet step takes long."""


def limits_memory(client: DockerClient) -> bool:
    """Whether it can keep a container to so many bytes: without a cgroup for memory it cannot."""
    return bool(client.info().get("MemoryLimit"))


@contextmanager
def served() -> Iterator[DockerClient]:
    """A client of DOCKER_HOST, of docker's own socket, or else of a podman service that lives as long as this block.

    Raises
    ------
    SetupError
        None of them answers.
    """
    client = _client()
    if client is None and "DOCKER_HOST" not in os.environ and shutil.which("podman"):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "podman.sock"
            address = f"unix://{place}"
            line = ["podman", "--log-level=error", "system", "service", "--time=0", address]
            # Who watches a container for it leaves an empty file `oom` where it works, when memory ran out.
            service = subprocess.Popen(line, cwd=folder)
            try:
                _wait(lambda: _listens(str(place)), service)
                with _closing(_client(address)) as found:
                    yield found
            finally:
                service.terminate()
                service.wait()
        return
    with _closing(client) as found:
        yield found


@contextmanager
def _closing(client: DockerClient | None) -> Iterator[DockerClient]:
    if client is None:
        at = os.environ.get("DOCKER_HOST") or "docker's socket"
        remedy = "Start docker, or install podman, or set DOCKER_HOST; --runner environments needs none of them."
        raise SetupError("DOCKER_HOST", "be a container engine that answers", at, remedy)
    try:
        yield client
    finally:
        client.close()


def _client(address: str | None = None) -> DockerClient | None:
    import docker
    from docker.errors import DockerException

    at = address or os.environ.get("DOCKER_HOST") or _SOCKET
    if at.startswith("unix://") and not _listens(at.removeprefix("unix://")):
        return None
    try:
        return docker.DockerClient(base_url=at, timeout=_LONGEST) if address else docker.from_env(timeout=_LONGEST)
    except DockerException:
        return None


def _listens(path: str) -> bool:
    """Looked at first: the client leaves an open socket behind where nobody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _wait(ready: Callable[[], bool], service: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if ready() or service.poll() is not None:
            return
        time.sleep(0.1)
