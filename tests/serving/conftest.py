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
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest

from components.adapters.connect import Connected
from components.adapters.local.blobs import FileBlobs
from components.core import bundle, case_file
from components.core.inference import log_prefix
from components.core.model import Model
from components.core.profile import Profile
from components.step import Launch, store_bundle, store_operations
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

    def until_said(self, beginning: str) -> None:
        """Waits for a line, also of a process that has ended."""
        deadline = time.monotonic() + _PATIENCE
        while not any(said["message"].startswith(beginning) for said in self.said):
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


def python() -> Path:
    """The server's environment, or this one where that is not set up."""
    return SERVER if SERVER.exists() else Path(sys.executable)


def start(root: Path, values: Mapping[str, str], arguments: Sequence[str] = ("-m", "components.serving")) -> Server:
    """A server that listens on a free port; ready or not."""
    command = [str(python()), *arguments]
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


def end(server: Server) -> None:
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait()
    if server.process.stderr is not None:
        server.process.stderr.close()


@pytest.fixture
def toy(tmp_path: Path, make_launch: Callable[..., Any]) -> Toy:
    return toys.toy(tmp_path, make_launch)


def over(toy: Toy, *arguments: str, **values: str) -> Server:
    """A server over a toy's pointer."""
    root = Path(Profile.from_json(toy.launch.profile).root)
    given = {"ESTEIRA_CASE": toys.NAME, "ESTEIRA_ROOT": str(root), "ESTEIRA_TOKEN": TOKEN, "AIP_HTTP_PORT": "0"}
    return start(
        root,
        given | {"ESTEIRA_HOST": "127.0.0.1", "ESTEIRA_DRAIN": "0.2"} | values,
        *([arguments] if arguments else []),
    )


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a whole file, with version 1 as champion, small limits and none that a test could change."""
    root = tmp_path_factory.mktemp("standing")
    toy = toys.toy(root, partial(launched, root))
    toy.promote(toy.model("first"))
    server = over(toy, ESTEIRA_BODY="200000", ESTEIRA_ROWS="100")
    try:
        server.until_ready()
        yield server
    finally:
        end(server)


def launched(root: Path, folder: Path, sources: Path) -> Launch:
    """A launch of the case in `folder`, with everything under `root`."""
    profile = Profile.model_validate({"root": str(root / "esteira"), "sources": str(sources)})
    ports, built = Connected(profile), bundle.build(folder)
    store_bundle(ports, built)
    return Launch(
        "job-1", built.digest, store_operations(ports, case_file.load(folder).operations()), profile.to_json()
    )


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers over a toy's pointer, with these variables; they end with the test."""
    running: list[Server] = []

    def run(toy: Toy, *arguments: str, ready: bool = True, **values: str) -> Server:
        server = over(toy, *arguments, **values)
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


@dataclass
class Load:
    """Requests without a pause from a process of its own."""

    process: subprocess.Popen[str]

    @classmethod
    def on(cls, server: Server, connections: int) -> Load:
        script = Path(__file__).with_name("load.py")
        command = [sys.executable, str(script), str(server.port), TOKEN, str(connections)]
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def end(self) -> tuple[dict[str, int], list[str]]:
        """How many answers there were by "STATUS VERSION", and what failed."""
        out, _ = self.process.communicate("", timeout=_PATIENCE)
        found = json.loads(out)
        return found["answers"], found["failures"]
