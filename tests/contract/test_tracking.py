"""One contract for every way to track: a folder, SQLite, a server that speaks MLflow's API, and Vertex Experiments."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest

from components.adapters.gcp.tracking import VertexTracking
from components.adapters.local import tracking
from components.adapters.local.blobs import FileBlobs
from components.adapters.local.tracking import MlflowTracking, NoTracking
from components.adapters.ports import Tracking
from components.core.errors import SetupError
from components.core.targets import Vertex
from tests.servers.vertex import server as vertex

pytestmark = pytest.mark.slow


class Store(Protocol):
    """Somewhere to track to, and how its own client reads it."""

    begins: str
    """How the address of a run begins."""

    def open(self) -> Tracking: ...

    def found(self) -> list[dict[str, Any]]:
        """The runs called job-1 of the experiment `flights`: name, status, params, metrics, tags."""
        ...


class Server(ThreadingHTTPServer):
    """The part of MLflow's REST API that a run needs, over dictionaries."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self._answer(query)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def _answer(self, body: dict[str, Any]) -> None:
        call = urlsplit(self.path).path.rpartition("mlflow/")[2].replace("/", "_").replace("-", "_")
        status, answer = getattr(self, f"_{call}")(body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _experiments_search(self, body: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"experiments": []}

    def _experiments_get_by_name(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["experiment_name"]
        if name not in self.server.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no experiment"}
        return 200, {"experiment": {"experiment_id": self.server.experiments[name], "name": name}}

    def _experiments_create(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.server.experiments[body["name"]] = "7"
        return 200, {"experiment_id": "7"}

    def _runs_search(self, body: dict[str, Any]) -> tuple[int, Any]:
        wanted = body["filter"].split('"')[1]
        return 200, {"runs": [_run(k, r) for k, r in self.server.runs.items() if r["name"] == wanted]}

    def _runs_create(self, body: dict[str, Any]) -> tuple[int, Any]:
        key = uuid.uuid4().hex
        self.server.runs[key] = {"name": body["run_name"], "params": {}, "metrics": {}, "tags": {}, "status": "RUNNING"}
        return 200, {"run": _run(key, self.server.runs[key])}

    def _runs_log_batch(self, body: dict[str, Any]) -> tuple[int, Any]:
        for kind in ("params", "metrics", "tags"):
            self.server.runs[body["run_id"]][kind] |= {item["key"]: item["value"] for item in body.get(kind, [])}
        return 200, {}

    def _runs_get(self, body: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"run": _run(body["run_id"], self.server.runs[body["run_id"]])}

    def _runs_update(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.server.runs[body["run_id"]]["status"] = body["status"]
        return 200, {"run_info": _run(body["run_id"], self.server.runs[body["run_id"]])["info"]}

    def _runs_delete(self, body: dict[str, Any]) -> tuple[int, Any]:
        del self.server.runs[body["run_id"]]
        return 200, {}

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _run(key: str, run: dict[str, Any]) -> dict[str, Any]:
    info = {"run_id": key, "run_uuid": key, "run_name": run["name"], "experiment_id": "7", "status": run["status"]}
    data = {kind: [{"key": k, "value": v} for k, v in run[kind].items()] for kind in ("params", "metrics", "tags")}
    return {"info": info, "data": data}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


class Mlflow:
    def __init__(self, uri: str, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begins, self._artifacts, self._monkeypatch = uri, artifacts, monkeypatch

    def open(self) -> Tracking:
        return MlflowTracking(self.begins, self._artifacts)

    def found(self) -> list[dict[str, Any]]:
        return found(self.begins, self._monkeypatch)


class Experiments:
    begins = "https://console.cloud.google.com/vertex-ai/experiments/locations/europe-west1/experiments/esteira-flights"

    def __init__(self, endpoint: str, service: vertex.Vertex, folder: Path) -> None:
        self._service, self._blobs = service, FileBlobs(folder)
        root = "gs://esteira-runs/root"
        self._at = Vertex(project=vertex.PROJECT, region=vertex.REGION, pipeline_root=root, endpoint=endpoint)

    def open(self) -> Tracking:
        return VertexTracking(self._at, blobs=self._blobs)

    def found(self) -> list[dict[str, Any]]:
        experiment = self._service.contexts["esteira-flights"].name
        runs = [c for c in self._service.contexts.values() if experiment in c.parent_contexts]
        return [self._run(run) for run in runs if run.display_name == "job-1"]

    def _run(self, run: Any) -> dict[str, Any]:
        data = {name: dict(value) if hasattr(value, "items") else value for name, value in run.metadata.items()}
        tags = {k.removeprefix("tags."): data["_params"].pop(k) for k in list(data["_params"]) if k.startswith("tags.")}
        status = {"COMPLETE": "FINISHED"}[data["_state"]]
        named = {"name": run.display_name, "status": status, "tags": tags}
        return {**named, "params": data["_params"], "metrics": data["_metrics"]}


@pytest.fixture(params=["folder", "sqlite", "server", "vertex"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "vertex":
        with vertex.vertex() as (server, service):
            yield Experiments(server.address, service, tmp_path / "blobs")
        return
    places = {"folder": str(tmp_path / "runs"), "sqlite": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    uri = places.get(request.param) or request.getfixturevalue("server").uri
    yield Mlflow(uri, tmp_path / "artifacts", monkeypatch)


def found(uri: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The runs of the experiment `flights` as MLflow's own client reads them."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("flights")
        assert experiment is not None
        wanted = 'attributes.run_name = "job-1"'
        runs = client.search_runs([experiment.experiment_id], filter_string=wanted)
    return [
        {
            "name": run.info.run_name,
            "status": run.info.status,
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
            "tags": {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")},
        }
        for run in runs
    ]


def test_a_run_is_logged_and_logging_it_again_leaves_one(store: Store) -> None:
    made = store.open()
    made.prepare()
    tags = {"identity": "i" * 64}
    first = made.log("flights", "job-1", parameters={"max_iter": "10"}, metrics={"roc_auc": 0.9}, tags=tags)
    assert first.startswith(store.begins)
    again = made.log("flights", "job-1", parameters={"max_iter": "10"}, metrics={"roc_auc": 0.8}, tags=tags)
    assert again == first
    expected = {"name": "job-1", "status": "FINISHED", "params": {"max_iter": "10"}, "metrics": {"roc_auc": 0.8}}
    assert store.found() == [{**expected, "tags": tags}]
    made.log("flights", "job-1", parameters={"max_iter": "20"}, metrics={"roc_auc": 0.7}, tags=tags)
    assert [run["params"] for run in store.found()] == [{"max_iter": "20"}]


def test_files_curves_and_long_values_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    (tmp_path / "model.json").write_text("{}")
    made = MlflowTracking(uri, tmp_path / "artifacts")
    made.log(
        "flights",
        "job-1",
        parameters={"long": "x" * 9000},
        metrics={},
        tags={},
        files=[tmp_path / "model.json"],
        curves={"search_roc_auc": [0.5, math.nan, 0.7]},
    )
    assert found(uri, monkeypatch)[0]["params"] == {"long": "x" * 6000}
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        steps = store.execute("select step, value from metrics where key = 'search_roc_auc'").fetchall()
    assert sorted(steps) == [(0, 0.5), (2, 0.7)]
    assert len(list((tmp_path / "artifacts" / "flights").rglob("model.json"))) == 1


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    made = MlflowTracking("http://me:secret@127.0.0.1:9/mlflow", tmp_path)
    with pytest.raises(SetupError) as caught:
        made.log("flights", "job-1", parameters={}, metrics={}, tags={})
    assert str(caught.value).startswith("'tracking' must take a run at http://127.0.0.1:9/mlflow. Got ")
    assert str(caught.value).endswith(
        "Check tracking.at in the profile and that its server runs, or set tracking.adapter: none."
    )
    assert "secret" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "DEADLINE", 0.5)
    made = MlflowTracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    monkeypatch.setattr(tracking, "_RECORDER", _sleeper(tmp_path))
    with pytest.raises(SetupError, match=r"Got 'no answer in 0\.5 s'"):
        made.log("flights", "job-1", parameters={}, metrics={}, tags={})


def _sleeper(folder: Path) -> Path:
    path = folder / "sleeper.py"
    path.write_text("import time\ntime.sleep(600)\n")
    return path


def test_a_recorder_that_breaks_says_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import sys\nsys.stdin.readline()\nsys.stdin.readline()\nraise RuntimeError('no MLflow here')\n")
    monkeypatch.setattr(tracking, "_RECORDER", path)
    with pytest.raises(SetupError, match=r"Got 'RuntimeError: no MLflow here'"):
        MlflowTracking("sqlite:///x.db", tmp_path).log("flights", "j", parameters={}, metrics={}, tags={})


def test_a_recorder_ends_with_whoever_started_it(tmp_path: Path) -> None:
    made = MlflowTracking(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    made.prepare()
    recorder = made._recorder
    assert recorder is not None
    assert recorder.poll() is None
    del made
    for _ in range(100):
        if recorder.poll() is not None:
            break
        time.sleep(0.05)
    assert recorder.returncode is not None


def test_no_tracking_takes_everything_and_gives_no_address() -> None:
    made = NoTracking()
    made.prepare()
    assert made.log("flights", "job-1", parameters={}, metrics={}, tags={}) == ""
