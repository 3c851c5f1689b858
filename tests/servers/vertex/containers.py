"""A deployed model's container, as a process here: our real prediction server, told what Vertex AI tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from tests.servers.vertex.service import PROJECT

REPOSITORY = Path(__file__).resolve().parents[3]
SERVER = REPOSITORY / ".venvs" / "server" / "bin" / "python"
_PATIENCE = 30.0


@dataclass
class Container:
    """One process. What it says on standard error gathers in `said`."""

    process: subprocess.Popen[bytes]
    health: str
    route: str
    said: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    reader: threading.Thread | None = None

    @classmethod
    def start(cls, model: Any, endpoint: str, deployed: str) -> Self:
        """The model's container on a free port of the loopback."""
        spec = model.container_spec
        health, route = spec.health_route or "/health", spec.predict_route or "/predict"
        told = {
            "AIP_STORAGE_URI": model.artifact_uri,
            "AIP_HTTP_PORT": "0",
            "AIP_HEALTH_ROUTE": health,
            "AIP_PREDICT_ROUTE": route,
            "AIP_DEPLOYED_MODEL_ID": deployed,
            "AIP_ENDPOINT_ID": endpoint,
            "AIP_MODE": "PREDICTION",
            "AIP_PROJECT_NUMBER": "123",
            "CLOUD_ML_PROJECT_ID": PROJECT,
            "ESTEIRA_HOST": "127.0.0.1",
            "ESTEIRA_DRAIN": "0.1",
        }
        own = {k: v for k, v in os.environ.items() if not k.startswith(("ESTEIRA_", "AIP_", "PYTHON"))}
        environment = {**own, "PYTHONPATH": str(REPOSITORY), **told, **{one.name: one.value for one in spec.env}}
        python = SERVER if SERVER.exists() else Path(sys.executable)
        command = [str(python), "-P", "-m", "components.serving"]
        started = cls(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE), health, route)
        started.reader = threading.Thread(target=started._gather, daemon=True)
        started.reader.start()
        return started

    def _gather(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                said = json.loads(line) if line.startswith(b"{") else {"message": line.decode().strip()}
                self.said.append(said)
                if said["message"] == "listening":
                    self.port = said["port"]

    @property
    def failed(self) -> str:
        """The last words of a process that has ended; empty while it lives."""
        if self.process.poll() is None:
            return ""
        if self.reader is not None:
            self.reader.join(_PATIENCE)
        return str(self.said[-1]["message"]) if self.said else f"exit code {self.process.returncode}"

    def healthy(self) -> bool:
        if not self.port:
            return False
        try:
            return self._ask("GET", self.health, b"")[0] == 200
        except (OSError, HTTPException):
            return False

    def predict(self, body: bytes) -> tuple[int, bytes]:
        return self._ask("POST", self.route, body)

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self) -> None:
        """As Vertex does: SIGTERM, and SIGKILL for one that does not follow it."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.reader is not None:
            self.reader.join(_PATIENCE)
