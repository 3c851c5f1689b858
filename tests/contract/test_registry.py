"""What every implementation of Registry keeps."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from components.adapters.gcp.clients import STORAGE_EMULATOR
from components.adapters.local.registry import MlflowRegistry
from components.adapters.ports import Registry
from components.core import artifacts
from components.core.errors import ArtifactError, CaseError, SetupError
from components.core.evaluated import Evaluation
from tests import processes
from tests.contract.registries import GCS, MLFLOW, in_threads, on_mlflow, on_vertex, on_vertex_and_storage
from tests.servers.vertex.server import vertex

Make = Callable[[Path], Registry]
MAKERS = [
    "local",
    "vertex",
    pytest.param(
        "vertex and storage",
        marks=[
            pytest.mark.servers,
            pytest.mark.skipif(not GCS, reason="ESTEIRA_GCS names no Cloud Storage emulator (host:port)"),
        ],
    ),
    pytest.param(
        "mlflow server",
        marks=[
            pytest.mark.servers,
            pytest.mark.xdist_group("mlflow server"),
            pytest.mark.skipif(not MLFLOW, reason="ESTEIRA_MLFLOW names no MLflow server (host:port)"),
        ],
    ),
]


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what is fetched is kept there
    if request.param == "local":
        yield MlflowRegistry
    elif request.param == "mlflow server":
        yield partial(on_mlflow, an_empty_mlflow())
    else:
        with vertex() as (server, _):
            if request.param == "vertex":
                yield partial(on_vertex, server.address)
            else:
                monkeypatch.setenv(STORAGE_EMULATOR, f"http://{GCS}")
                yield partial(on_vertex_and_storage, server.address, uuid.uuid4().hex)


def an_empty_mlflow() -> str:
    """The server's address; it knows none of the models any more."""
    address = f"http://{MLFLOW}/api/2.0/mlflow/registered-models/delete"
    for name in ("flights", "taxi"):
        for _ in range(100):  # a busy one fails, and may still do what an earlier test asked and did not wait for
            if requests.delete(address, json={"name": name}, timeout=60).status_code == 404:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"MLflow keeps the model {name}")
    return f"http://{MLFLOW}"


@pytest.fixture
def at_once(make: Make) -> Callable[..., list[Any]]:
    """Calls at the same time: in processes of their own, or in threads where each would load Google's clients."""
    return processes.at_once if make is MlflowRegistry else in_threads


@pytest.fixture
def with_mlflow(migrated: Path, tmp_path: Path) -> Path:
    """The root of a local registry beside an empty database of MLflow's."""
    root = tmp_path / "registry"
    root.mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    return root


@pytest.fixture
def registry(make: Make, tmp_path: Path) -> Registry:
    return make(tmp_path / "registry")


def a_model(folder: Path, content: str) -> tuple[Path, str]:
    """A model artifact, and the identity of its content."""
    path = folder / f"model-{content}"
    if not (path / artifacts.MANIFEST).exists():
        files = [
            artifacts.write_file(path, name, content.encode() * 100) for name in ("model.onnx", "bundle/case.json")
        ]
        artifacts.publish(path, "model", files=files)
    return path, hashlib.sha256(content.encode()).hexdigest()


def register(make: Make, folder: Path, content: str) -> int:
    model, identity = a_model(folder, content)
    return make(folder / "registry").register("flights", model, identity, {"content": content}).version


def test_versions_are_numbered_from_1_in_the_order_of_registration(registry, make, tmp_path):
    assert registry.versions("flights") == []
    assert [register(make, tmp_path, content) for content in "abc"] == [1, 2, 3]
    found = registry.versions("flights")
    assert [(v.version, v.tags["content"]) for v in found] == [(1, "a"), (2, "b"), (3, "c")]
    assert found[1] == registry.get("flights", 2)
    assert found[0].created <= found[1].created <= found[2].created


def test_the_same_identity_is_the_same_version(registry, make, tmp_path):
    assert [register(make, tmp_path, content) for content in "abab"] == [1, 2, 1, 2]
    assert len(registry.versions("flights")) == 2


def test_each_name_counts_for_itself(registry, make, tmp_path):
    register(make, tmp_path, "a")
    model, identity = a_model(tmp_path, "b")
    assert registry.register("taxi", model, identity, {}).version == 1
    assert [v.version for v in registry.versions("flights")] == [1]


def test_fetch_gives_the_model_whole(registry, make, tmp_path):
    register(make, tmp_path, "a")
    folder = registry.fetch("flights", 1)
    manifest = artifacts.verify(folder, "model")
    assert manifest.digest == artifacts.read_manifest(tmp_path / "model-a").digest
    assert artifacts.read_named(folder, manifest, "model.onnx") == b"a" * 100


