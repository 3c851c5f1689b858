"""What a model reached on the holdout, as a registry shows it beside the version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core import artifacts
from components.core.errors import ArtifactError
from components.core.verdict import FILE

if TYPE_CHECKING:
    from components.core.metrics import Task


@dataclass(frozen=True)
class Slice:
    """The rows with one value in a column: how many, and their metrics by name."""

    column: str
    value: str
    rows: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """Shares of the negatives (`fpr`) and of the positives (`tpr`) whose score reaches each threshold."""

    fpr: Sequence[float]
    tpr: Sequence[float]
    thresholds: Sequence[float]


@dataclass(frozen=True)
class Confusion:
    """Rows by label (first) and decision."""

    labels: Sequence[str]
    matrix: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: whoever shows it again knows it by `id`. Every number is finite."""

    id: str
    task: Task
    metrics: Mapping[str, float]
    """By the names of `core.metrics`."""
    slices: Sequence[Slice] = ()
    roc: Curve | None = None
    confusion: Confusion | None = None


def read(root: Path, task: Task) -> Evaluation:
    """The evaluation artifact at `root`, of a model of that task. Raises ArtifactError where it is none."""
    manifest = artifacts.read_manifest(root, "evaluation")
    try:
        raw: dict[str, Any] = json.loads(artifacts.read_named(root, manifest, FILE))
        return Evaluation(
            manifest.digest,
            task,
            {str(name): float(value) for name, value in raw["metrics"].items()},
            tuple(_slice(one) for one in raw.get("slices", ())),
            Curve(**raw["roc"]) if raw.get("roc") else None,
            Confusion(**raw["confusion"]) if raw.get("confusion") else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(FILE, "be an evaluation", str(error), "Evaluate again.", where=str(root)) from error


def _slice(raw: Mapping[str, Any]) -> Slice:
    """A metric is stored as [value, low, high]; one without a value is not known."""
    known = {str(name): float(found[0]) for name, found in raw["metrics"].items() if found[0] is not None}
    return Slice(str(raw["column"]), str(raw["value"]), int(raw["rows"]), known)
