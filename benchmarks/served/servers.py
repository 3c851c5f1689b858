"""One scikit-learn model behind our server, MLServer and MLflow, each a process of its own on a free loopback port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from served.trained import NAME, Trained

REPOSITORY = Path(__file__).resolve().parents[2]
TOKEN = "benchmark"
_VENVS = REPOSITORY / ".venvs"
_PATIENCE = 120.0
_RIVALS = {"MLServer": "bench-mlserver", "MLflow": "bench-mlflow"}


@dataclass(frozen=True)
class Server:
    """How one is started, asked and understood. `score` reads the probability of 1 from an answer to one row."""

    name: str
    command: list[str]
    address: str
    health: str
    body: Callable[[list[float]], Any]
    score: Callable[[Any], float]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    token: str = ""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ours(trained: Trained) -> Server:
    """Validation, token and inference log on; it follows the pointer. Asked by Vertex AI's contract."""
    port = free_port()
    given = {
        "ESTEIRA_CASE": NAME,
        "ESTEIRA_ROOT": str(trained.folder / "esteira"),
        "ESTEIRA_TOKEN": TOKEN,
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/predict",
        "PYTHONPATH": str(REPOSITORY),
    }
    at = f"http://127.0.0.1:{port}"
    return Server(
        "esteira",
        [str(_VENVS / "server" / "bin" / "python"), "-m", "components.serving"],
        f"{at}/predict",
        f"{at}/health",
        lambda row: {"instances": [dict(zip("abcd", row, strict=True))]},
        lambda answer: float(answer["predictions"][0]["score"]),
        given,
        token=TOKEN,
    )


def by_asgi(trained: Trained) -> Server:
    """The same application behind uvicorn: `rivals/asgi.py`, in the environment that has it."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "rivals" / "asgi.py")]
    return replace(ours(trained), name="esteira on uvicorn", command=command)


def by_open_inference(server: Server) -> Server:
    """Our server, asked by the protocol that MLServer speaks: a tensor per input."""

    def body(row: list[float]) -> Any:
        tensors = zip("abcd", row, strict=True)
        return {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in tensors]}

    address = server.address.replace("/predict", f"/v2/models/{NAME}/infer")
    name = f"{server.name}, Open Inference"
    return replace(server, name=name, address=address, body=body, score=lambda a: float(a["outputs"][0]["data"][0]))


def mlserver(folder: Path, pipeline: Path) -> Server:
    """In its fastest set-up that we found: inference in the server's own process, without an access log."""
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    folder.mkdir()
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    served = {"name": NAME, "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": str(pipeline)}}
    (folder / "model-settings.json").write_text(json.dumps(served))
    at = f"http://127.0.0.1:{ports['http_port']}/v2/models/{NAME}"
    wanted = [{"name": "predict_proba"}]
    return Server(
        "MLServer",
        [str(environment("MLServer") / "bin" / "mlserver"), "start", str(folder)],
        f"{at}/infer",
        f"{at}/ready",
        lambda row: {
            "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": row}],
            "outputs": wanted,
        },
        lambda answer: float(answer["outputs"][0]["data"][1]),
        folder=folder,
    )


def mlflow(folder: Path, pipeline: Path) -> Server:
    """One worker, without an access log."""
    found, port = environment("MLflow"), free_port()
    script = Path(__file__).parent / "mlflow_model.py"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    saved = [str(found / "bin" / "python"), str(script), str(pipeline), str(folder)]
    subprocess.run(saved, env=os.environ | quiet, check=True, capture_output=True)
    command = f"models serve -m {folder} -h 127.0.0.1 -p {port} --env-manager local --workers 1"
    at = f"http://127.0.0.1:{port}"
    return Server(
        "MLflow",
        [str(found / "bin" / "mlflow"), *command.split()],
        f"{at}/invocations",
        f"{at}/ping",
        lambda row: {"inputs": [row]},
        lambda answer: float(answer["predictions"][0][1]),
        quiet | {"PATH": f"{found / 'bin'}:{os.environ['PATH']}", "UVICORN_ACCESS_LOG": "false"},
    )


def environment(rival: str) -> Path:
    """The rival's environment, made from its lock when it is not there."""
    target = _VENVS / _RIVALS[rival]
    subprocess.run(["make", "--silent", f"{target.relative_to(REPOSITORY)}/.stamp"], cwd=REPOSITORY, check=True)
    return target


@contextmanager
def running(server: Server, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process once it is ready; it and what it started are ended at last."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as said:
        process = subprocess.Popen(
            server.command,
            env=inherited | server.environment,
            cwd=server.folder,
            stdout=said,
            stderr=said,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    try:
        _await(server, process, log)
        yield process
    finally:
        _end(process)


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(server.health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"{server.name} did not become ready:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """The processor time that the server and what it started have used so far."""
    ticks = 0
    for found in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            told = found.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, told[11:13])) if int(told[2]) == process.pid else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def ask(server: Server, row: list[float]) -> float:
    """The probability of 1 that the server gives for one row."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {server.token}"} if server.token else {}
    request = urllib.request.Request(server.address, json.dumps(server.body(row)).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return server.score(json.loads(answer.read()))
