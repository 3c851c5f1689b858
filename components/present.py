"""What a step shows in the console of KFP and Vertex: metrics, curves, its page, the cloud's resources that it made.

A number that is not finite kills KFP's orchestrator after the task has succeeded, so it is left out, by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.core import artifacts
from components.core.blocks import finite, thin

PAGE = "index.html"
SUMMARY = "summary.md"
EVALUATION = "evaluation.json"


class Metrics(Protocol):
    def log_metric(self, metric: str, value: float) -> None: ...


class Named(Protocol):
    """An artifact that stands for a resource elsewhere."""

    uri: str
    metadata: dict[str, Any]


class Curves(Protocol):
    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None: ...
    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None: ...


def log_metrics(metrics: Metrics, values: Mapping[str, float]) -> list[str]:
    """Logs the finite values; the names of the others."""
    for name, value in values.items():
        if finite(value) is not None:
            metrics.log_metric(name, float(value))
    return [name for name, value in values.items() if finite(value) is None]


def log_roc(curves: Curves, fpr: Sequence[float], tpr: Sequence[float], thresholds: Sequence[float]) -> int:
    """Logs at most 200 points, those without a finite number left out; how many were left out."""
    points = list(zip(fpr, tpr, thresholds, strict=True))
    whole = [point for point in points if all(finite(value) is not None for value in point)]
    kept = thin(whole)
    if kept:
        curves.log_roc_curve(*([float(point[i]) for point in kept] for i in range(3)))
    return len(points) - len(whole)


def log_confusion(curves: Curves, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> None:
    """Logs rows by actual and decided class: matrix[actual][decided]."""
    curves.log_confusion_matrix(list(labels), [[int(value) for value in row] for row in matrix])


def log_curves(curves: Curves, evaluation: str) -> None:
    """Logs what the evaluation artifact at this path holds of a ROC curve and a confusion matrix."""
    root = Path(evaluation)
    data: dict[str, Any] = json.loads(artifacts.read_named(root, artifacts.read_manifest(root), EVALUATION))
    if roc := data.get("roc"):
        log_roc(curves, roc["fpr"], roc["tpr"], roc["thresholds"])
    if confusion := data.get("confusion"):
        log_confusion(curves, confusion["labels"], confusion["matrix"])


def name_vertex(artifact: Named, name: str) -> None:
    """Lets lineage show the resource projects/P/locations/L/…; without a name it stays as the platform made it."""
    if name:
        artifact.uri = f"https://{name.split('/')[3]}-aiplatform.googleapis.com/v1/{name}"
        artifact.metadata["resourceName"] = name


def name_table(artifact: Named, name: str) -> None:
    """Lets lineage show the table PROJECT.DATASET.TABLE; without a name it stays as the platform made it."""
    if name:
        project, dataset, table = name.rsplit(".", 2)  # a project of a domain's own has dots
        base = "https://www.googleapis.com/bigquery/v2"
        artifact.uri = f"{base}/projects/{project}/datasets/{dataset}/tables/{table}"
        artifact.metadata |= {"projectId": project, "datasetId": dataset, "tableId": table}


def copy_file(artifact: str, target: str, *, name: str = PAGE) -> None:
    """The artifact's own page, or another file of it, as the file that the console shows."""
    root = Path(artifact)
    artifacts.atomic_write(Path(target), artifacts.read_named(root, artifacts.read_manifest(root), name))
