"""Scores of the validation rows: the metrics, and for a binary model the threshold that is chosen on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core import metrics
from components.core.case import Model
from components.core.scorer import Raw
from components.train.data import Rows
from components.train.threshold import Chosen, choose


@dataclass(frozen=True)
class Scored:
    metrics: dict[str, float]
    chosen: Chosen | None
    scores: npt.NDArray[np.float64]
    """(n,) as `Predictions.score`."""


def score(raw: Raw, rows: Rows, model: Model, classes: tuple[Any, ...]) -> Scored:
    """The metrics of what `raw` gives for the rows; `classes` are in the order of its probabilities."""
    given = np.asarray(raw(rows.columns), dtype=np.float64)
    if model.task == "regression":
        scores = given.reshape(-1)
        found = metrics.compute(model.task, rows.labels, scores, scores, rows.weights)
        return Scored(found, None, scores)
    if model.task == "multiclass":
        decisions = np.array(classes, dtype=object)[given.argmax(axis=1)]
        found = metrics.compute(model.task, rows.labels, given, decisions, rows.weights, classes=classes)
        return Scored(found, None, given.max(axis=1))
    scores = given[:, 1]
    chosen = choose(scores, rows.labels, rows.weights, model.threshold)
    decisions = np.where(scores >= chosen.threshold, "1", "0")
    return Scored(metrics.compute(model.task, rows.labels, scores, decisions, rows.weights), chosen, scores)
