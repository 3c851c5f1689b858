"""The images that `make images` built, in containers that end with their test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from pipelines.launch import images
from tests.conftest import REPOSITORY

DIGESTS = REPOSITORY / images.DIGESTS
LOCKED = ("--read-only", "--tmpfs", "/tmp:mode=1777", "--cap-drop=all", "--security-opt=no-new-privileges")
Contained = Callable[..., str]


@pytest.fixture(scope="session")
def references() -> dict[str, str]:
    """By image name. Skipped by name without podman or without images."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("podman, as root")
    if not DIGESTS.is_file():
        pytest.skip("build/digests.json: make test-images")
    return images.load(DIGESTS)


@pytest.fixture(scope="session")
def contained(references: dict[str, str]) -> Contained:
    """Runs a command in an image as its own user, on a read-only root; what it printed."""

    def run(image: str, *command: str, code: int = 0, more: tuple[str, ...] = ()) -> str:
        first, *rest = command
        line = ["podman", "run", "--rm", "--network=host", *LOCKED, *more, "--entrypoint", json.dumps([first])]
        done = subprocess.run([*line, references[image], *rest], capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until_listening(port: int) -> None:
    for _ in range(300):
        if listens(port):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")
