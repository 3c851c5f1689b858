"""Only finite numbers, at most 200 points and whole pages reach the console."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import ClassificationMetrics, Metrics

from components import lineage, present
from components.core import artifacts
from components.core.errors import ArtifactError


def evaluation(root: Path, **data: Any) -> str:
    files = [
        artifacts.write_file(root, "evaluation.json", json.dumps(data).encode()),
        artifacts.write_file(root, "index.html", b"<!doctype html>"),
    ]
    artifacts.publish(root, "evaluation", files=files)
    return str(root)


def test_a_metric_that_is_not_finite_is_left_out_by_name() -> None:
    metrics = Metrics()
    dropped = present.log_metrics(metrics, {"roc_auc": math.nan, "f1": 0.5, "log_loss": math.inf, "rows": 3})
    assert dropped == ["roc_auc", "log_loss"]
    assert metrics.metadata == {"f1": 0.5, "rows": 3.0}


def test_a_roc_curve_keeps_200_points_and_leaves_out_the_infinite_threshold() -> None:
    curves = ClassificationMetrics()
    values = [i / 999 for i in range(1000)]
    left_out = present.log_roc(curves, values, values, [math.inf, *values[1:]])
    points = curves.metadata["confidenceMetrics"]
    assert left_out == 1
    assert len(points) == 200
    assert points[-1] == {"confidenceThreshold": 1.0, "recall": 1.0, "falsePositiveRate": 1.0}
    json.dumps(curves.metadata, allow_nan=False)


def test_an_evaluation_shows_its_curve_and_its_matrix(tmp_path: Path) -> None:
    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "thresholds": [1.0, 0.2]}
    confusion = {"labels": ["0", "1"], "matrix": [[3, 1], [0, 2]]}
    curves = ClassificationMetrics()
    present.log_curves(curves, evaluation(tmp_path, roc=roc, confusion=confusion))
    assert len(curves.metadata["confidenceMetrics"]) == 2
    assert [row["row"] for row in curves.metadata["confusionMatrix"]["rows"]] == [[3, 1], [0, 2]]


def test_an_evaluation_without_classes_shows_none(tmp_path: Path) -> None:
    curves = ClassificationMetrics()
    present.log_curves(curves, evaluation(tmp_path, roc=None, confusion=None))
    assert curves.metadata == {}


def test_the_page_is_copied_into_a_folder_that_was_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "page"
    present.copy_file(evaluation(tmp_path / "evaluation"), str(target))
    assert target.read_bytes() == b"<!doctype html>"


def test_an_altered_page_is_not_shown(tmp_path: Path) -> None:
    root = evaluation(tmp_path / "evaluation")
    Path(root, "index.html").write_bytes(b"<!doctype  html")
    with pytest.raises(ArtifactError, match="'index.html' must have the sha256 of its manifest"):
        present.copy_file(root, str(tmp_path / "page"))
    assert not (tmp_path / "page").exists()


def test_a_resource_of_vertex_is_named_as_its_console_looks_for_it() -> None:
    artifact = lineage.VertexModel(uri="gs://root/registered")
    name = "projects/p/locations/europe-west1/models/flights@3"
    present.name_vertex(artifact, name)
    assert artifact.uri == f"https://europe-west1-aiplatform.googleapis.com/v1/{name}"
    assert artifact.metadata == {"resourceName": name}


@pytest.mark.parametrize("project", ["p-1", "example.com:p-1"])
def test_a_table_is_named_as_bigquerys_console_looks_for_it(project: str) -> None:
    artifact = lineage.BQTable(uri="gs://root/table")
    present.name_table(artifact, f"{project}.esteira.predictions_flights")
    place = f"projects/{project}/datasets/esteira/tables/predictions_flights"
    assert artifact.uri == f"https://www.googleapis.com/bigquery/v2/{place}"
    assert artifact.metadata == {"projectId": project, "datasetId": "esteira", "tableId": "predictions_flights"}


@pytest.mark.parametrize("show", [present.name_vertex, present.name_table])
def test_what_is_in_no_cloud_stays_as_the_platform_made_it(show: Callable[[Any, str], None]) -> None:
    artifact = lineage.BQTable(uri="gs://root/table")
    show(artifact, "")
    assert (artifact.uri, artifact.metadata) == ("gs://root/table", {})


@pytest.mark.parametrize("kind", [lineage.VertexModel, lineage.VertexEndpoint, lineage.BQTable])
def test_the_artifact_types_are_those_of_googles_package(kind: Any) -> None:
    """Read in google_cloud_pipeline_components/types/artifact_types.py."""
    assert (kind.schema_title, kind.schema_version) == (f"google.{kind.__name__}", "0.0.1")
