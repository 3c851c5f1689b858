"""Versions as records beside the pointer, which a server reads instead of a registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.adapters.local.blobs import FileBlobs
from components.adapters.local.endpoints import PointerEndpoints
from components.adapters.ports import ModelVersion, Pointer
from components.adapters.recorded_models import RecordedModels
from components.adapters.stored_models import StoredModels
from components.core import artifacts
from components.core.errors import ArtifactError, CaseError
from tests.contract.test_registry import a_model


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def models(blobs: FileBlobs, tmp_path: Path) -> RecordedModels:
    return RecordedModels(blobs, tmp_path / "cache")


@pytest.fixture
def version(blobs: FileBlobs, tmp_path: Path) -> ModelVersion:
    model, identity = a_model(tmp_path, "a")
    digest = StoredModels(blobs).store(model, identity)
    return ModelVersion("flights", 3, identity, {"bundle": "b" * 64}, created=1.5, digest=digest)


def test_a_version_is_read_as_it_was_made_ready_and_its_model_verified(models, blobs, version, tmp_path):
    assert not models.has("flights", 3)
    PointerEndpoints(blobs).prepare(version)
    assert models.has("flights", 3)
    assert models.get("flights", 3) == version
    folder = models.fetch("flights", 3)
    assert artifacts.verify(folder, "model") == artifacts.read_manifest(tmp_path / "model-a")


def test_what_another_registry_numbered_so_is_not_taken_for_it(models, version):
    first, second = (replace(version, registry=f"http://{name}:5000") for name in ("first", "second"))
    models.record(first)
    assert [models.has("flights", 3, one.registry) for one in (first, second)] == [True, False]
    models.record(second)
    assert models.get("flights", 3) == second
    assert [models.has("flights", 3, one.registry) for one in (first, second)] == [False, True]


def test_a_record_that_cannot_be_read_is_none(models, blobs):
    blobs.write("versions/flights/3.json", b"[]")
    assert not models.has("flights", 3)


def test_a_version_whose_model_the_registry_keeps_leaves_no_record(models, blobs):
    PointerEndpoints(blobs).prepare(ModelVersion("flights", 1, "1" * 64))
    assert not models.has("flights", 1)


def test_records_are_no_states_of_the_pointer(blobs, version):
    endpoints = PointerEndpoints(blobs)
    endpoints.prepare(version)
    state = endpoints.change(Pointer("flights", champion=3))
    assert endpoints.history("flights") == [state]


def test_a_version_without_a_record_is_refused_with_the_remedy(models):
    with pytest.raises(ArtifactError) as caught:
        models.fetch("flights", 3)
    assert str(caught.value) == (
        "versions/flights/3.json: 'version' must be recorded beside the pointer. Got 3. "
        "Start `esteira serve` again: it asks the registry for what is live."
    )


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"name": "flights", "version": 3, "identity": "a", "by": "x"}'])
def test_a_record_that_is_none_is_refused(models, blobs, data):
    blobs.write("versions/flights/3.json", data)
    with pytest.raises(ArtifactError) as caught:
        models.get("flights", 3)
    assert str(caught.value).startswith("versions/flights/3.json: 'version' must be a version's record. Got ")
    assert str(caught.value).endswith("Delete it and start `esteira serve` again: it is written anew.")


def test_a_stored_model_that_was_altered_is_refused(models, blobs, version):
    models.record(version)
    blobs.write(f"models/{version.identity}/{version.digest}/model.onnx", b"b" * 100)
    with pytest.raises(ArtifactError, match=r"'model\.onnx' must have the sha256 of its manifest"):
        models.fetch("flights", 3)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A"])
def test_a_name_that_could_leave_the_store_is_refused(models, name):
    with pytest.raises(CaseError):
        models.get(name, 1)
