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
    "events": {"adapter": "pubsub", "at": "my-project"},
    "tracking": {"adapter": "google"},
    "sources": "gs://my-bucket/raw",
    "root": "/here/.esteira",
}


ALL = ("batch", "predict", "fast")


def flights(**source: Any) -> CaseFile:
    """The case, its events elsewhere."""
    file = load(FLIGHTS)
    return file.model_copy(update={"source": file.source.model_copy(update=source)}) if source else file


@pytest.mark.parametrize("target", ["vertex", "kubeflow", "Cloud Run"])
def test_what_lies_in_the_cloud_is_reached(target: str) -> None:
    require_shared(Profile.model_validate(CLOUD), flights(), target, ALL)
    require_shared(Profile.model_validate(CLOUD | {"sources": "memory://x"}), flights(), target, ALL)
    require_shared(Profile.model_validate(CLOUD), flights(path="", query="SELECT 1"), target, ALL)
    require_shared(Profile.model_validate(CLOUD), flights(path="bigquery://a.b.c"), target, ALL)


@pytest.mark.parametrize("port", ["blobs", "tables", "registry"])
@pytest.mark.parametrize("target", ["vertex", "kubeflow", "Cloud Run"])
def test_a_store_of_this_machine_is_refused(port: str, target: str) -> None:
    changed = {port: {"adapter": "local"}} | ({"registry": {"adapter": "local"}} if port == "blobs" else {})
    with pytest.raises(SetupError) as caught:
        require_shared(Profile.model_validate(CLOUD | changed), flights(), target, ALL)
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
        require_shared(Profile.model_validate(CLOUD | {"sources": sources}), flights(**source), "vertex", ALL)
    assert str(caught.value) == (
        f"'{key}' must be reachable from vertex. Got '{place}'. "
        "Name a URL such as gs://bucket/folder, or --allow-local-blobs if this folder is mounted there."
    )


def test_a_bucket_is_mounted_on_vertex_alone() -> None:
    made = Profile.model_validate(CLOUD | {"sources": "/gcs/my-bucket/raw"})
    require_shared(made, flights(), "vertex", ALL)
    for target in ("kubeflow", "Cloud Run"):
        with pytest.raises(SetupError, match="'profile.sources' must be reachable from"):
            require_shared(made, flights(), target, ALL)


@pytest.mark.parametrize("target", ["vertex", "kubeflow"])
def test_a_topic_of_this_machine_is_refused_where_fast_reads_it(target: str) -> None:
    made = Profile.model_validate(CLOUD | {"events": {}})
    require_shared(made, flights(), target, ["batch", "predict"])
    with pytest.raises(SetupError) as caught:
        require_shared(made, flights(), target, ["fast"])
    assert str(caught.value) == (
        f"'profile.events' must be reachable from {target}. Got '/here/.esteira/events'. "
        "Name Pub/Sub (adapter: pubsub), or --allow-local-blobs if this folder is mounted there."
    )


@pytest.mark.parametrize(
    ("at", "told"), [("", "/here/.esteira/mlflow.db"), ("sqlite:////here/m.db", "sqlite:////here/m.db")]
)
@pytest.mark.parametrize("pipeline", ["batch", "fast"])
def test_a_trackers_folder_of_this_machine_is_refused_where_a_pipeline_trains(
    at: str, told: str, pipeline: str
) -> None:
    made = Profile.model_validate(CLOUD | {"tracking": {"at": at}})
    require_shared(made, flights(), "vertex", ["predict"])
    with pytest.raises(SetupError) as caught:
        require_shared(made, flights(), "vertex", [pipeline])
    assert str(caught.value) == (
        f"'profile.tracking' must be reachable from vertex. Got '{told}'. Name MLflow's server, Vertex Experiments "
        "(adapter: google) or none, or --allow-local-blobs if this folder is mounted there."
    )
    for there in ({"at": "https://mlflow.example"}, {"adapter": "none"}):
        require_shared(Profile.model_validate(CLOUD | {"tracking": there}), flights(), "vertex", [pipeline])
