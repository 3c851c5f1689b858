"""The server's image as Vertex AI starts it: AIP_* variables, a mounted model, a token, SIGTERM."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from components.adapters.gcp.blobs import CloudBlobs
from tests import toy as toys
from tests.conftest import REPOSITORY
from tests.images.conftest import LOCKED, Contained, free, until_listening

pytestmark = [pytest.mark.containers, pytest.mark.slow]

ROW = {"x": 1.5, "z": 0.0, "kind": "p"}
TOKEN = "a-token-of-the-tests"


@pytest.fixture
def port() -> int:
    return free()


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Cloud Storage in small, with a bucket; what connects from now on reaches it."""
    at = free()
    address = f"http://127.0.0.1:{at}"
    line = [REPOSITORY / ".tools" / "fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", str(at)]
    server = subprocess.Popen([*line, "-backend", "memory", "-log-level", "error"])
    try:
        until_listening(at)
        body = json.dumps({"name": "models"}).encode()
        asked = urllib.request.Request(f"{address}/storage/v1/b", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked).close()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def toy(tmp_path: Path, make_launch: Callable[..., Any]) -> toys.Toy:
    return toys.toy(tmp_path, make_launch)


Start = Callable[..., str]


@pytest.fixture
def start(references: dict[str, str], toy: toys.Toy, port: int) -> Iterator[Start]:
    """Starts a container of the image as Vertex AI does; its name."""
    name = f"esteira-test-{port}"

    def go(model: str, *more: str) -> str:
        values = {
            "AIP_HTTP_PORT": port, "AIP_HEALTH_ROUTE": "/v1/endpoints/1", "AIP_PREDICT_ROUTE": "/v1/endpoints/1:predict",
            "AIP_STORAGE_URI": model, "ESTEIRA_BUNDLE": toy.launch.bundle, "ESTEIRA_VERSION": 12, "ESTEIRA_TOKEN": TOKEN,
            "ESTEIRA_HOST": "127.0.0.1", "ESTEIRA_DRAIN": "0.2",
        }  # fmt: skip
        variables = [part for key, value in values.items() for part in ("--env", f"{key}={value}")]
        line = ["podman", "run", "--detach", "--name", name, "--network=host", *LOCKED, *variables, *more]
        subprocess.run([*line, references["esteira-server"]], check=True, capture_output=True)
        return name

    yield go
    subprocess.run(["podman", "rm", "--force", "--ignore", name], check=True, capture_output=True)


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


def answers(port: int) -> None:
    status, headers, body = ask(port, "/v1/endpoints/1:predict", {"instances": [ROW]})
    assert (status, headers["x-model-version"]) == (200, "12")
    assert len(json.loads(body)["predictions"]) == 1


def test_it_serves_a_mounted_model_on_vertexs_routes_and_ends_at_sigterm(
    toy: toys.Toy, start: Start, tmp_path: Path, port: int
) -> None:
    folder = toy.model("only")
    subprocess.run(["chmod", "-R", "a+rX", tmp_path, *tmp_path.parents[:2]], check=True)
    served = start("/model", "--volume", f"{folder}:/model:ro")
    until_ready(port, served)
    answers(port)
    assert ask(port, "/v1/endpoints/1:predict", {"instances": [ROW]}, token="another")[0] == 401
    subprocess.run(["podman", "stop", "--time", "20", served], check=True, capture_output=True)
    line = ["podman", "inspect", "--format", "{{.State.ExitCode}}", served]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip() == "0"


def test_it_takes_its_model_from_cloud_storage(toy: toys.Toy, start: Start, storage: str, port: int) -> None:
    store, folder = CloudBlobs("gs://models/copy"), toy.model("only")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        store.write(path.relative_to(folder).as_posix(), path.read_bytes())
    until_ready(port, start("gs://models/copy", "--env", f"STORAGE_EMULATOR_HOST={storage}"))
    answers(port)


def test_its_libraries_do_what_they_did_before_they_were_cut(contained: Contained) -> None:
    code = """
import asyncio, numpy, uvloop, httptools, google_crc32c
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.crypt import RSASigner
key = rsa.generate_private_key(65537, 2048)
kind = serialization.PrivateFormat.TraditionalOpenSSL
pem = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
async def turn():
    return type(asyncio.get_running_loop()).__module__
parts = httptools.parse_url(b"http://a.example/b?c=d")
print(len(RSASigner.from_string(pem).sign(b"x")), google_crc32c.value(b"esteira"))
print(uvloop.run(turn()), parts.path, (numpy.eye(3) @ numpy.ones(3)).sum())
"""
    said = contained("esteira-server", "python3", "-c", code).splitlines()
    assert said == [f"256 {google_crc32c.value(b'esteira')}", "uvloop b'/b' 3.0"]