def test_a_registered_model_does_not_need_its_source_any_more(registry, make, tmp_path):
    register(make, tmp_path, "a")
    shutil.rmtree(tmp_path / "model-a")
    artifacts.verify(registry.fetch("flights", 1), "model")


@pytest.mark.parametrize("make", ["local", "vertex"], indirect=True)
@pytest.mark.parametrize("harm", ["altered", "deleted", "other model"])
def test_a_stored_model_that_was_harmed_is_refused(registry, make, tmp_path, harm):
    register(make, tmp_path, "a")
    folder = registry.fetch("flights", 1)
    if make is not MlflowRegistry:
        shutil.rmtree(folder)  # a copy, which would do
        [folder] = (tmp_path / "registry" / "blobs" / "models").glob("*/*")
    if harm == "altered":
        (folder / "model.onnx").write_bytes(b"b" * 100)
    elif harm == "deleted":
        shutil.rmtree(folder)
    else:
        artifacts.copy(a_model(tmp_path, "b")[0], folder)
    with pytest.raises(ArtifactError):
        registry.fetch("flights", 1)


def test_an_unknown_version_is_refused_by_number(registry, make, tmp_path):
    register(make, tmp_path, "a")
    for call in (registry.get, registry.fetch):
        with pytest.raises(ArtifactError) as caught:
            call("flights", 2)
        assert str(caught.value) == (
            "'version' must be a registered version of 'flights'. Got 2. See `esteira models list`."
        )


def test_half_a_model_is_refused_and_no_version_is_made(registry, tmp_path):
    model, identity = a_model(tmp_path, "a")
    (model / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"'model\.onnx' must be readable"):
        registry.register("flights", model, identity, {})
    assert registry.versions("flights") == []


@pytest.mark.parametrize("name", ["../x", "a/b", "a#b", "%2e%2e", "", "A", "a b", "a" * 41, "a\0"])
def test_a_name_that_could_leave_the_registry_is_refused(registry, tmp_path, name):
    model, identity = a_model(tmp_path, "a")
    for call in (
        lambda: registry.register(name, model, identity, {}),
        lambda: registry.versions(name),
        lambda: registry.get(name, 1),
        lambda: registry.project(name, {}),
    ):
        with pytest.raises(CaseError) as caught:
            call()
        rule = "be lower-case letters, digits and -, at most 40, starting with a letter"
        assert (caught.value.name, caught.value.rule, caught.value.value) == ("model", rule, name)


@pytest.mark.parametrize("identity", ["", "../x", "a" * 63, "A" * 64])
def test_an_identity_that_is_no_sha256_is_refused(registry, tmp_path, identity):
    with pytest.raises(ArtifactError, match="'identity' must be 64 hexadecimal digits"):
        registry.register("flights", a_model(tmp_path, "a")[0], identity, {})


@pytest.mark.slow
def test_50_registrations_of_one_content_at_once_are_one_version(make, at_once, tmp_path):
    a_model(tmp_path, "a")
    assert at_once([(register, (make, tmp_path, "a"))] * 50) == [1] * 50
    assert len(make(tmp_path / "registry").versions("flights")) == 1


@pytest.mark.slow
def test_50_registrations_of_50_contents_at_once_are_50_versions_without_gaps(make, at_once, tmp_path):
    for i in range(50):
        a_model(tmp_path, f"c{i}")
    results = at_once([(register, (make, tmp_path, f"c{i}")) for i in range(50)])
    assert sorted(results) == list(range(1, 51))
    registry = make(tmp_path / "registry")
    assert [v.version for v in registry.versions("flights")] == list(range(1, 51))
    for place, version in enumerate(results):
        assert registry.get("flights", version).tags["content"] == f"c{place}"


@pytest.mark.slow
@pytest.mark.parametrize("make", ["local"], indirect=True)
def test_a_registration_killed_at_any_point_is_whole_or_not_there_and_converges_when_repeated(make, tmp_path):
    for n in range(1, 200):
        folder = tmp_path / str(n)
        register(make, folder, "a")
        a_model(folder, "b")
        killed = processes.dies_at(n, register, make, folder, "b")
        registry = make(folder / "registry")
        for version in registry.versions("flights"):
            registry.fetch("flights", version.version)
        assert register(make, folder, "b") == 2
        assert register(make, folder, "c") == 3
        assert [v.tags["content"] for v in registry.versions("flights")] == ["a", "b", "c"]
        if not killed:
            break
    assert n > 5


def test_an_evaluation_is_taken_as_often_as_it_is_told(registry, make, tmp_path):
    register(make, tmp_path, "a")
    evaluation = Evaluation("e" * 64, "regression", {"rmse": 0.5, "median_absolute_error": 0.1})
    for _ in range(2):
        registry.evaluated("flights", 1, evaluation)
    assert registry.get("flights", 1).tags == {"content": "a"}


