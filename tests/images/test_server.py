"""The server's image as Vertex AI starts it: AIP_* variables, a mounted model, a token, SIGTERM."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests import toy as toys
from tests.images.conftest import LOCKED

pytestmark = [pytest.mark.containers, pytest.mark.slow]

ROW = {"x": 1.5, "z": 0.0, "kind": "p"}
TOKEN = "a-token-of-the-tests"


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path, make_launch: Callable[..., Any], references: dict[str, str], port: int) -> Iterator[str]:
    """A toy's model in a container of the image; the container's name."""
    toy = toys.toy(tmp_path, make_launch)
    folder = toy.model("only")
    subprocess.run(["chmod", "-R", "a+rX", tmp_path, *tmp_path.parents[:2]], check=True)
    name = f"esteira-test-{port}"
    values = {
        "AIP_HTTP_PORT": port, "AIP_HEALTH_ROUTE": "/v1/endpoints/1", "AIP_PREDICT_ROUTE": "/v1/endpoints/1:predict",
        "AIP_STORAGE_URI": "/model", "ESTEIRA_BUNDLE": toy.launch.bundle, "ESTEIRA_VERSION": 12, "ESTEIRA_TOKEN": TOKEN,
        "ESTEIRA_HOST": "127.0.0.1", "ESTEIRA_DRAIN": "0.2",
    }  # fmt: skip
    variables = [part for key, value in values.items() for part in ("--env", f"{key}={value}")]
    mount = ["--volume", f"{folder}:/model:ro"]
    line = ["podman", "run", "--detach", "--name", name, "--network=host", *LOCKED, *variables, *mount]
    subprocess.run([*line, references["esteira-server"]], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["podman", "rm", "--force", name], check=True, capture_output=True)


def ask(port: int, path: str, body: object = None, token: str = TOKEN) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def until_ready(port: int, name: str) -> None:
    for _ in range(300):
        try:
            if ask(port, "/v1/endpoints/1")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    said = subprocess.run(["podman", "logs", name], capture_output=True, text=True, check=False)
    raise AssertionError(said.stdout + said.stderr)


def test_it_serves_a_mounted_model_on_vertexs_routes_and_ends_at_sigterm(served: str, port: int) -> None:
    until_ready(port, served)
    status, headers, body = ask(port, "/v1/endpoints/1:predict", {"instances": [ROW]})
    assert (status, headers["x-model-version"]) == (200, "12")
    assert len(json.loads(body)["predictions"]) == 1
    assert ask(port, "/v1/endpoints/1:predict", {"instances": [ROW]}, token="another")[0] == 401
    subprocess.run(["podman", "stop", "--time", "20", served], check=True, capture_output=True)
    line = ["podman", "inspect", "--format", "{{.State.ExitCode}}", served]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() == "0"
