"""The contract server of Vertex Model Registry refuses what the service refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from components.adapters.gcp.vertex import Caller
from tests.contract import registries
from tests.contract.registries import IMAGE
from tests.servers.vertex.server import PARENT, vertex

MODEL = f"{PARENT}/models/esteira-flights"
GOOD: dict[str, Any] = {
    "display_name": "flights",
    "artifact_uri": "gs://esteira/models/a",
    "container_spec": {"image_uri": IMAGE},
}


class Calls:
    """The service as Google's client sees it: errors as they come."""

    def __init__(self, address: str) -> None:
        self.once = Caller("model_service", registries.profile(address).vertex).once

    def upload(self, into: dict[str, str] | None = None, **changed: Any) -> Any:
        which = {"model_id": "esteira-flights"} if into is None else into
        operation = self.once("upload_model", request={"parent": PARENT, "model": GOOD | changed, **which})
        while not operation.done(retry=None):
            pass
        return operation.result()

    def merge(self, version: str, *aliases: str) -> Any:
        return self.once("merge_version_aliases", name=f"{MODEL}@{version}", version_aliases=list(aliases))

    def update(self, name: str, paths: list[str], **fields: Any) -> Any:
        request = {"model": {"name": name, **fields}, "update_mask": {"paths": paths}}
        return self.once("update_model", request=request)


@pytest.fixture
def calls() -> Iterator[Calls]:
    with vertex() as (server, _):
        yield Calls(server.address)


@pytest.mark.parametrize(
    "changed",
    [
        {"display_name": ""},
        {"display_name": "x" * 129},
        {"artifact_uri": "/local/folder"},
        {"artifact_uri": "gs://esteira/models//a"},
        {"artifact_uri": ""},
        {"container_spec": {}},
        {"container_spec": {"image_uri": "esteira-server:dev"}},
        {"container_spec": {"image_uri": IMAGE, "env": [{"name": "AIP_STORAGE_URI", "value": "x"}]}},
        {"container_spec": {"image_uri": IMAGE, "env": [{"name": "not-one", "value": "x"}]}},
        {"container_spec": {"image_uri": IMAGE, "health_route": "health"}},
        {"container_spec": {"image_uri": IMAGE, "ports": [{"container_port": 70000}]}},
        {"labels": {"esteira-run": "Upper"}},
        {"labels": {"esteira-run": "x" * 64}},
        {"labels": {"esteira-run": "a.b"}},
        {"version_aliases": ["7"]},
        {"version_aliases": ["Best"]},
        {"version_id": "7"},
        {"encryption_spec": {"kms_key_name": "projects/p/locations/us-east1/keyRings/r/cryptoKeys/k"}},
    ],
)
def test_an_upload_against_the_rules_is_refused(calls: Calls, changed: dict[str, Any]) -> None:
    with pytest.raises(exceptions.BadRequest):
        calls.upload(**changed)


@pytest.mark.parametrize(
    ("into", "error"),
    [
        ({"model_id": "7flights"}, exceptions.BadRequest),
        ({"model_id": "x" * 64}, exceptions.BadRequest),
        ({"model_id": "esteira-flights"}, exceptions.Conflict),
        ({"parent_model": f"{PARENT}/models/other"}, exceptions.NotFound),
        ({"parent_model": "esteira-flights"}, exceptions.BadRequest),
        ({"parent_model": MODEL, "model_id": "esteira-flights"}, exceptions.BadRequest),
    ],
)
def test_a_model_is_new_or_there(calls: Calls, into: dict[str, str], error: type[Exception]) -> None:
    calls.upload()
    with pytest.raises(error):
        calls.upload(into)


def test_versions_count_on_after_one_was_deleted_and_the_default_cannot_be(calls: Calls) -> None:
    for into in (None, {"parent_model": MODEL}, {"parent_model": MODEL}):
        found = calls.upload(into)
    assert found.model_version_id == "3"
    with pytest.raises(exceptions.BadRequest):
        calls.once("delete_model_version", name=f"{MODEL}@1")
    with pytest.raises(exceptions.BadRequest):
        calls.once("delete_model_version", name=MODEL)
    operation = calls.once("delete_model_version", name=f"{MODEL}@3")
    while not operation.done(retry=None):
        pass
    assert calls.upload({"parent_model": MODEL}).model_version_id == "4"


def test_an_alias_is_one_versions_and_default_moves_but_never_goes(calls: Calls) -> None:
    for into in (None, {"parent_model": MODEL}):
        calls.upload(into)
    assert sorted(calls.merge("1", "champion").version_aliases) == ["champion", "default"]
    assert sorted(calls.merge("2", "champion", "default").version_aliases) == ["champion", "default"]
    assert calls.once("get_model", name=MODEL).version_id == "2"
    assert calls.once("get_model", name=f"{MODEL}@champion").version_id == "2"
    assert not calls.once("get_model", name=f"{MODEL}@1").version_aliases
    for refused in ("-default", "7", "Upper", ""):
        with pytest.raises(exceptions.BadRequest):
            calls.merge("2", refused)
    with pytest.raises(exceptions.BadRequest):
        calls.merge("champion", "previous")
    with pytest.raises(exceptions.NotFound):
        calls.merge("9", "previous")


def test_an_update_is_of_the_model_or_of_a_version_and_not_over_somebody_elses(calls: Calls) -> None:
    calls.upload()
    assert calls.update(f"{MODEL}@1", ["version_description"], version_description="new").version_description == "new"
    with pytest.raises(exceptions.BadRequest):
        calls.update(MODEL, ["version_description"], version_description="new")
    with pytest.raises(exceptions.BadRequest):
        calls.update(f"{MODEL}@1", ["description"], description="new")
    with pytest.raises(exceptions.BadRequest):
        calls.update(MODEL, ["artifact_uri"], artifact_uri="gs://other/one")
    with pytest.raises(exceptions.Conflict):
        calls.update(MODEL, ["description"], description="new", etag="old")


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        ("classification", {"roc_auc": 0.9}),
        ("classification", {"auRoc": 1.5}),
        ("classification", {"auRoc": "0.9"}),
        ("classification", {"confidenceMetrics": [{"truePositiveCount": 7}]}),
        ("classification", {"confusionMatrix": {"annotationSpecs": [{"displayName": "a"}], "rows": [[1, 2]]}}),
        ("regression", {"auRoc": 0.9}),
        ("regression", {}),
        ("my_own", {"auRoc": 0.9}),
    ],
)
def test_metrics_that_are_not_of_the_published_schema_are_refused(calls: Calls, kind: str, metrics: Any) -> None:
    calls.upload()
    uri = f"gs://google-cloud-aiplatform/schema/modelevaluation/{kind}_metrics_1.0.0.yaml"
    request = {"parent": f"{MODEL}@1", "model_evaluation": {"metrics_schema_uri": uri, "metrics": metrics}}
    with pytest.raises(exceptions.BadRequest):
        calls.once("import_model_evaluation", request=request)


def test_no_answer_shows_the_container(calls: Calls) -> None:
    calls.upload()
    assert not calls.once("get_model", name=f"{MODEL}@1").container_spec.image_uri
