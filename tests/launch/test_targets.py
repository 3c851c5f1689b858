"""What tasks elsewhere could not find is refused by its key before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from components.core.case_file import CaseFile, load
from components.core.errors import SetupError
from components.core.profile import Profile
from pipelines.launch.targets import require_shared
from tests.conftest import FLIGHTS

CLOUD: dict[str, Any] = {
    "vertex": {"project": "my-project", "region": "europe-west1", "pipeline_root": "gs://my-bucket/runs"},
    "blobs": {"adapter": "google", "at": "gs://my-bucket/blobs"},
    "tables": {"adapter": "google", "at": "my-project.esteira"},
    "registry": {"adapter": "google"},
    "sources": "gs://my-bucket/raw",
    "root": "/here/.esteira",
}


def flights(**source: Any) -> CaseFile:
    """The case, its events elsewhere."""
    file = load(FLIGHTS)
    return file.model_copy(update={"source": file.source.model_copy(update=source)}) if source else file


@pytest.mark.parametrize("target", ["vertex", "kubeflow", "Cloud Run"])
def test_what_lies_in_the_cloud_is_reached(target: str) -> None:
    require_shared(Profile.model_validate(CLOUD), flights(), target)
    require_shared(Profile.model_validate(CLOUD | {"sources": "memory://x"}), flights(), target)
    require_shared(Profile.model_validate(CLOUD), flights(path="", query="SELECT 1"), target)
    require_shared(Profile.model_validate(CLOUD), flights(path="bigquery://a.b.c"), target)


@pytest.mark.parametrize("port", ["blobs", "tables", "registry"])
@pytest.mark.parametrize("target", ["vertex", "kubeflow", "Cloud Run"])
def test_a_store_of_this_machine_is_refused(port: str, target: str) -> None:
    changed = {port: {"adapter": "local"}} | ({"registry": {"adapter": "local"}} if port == "blobs" else {})
    with pytest.raises(SetupError) as caught:
        require_shared(Profile.model_validate(CLOUD | changed), flights(), target)
    assert str(caught.value) == (
        f"'profile.{port}' must be reachable from {target}. Got '/here/.esteira/{port}'. "
        "Name a store that the tasks reach too, or --allow-local-blobs if this folder is mounted there."
    )


@pytest.mark.parametrize(
    ("sources", "source", "key", "place"),
    [
        ("/here", {}, "profile.sources", "/here/data/nycflights13/flights.csv"),
        ("/here", {"path": "gs://my-bucket/flights.csv"}, "profile.sources", "/here/data/nycflights13/weather.csv"),
        ("gs://my-bucket", {"path": "/here/flights.csv"}, "source.path", "/here/flights.csv"),
        ("gs://my-bucket", {"path": "file:///here/a.csv"}, "source.path", "file:///here/a.csv"),
        ("file:///here", {}, "profile.sources", "file:///here/data/nycflights13/flights.csv"),
    ],
)
def test_sources_of_this_machine_are_refused(sources: str, source: dict[str, str], key: str, place: str) -> None:
    with pytest.raises(SetupError) as caught:
        require_shared(Profile.model_validate(CLOUD | {"sources": sources}), flights(**source), "vertex")
    assert str(caught.value) == (
        f"'{key}' must be reachable from vertex. Got '{place}'. "
        "Name a URL such as gs://bucket/folder, or --allow-local-blobs if this folder is mounted there."
    )


def test_a_bucket_is_mounted_on_vertex_alone() -> None:
    made = Profile.model_validate(CLOUD | {"sources": "/gcs/my-bucket/raw"})
    require_shared(made, flights(), "vertex")
    for target in ("kubeflow", "Cloud Run"):
        with pytest.raises(SetupError, match="'profile.sources' must be reachable from"):
            require_shared(made, flights(), target)
