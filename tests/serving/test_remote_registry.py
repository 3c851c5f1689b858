"""Versions that an MLflow server numbers are served by a server that never asks it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from components.adapters import release
from components.adapters.recorded_models import RecordedModels
from components.core.model import Model
from components.core.profile import Profile
from components.step import Launch
from pipelines.launch import serve as launcher
from tests import toy as toys
from tests.contract.registries import MLFLOW
from tests.serving.conftest import TOKEN, Serve
from tests.serving.test_load import LIST
from tests.serving.test_versions import OTHER, ROW
from tests.toy import Toy

pytestmark = [
    pytest.mark.servers,
    pytest.mark.xdist_group("mlflow server"),
    pytest.mark.skipif(not MLFLOW, reason="ESTEIRA_MLFLOW names no MLflow server (host:port)"),
]


@pytest.fixture
def name() -> Iterator[str]:
    """A case of this test's alone, on a server that others use too."""
    found = f"serve-{uuid.uuid4().hex[:12]}"
    yield found
    models = f"http://{MLFLOW}/api/2.0/mlflow/registered-models"
    requests.delete(f"{models}/delete", json={"name": found}, timeout=60)


@pytest.fixture
def toy(tmp_path: Path, make_launch: Callable[..., Launch], name: str, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # what is fetched is kept there

    remote = {"adapter": "mlflow", "at": f"http://{MLFLOW}"}
    return toys.toy(tmp_path, partial(make_launch, registry=remote), name=name)


def promote(toy: Toy, name: str, model_root: Path) -> int:
    described = Model.from_json((model_root / "model.json").read_bytes())
    ports = toy.ports
    version = ports.registry.register(name, model_root, described.identity, {"bundle": described.bundle}).version
    release.promote(ports, name, version, by="a test", why="it is better")
    return version


def launched(toy: Toy, **more: Any) -> launcher.Launch:
    wishes = launcher.Wishes(port=0, **more)
    return launcher.prepare(str(toy.root / "case"), Profile.from_json(toy.launch.profile), wishes)


@pytest.mark.slow
def test_what_is_promoted_and_rolled_back_is_served_without_a_client_of_the_registry(
    toy: Toy, name: str, serve: Serve, tmp_path: Path
) -> None:
    assert promote(toy, name, toy.model("first")) == 1
    launch = launched(toy)
    assert launcher.champion(launch, toy.ports) == 1
    told = {key: value for key, value in launch.variables.items() if key.startswith("ESTEIRA_")}
    server = serve(toy, "-c", LIST, **(told | {"ESTEIRA_TOKEN": TOKEN, "TMPDIR": str(tmp_path)}))
    assert server.serves(1)
    assert promote(toy, name, toy.model("second", OTHER)) == 2
    server.until(lambda: server.serves(2))
    release.rollback(toy.ports, name, by="a test", why="it is worse")
    server.until(lambda: server.serves(1))
    assert server.predict(ROW).json()["predictions"][0]["decision"] == "1"
    assert toy.ports.registry.get(name, 1).aliases == ("champion",)
    assert server.metrics()["esteira_swap_failures_total"] == 0
    assert server.stop() == 0
    server.until_said("modules ")
    (said,) = [one["message"] for one in server.said if one["message"].startswith("modules ")]
    assert not {part.split(".")[0] for part in said.split()[1:]} & {"requests", "urllib3", "mlflow", "pydantic", "yaml"}


def test_a_record_that_is_missing_is_written_at_the_start(toy: Toy, name: str) -> None:
    version = promote(toy, name, toy.model("first"))
    records, registered = RecordedModels(toy.ports.blobs), toy.ports.registry.get(name, version)
    assert records.get(name, version) == replace(registered, aliases=())
    toy.ports.blobs.delete(f"versions/{name}/{version}.json")
    assert launcher.champion(launched(toy), toy.ports) == version
    assert records.get(name, version) == replace(registered, aliases=())


def test_a_record_of_another_registry_under_the_same_root_is_written_anew_at_the_start(toy: Toy, name: str) -> None:
    version = promote(toy, name, toy.model("first"))
    records, registered = RecordedModels(toy.ports.blobs), toy.ports.registry.get(name, version)
    records.record(replace(registered, identity="0" * 64, registry="http://another:5000"))
    assert launcher.champion(launched(toy), toy.ports) == version
    assert records.get(name, version) == replace(registered, aliases=())