@pytest.mark.slow
def test_aliases_become_exactly_those_projected(request, registry, make, tmp_path):
    if make is MlflowRegistry:
        request.getfixturevalue("with_mlflow")
    for content in "ab":
        register(make, tmp_path, content)
    for aliases in ({"champion": 1}, {"champion": 2, "previous": 1}, {"champion": 1, "challenger": 2}, {}):
        registry.project("flights", aliases)
        found = {alias: v.version for v in registry.versions("flights") for alias in v.aliases}
        assert found == aliases


def test_aliases_of_unknown_versions_and_other_names_are_refused(registry, make, tmp_path):
    register(make, tmp_path, "a")
    with pytest.raises(ArtifactError, match="'version' must be a registered version of 'flights'. Got 7"):
        registry.project("flights", {"champion": 7})
    with pytest.raises(ArtifactError) as caught:
        registry.project("flights", {"best": 1})
    assert str(caught.value) == ("'alias' must be one of champion, challenger, previous. Got 'best'. Use one of these.")
    assert registry.get("flights", 1).aliases == ()


def seen_in_mlflow(root: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The content that each alias names, and each version's content by MLflow's number."""
    from mlflow import MlflowClient

    address = f"sqlite:///{root / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    tags = {str(v.version): v.tags.get("content") for v in client.search_model_versions("name = 'flights'")}
    aliases = client.get_registered_model("flights").aliases
    return {alias: tags[str(version)] for alias, version in aliases.items()}, tags


@pytest.mark.slow
def test_mlflow_shows_every_version_and_alias(tmp_path, with_mlflow):
    for content in "abc":
        register(MlflowRegistry, tmp_path, content)
    MlflowRegistry(with_mlflow).project("flights", {"champion": 3, "previous": 1})
    assert seen_in_mlflow(with_mlflow) == ({"champion": "c", "previous": "a"}, {"1": "a", "2": "b", "3": "c"})


@pytest.mark.slow
def test_what_a_person_changed_in_mlflow_is_set_right_and_their_own_versions_stay(tmp_path, with_mlflow):
    from mlflow import MlflowClient

    root, address = with_mlflow, f"sqlite:///{with_mlflow}/mlflow.db"
    register(MlflowRegistry, tmp_path, "a")
    MlflowRegistry(root).project("flights", {"champion": 1})
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    theirs = client.create_model_version("flights", "file:///tmp/other", tags={"content": "their own"})
    client.set_registered_model_alias("flights", "champion", theirs.version)
    client.set_registered_model_alias("flights", "favourite", theirs.version)
    register(MlflowRegistry, tmp_path, "b")
    MlflowRegistry(root).project("flights", {"champion": 2, "previous": 1})
    aliases, tags = seen_in_mlflow(root)
    assert aliases == {"champion": "b", "previous": "a", "favourite": "their own"}
    assert tags == {"1": "a", "2": "their own", "3": "b"}


@pytest.mark.slow
def test_a_projection_that_stands_already_does_not_import_mlflow(tmp_path, with_mlflow, monkeypatch):
    register(MlflowRegistry, tmp_path, "a")
    registry = MlflowRegistry(with_mlflow)
    registry.project("flights", {"champion": 1})
    monkeypatch.setattr(registry, "_project", lambda *_: pytest.fail("projected again"))
    registry.project("flights", {"champion": 1})


@pytest.mark.slow
def test_a_projection_killed_before_any_commit_of_mlflow_is_completed_by_the_next(tmp_path, migrated):
    template = tmp_path / "template"
    (template / "registry").mkdir(parents=True)
    shutil.copy(migrated, template / "registry" / "mlflow.db")
    register(MlflowRegistry, template, "z")
    MlflowRegistry(template / "registry").project("flights", {"challenger": 1})
    register(MlflowRegistry, template, "b")
    script = [sys.executable, "-m", "tests.contract.killed_projections", template / "registry", tmp_path / "killed"]
    kills = int(subprocess.run(script, check=True, capture_output=True).stdout)
    assert kills >= 4
    for n in range(1, kills + 2):
        root = tmp_path / "killed" / str(n)
        MlflowRegistry(root).project("flights", {"champion": 2, "previous": 1})
        assert seen_in_mlflow(root) == ({"champion": "b", "previous": "z"}, {"1": "z", "2": "b"})


@pytest.mark.slow
def test_a_database_of_mlflow_that_is_none_is_an_error_that_says_so(tmp_path):
    register(MlflowRegistry, tmp_path, "a")
    (tmp_path / "registry" / "mlflow.db").write_bytes(b"not a database" * 100)
    registry = MlflowRegistry(tmp_path / "registry")
    with pytest.raises(SetupError, match="'registry' must be writable by MLflow"):
        registry.project("flights", {"champion": 1})
    assert registry.get("flights", 1).aliases == ("champion",)
