"""A second build of the same files, without any layer of the first, gives the same image."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.launch import images
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1200)]


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


Built = Callable[..., dict[str, Any]]


@pytest.fixture
def built(references: dict[str, str], tmp_path: Path) -> Iterator[Built]:
    """Builds the server's image of what the checkout holds, over the base of `make test-images`; what came of it."""
    making = [REPOSITORY / "infra/images/base.sh", "localhost/esteira-base:bookworm"]
    base = subprocess.run(making, capture_output=True, text=True, check=True).stdout.strip()
    build = images.Build("c0ffee", 0, {"BASE": base}, ("--network=host",))
    tag = f"localhost/esteira-test-{uuid.uuid4().hex[:8]}"

    line = images.command("podman", "server", build)
    first, second = tmp_path / "first", tmp_path / "second"
    images.context(REPOSITORY, first)
    with umask(0o077):
        images.context(first, second)

    def go(name: str, *more: str) -> dict[str, Any]:
        mine = [part.replace("esteira-server:dev", f"{tag}:{name}") for part in line]
        done = subprocess.run([*mine, *more, tmp_path / name], capture_output=True, text=True, timeout=480)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        told = subprocess.run(
            ["podman", "image", "inspect", f"{tag}:{name}"], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(told.stdout)[0]
        return found

    yield go
    subprocess.run(
        ["podman", "rmi", "--force", "--ignore", f"{tag}:first", f"{tag}:second"], check=True, capture_output=True
    )


def test_the_servers_image_holds_the_same_bytes(built: Built) -> None:
    first = built("first")
    second = built("second", "--no-cache", "--layers=false")  # which leaves no layer behind either
    assert first["RootFS"] == second["RootFS"]
    assert first["Config"] == second["Config"]
    assert len(first["RootFS"]["Layers"]) == 1
