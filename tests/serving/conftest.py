"""A toy case with a registry and a pointer, and the server over it as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest

from components.adapters.local.blobs import FileBlobs
from components.core.inference import log_prefix
from components.core.model import Model
from components.core.profile import Profile
from tests import toy as toys
from tests.conftest import REPOSITORY
from tests.toy import Toy

TOKEN = "a-token-of-the-tests"
SERVER = REPOSITORY / ".venvs" / "server" / "bin" / "python"
_PATIENCE = 30.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


@dataclass
class Server:
    """A server process. What it says on standard error gathers in `said`."""

    root: Path
    process: subprocess.Popen[bytes]
    said: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, path: str, body: object = None, *, method: str | None = None, token: str | None = TOKEN, **headers: str
    ) -> Answer:
        """One request on a connection of its own; a body that is no bytes goes as JSON. `_` in a header's name is -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def predict(self, *instances: object, **more: Any) -> Answer:
        return self.ask("/predict", {"instances": list(instances)}, **more)

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for a fact; fails when it does not come."""
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def until_ready(self) -> None:
        self.until(lambda: self.ask("/health").status == 200)

    def serves(self, version: int) -> bool:
        return self.predict({"x": 1, "z": 0, "kind": "p"}).headers.get("x-model-version") == str(version)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)

    def metrics(self) -> dict[str, float]:
        """Series with its labels -> value."""
        lines = self.ask("/metrics").body.decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def log(self, case: str = toys.NAME) -> list[dict[str, Any]]:
        """The inference log's lines so far, those with counts of drops among them."""
        blobs = FileBlobs(self.root / "blobs")
        names = blobs.names(log_prefix(case)) if (self.root / "blobs" / log_prefix(case)).is_dir() else []
        return [json.loads(line) for name in names for line in blobs.read(name)[0].splitlines()]

    def logged(self, **like: object) -> list[dict[str, Any]]:
        """The lines of requests that have these values."""
        return [line for line in self.log() if "id" in line and like.items() <= line.items()]


Serve = Callable[..., Server]


def environment(**values: str) -> dict[str, str]:
    """A server's environment: ours without what would configure one, and `values`."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("ESTEIRA_", "AIP_", "PYTHON"))}
    return {**own, "PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1", **values}


def start(root: Path, values: Mapping[str, str], arguments: Sequence[str] = ()) -> Server:
    """A server that listens on a free port; ready or not."""
    python = SERVER if SERVER.exists() else Path(sys.executable)
    command = [str(python), *arguments, "-m", "components.serving"]
    process = subprocess.Popen(command, env=environment(**values), stderr=subprocess.PIPE, cwd=root)
    server = Server(root, process)
    assert process.stderr is not None
    lines = process.stderr

    def gather() -> None:
        for line in lines:
            server.said.append(json.loads(line) if line.startswith(b"{") else {"message": line.decode()})

    threading.Thread(target=gather, daemon=True).start()
    server.until(lambda: any(said["message"] == "listening" for said in server.said))
    server.port = next(said["port"] for said in server.said if said["message"] == "listening")
    return server


@pytest.fixture(scope="session")
def _servers() -> Iterator[list[Server]]:
    servers: list[Server] = []
    yield servers
    for server in servers:
        end(server)


def end(server: Server) -> None:
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()
    if server.process.stderr is not None:
        server.process.stderr.close()


@pytest.fixture
def toy(tmp_path: Path, make_launch: Callable[..., Any]) -> Toy:
    return toys.toy(tmp_path, make_launch)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers over a toy's pointer, with these variables; they end with the test."""
    running: list[Server] = []

    def run(toy: Toy, *, ready: bool = True, **values: str) -> Server:
        root = Path(Profile.from_json(toy.launch.profile).root)
        given = {"ESTEIRA_CASE": toys.NAME, "ESTEIRA_ROOT": str(root), "ESTEIRA_TOKEN": TOKEN, "AIP_HTTP_PORT": "0"}
        given |= {"ESTEIRA_HOST": "127.0.0.1", "ESTEIRA_DRAIN": "0.2"} | values
        server = start(root, given)
        running.append(server)
        if ready:
            server.until_ready()
        return server

    yield run
    for server in running:
        end(server)


def begin_canary(toy: Toy, model_root: Path, percent: int) -> int:
    """Registers the model and gives it that share of the traffic; its version."""
    described = Model.from_json((model_root / "model.json").read_bytes())
    registered = toy.ports.registry.register(toys.NAME, model_root, described.identity, {"bundle": described.bundle})
    pointer = toy.ports.endpoints.pointer(toys.NAME)
    toy.ports.endpoints.change(replace(pointer, challenger=registered.version, split=percent))
    return registered.version
