"""What a remote MLflow server asks for beyond the contract, and what is told of one that does not answer as it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from components.adapters.local.blobs import FileBlobs
from components.adapters.mlflow_server import MlflowServerRegistry
from components.core.errors import CaseError, EsteiraError, RunError, SetupError
from tests.adapters.gcp.proxy import Proxy
from tests.contract import registries
from tests.contract.registries import MLFLOW, CloudFiles
from tests.contract.test_registry import a_model, an_empty_mlflow
from tests.servers.http import Refused, Request, Server, serving

served = [
    pytest.mark.servers,
    pytest.mark.xdist_group("mlflow server"),
    pytest.mark.skipif(not MLFLOW, reason="ESTEIRA_MLFLOW names no MLflow server (host:port)"),
]


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    an_empty_mlflow()
    with Proxy(MLFLOW) as found:
        yield found


def register(registry: MlflowServerRegistry, root: Path, content: str = "a") -> int:
    model, identity = a_model(root, content)
    return registry.register("flights", model, identity, {"content": content}).version


class TestTheServer:
    pytestmark = served

    @pytest.mark.parametrize("lost", ["registered-models/create", "model-versions/create", "model-versions/search"])
    def test_an_answer_that_is_lost_after_the_work_was_done_makes_no_second_version(self, proxy, tmp_path, lost):
        registry = registries.on_mlflow(f"http://{proxy.at}", tmp_path)
        proxy.fail(lost, "lose")
        assert register(registry, tmp_path) == 1
        assert [v.tags for v in registry.versions("flights")] == [{"content": "a"}]

    def test_a_version_that_was_never_made_is_made_again(self, proxy, tmp_path):
        registry = registries.on_mlflow(f"http://{proxy.at}", tmp_path)
        register(registry, tmp_path, "a")
        proxy.fail("model-versions/create", "answer", status=503)
        assert register(registry, tmp_path, "b") == 2
        assert proxy.count("model-versions/create") == 4  # the very first finds no model

    def test_versions_and_aliases_of_a_person_stay_and_are_not_ours(self, proxy, tmp_path):
        registry = registries.on_mlflow(f"http://{proxy.at}", tmp_path)
        register(registry, tmp_path, "a")
        theirs = {"name": "flights", "source": "gs://theirs/model"}
        requests.post(f"http://{MLFLOW}/api/2.0/mlflow/model-versions/create", json=theirs, timeout=60)
        alias = {"name": "flights", "alias": "favourite", "version": "2"}
        requests.post(f"http://{MLFLOW}/api/2.0/mlflow/registered-models/alias", json=alias, timeout=60)
        assert register(registry, tmp_path, "b") == 3
        registry.project("flights", {"champion": 3})
        assert [v.version for v in registry.versions("flights")] == [1, 3]
        found = requests.get(
            f"http://{MLFLOW}/api/2.0/mlflow/registered-models/get", params={"name": "flights"}, timeout=60
        ).json()
        assert {a["alias"]: a["version"] for a in found["registered_model"]["aliases"]} == {
            "champion": "3",
            "favourite": "2",
        }

    @pytest.mark.parametrize("blobs", [FileBlobs, CloudFiles])
    def test_the_source_says_where_the_artifact_lies(self, proxy, tmp_path, blobs):
        registry = registries.on_mlflow(f"http://{proxy.at}", tmp_path, blobs=blobs(tmp_path / "blobs"))
        register(registry, tmp_path)
        query = {"name": "flights", "version": "1"}
        found = requests.get(f"http://{MLFLOW}/api/2.0/mlflow/model-versions/get", params=query, timeout=60).json()
        start = "esteira:/models/" if blobs is FileBlobs else f"gs://esteira{tmp_path}/blobs/models/"
        assert found["model_version"]["source"].startswith(start)


class Odd:
    """Answers as it is told."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body

    def answer(self, request: Request) -> Any:
        raise Refused(self.status, "", "")

    def refusal(self, refused: Refused) -> Any:
        return self.body


def refusal(status: int, body: Any, root: Path) -> tuple[EsteiraError, Server]:
    with serving(Odd(status, body)) as server:
        registry = MlflowServerRegistry(FileBlobs(root), server.address, patience=registries.BRIEF)
        with pytest.raises(EsteiraError) as caught:
            registry.versions("flights")
    return caught.value, server


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (
            401,
            {"error_code": "UNAUTHENTICATED", "message": "no token"},
            SetupError,
            "'MLflow' must be open to this account. Got 'no token'. "
            "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        ),
        (
            403,
            {"error_code": "PERMISSION_DENIED", "message": "read only"},
            SetupError,
            "'MLflow' must be open to this account. Got 'read only'. "
            "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        ),
        (
            404,
            "Not Found",
            SetupError,
            "'registry.at' must be an MLflow server's address. Got '404 \"Not Found\"'. Mend registry.at in the profile.",
        ),
        (
            400,
            {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid filter"},
            CaseError,
            "'registered-models/get' must be a call that MLflow takes. Got 'Invalid filter'. Mend it.",
        ),
        (
            503,
            {"message": "busy"},
            RunError,
            "'MLflow' must answer. Got 'busy'. See that the server runs, and run it again: nothing is done twice.",
        ),
        (
            400,
            {"error_code": "BAD_REQUEST", "message": "QueuePool limit of size 5 overflow 10 reached"},
            RunError,
            "'MLflow' must answer. Got 'QueuePool limit of size 5 overflow 10 reached'. "
            "See that the server runs, and run it again: nothing is done twice.",
        ),
        (
            429,
            {"message": "slow down"},
            RunError,
            "'MLflow' must answer. Got 'slow down'. See that the server runs, and run it again: nothing is done twice.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(tmp_path, status, body, kind, message):
    error, server = refusal(status, body, tmp_path)
    assert type(error) is kind
    assert str(error) == f"{server.address}: {message}"


def test_a_server_that_is_not_there_is_told_by_its_address(tmp_path):
    registry = MlflowServerRegistry(FileBlobs(tmp_path), "http://127.0.0.1:9", patience=registries.BRIEF)
    with pytest.raises(RunError, match=r"^http://127\.0\.0\.1:9: 'MLflow' must answer"):
        registry.versions("flights")


def test_who_calls_is_said_as_to_mlflows_own_client(tmp_path, monkeypatch):
    for variables, sent in (
        ({"MLFLOW_TRACKING_TOKEN": "a-token"}, "Bearer a-token"),
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "word"}, "Basic bWU6d29yZA=="),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        _, server = refusal(400, {"error_code": "INVALID_PARAMETER_VALUE"}, tmp_path)
        assert server.seen[0].headers["Authorization"] == sent
