"""The scored rows, read once: counted over the baseline's bins, and a bounded part of the labelled ones kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from components.core import drift, intervals, shards, summaries
from components.core.arrow import columns_of
from components.core.artifacts import Manifest
from components.core.columns import Columns, ColumnType
from components.core.intervals import Estimate
from components.core.metrics import Task, measure
from components.core.operations import Gate
from components.core.scorer import Predictions, Scorer
from components.core.summaries import Summary

BATCH = 65_536
LABELLED = 200_000
"""At most so many labelled rows are judged, spread evenly over all."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """n rows whose label is known. `scores` is (n,), or (n, k) of the classes for multiclass."""

    labels: npt.NDArray[Any]
    scores: Floats
    decisions: npt.NDArray[np.object_]
    weights: Floats

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Window:
    """`counts` by column, over the baseline's bins."""

    counts: dict[str, Summary]
    labelled: Labelled


def read(root: Path, manifest: Manifest, scorer: Scorer, base: Mapping[str, Summary]) -> Window:
    """Counts features and scores of every row (at least one); memory holds a shard, and scores of labelled rows.

    Raises
    ------
    DataError
        The model gives other features than its baseline has.
    """
    types = {name: cast(ColumnType, kind) for name, kind in scorer.model.inputs}
    own: dict[str, ColumnType] = {"_label": _label_type(scorer.model.task), "_weight": "number"}
    every = -(-manifest.rows // LABELLED) or 1
    counts: dict[str, Summary] = {}
    kept: list[Labelled] = []
    start = 0
    for table in shards.read_tables(root, manifest, columns=[*types, *(n for n in own if n not in types)]):
        for batch in table.to_batches(max_chunksize=BATCH):
            features = scorer.features(columns_of(batch, types))
            found = scorer.predict_features(features)
            counted = drift.count(base, features, found.score)
            counts = summaries.merge(counts, counted) if counts else counted
            chosen = slice(-start % every, None, every)
            kept.append(_labelled(columns_of(batch, own), found, chosen, scorer.model.task))
            start += batch.num_rows
    return Window(counts, _joined(kept))


def performance(rows: Labelled, scorer: Scorer, metric: str, gate: Gate, seed: int) -> Estimate:
    """The metric on the labelled rows with its bootstrap interval."""
    prepared = measure(
        scorer.model.task,
        rows.labels,
        rows.scores,
        rows.decisions,
        rows.weights,
        classes=scorer.model.classes,
        only=[metric],
    )
    drawn = intervals.resample([prepared], len(rows), resamples=gate.resamples, seed=seed)
    return drawn[0][metric].estimate(gate.confidence)


def _label_type(task: Task) -> ColumnType:
    return "string" if task == "multiclass" else "number"


def _labelled(own: Columns, found: Predictions, chosen: slice, task: Task) -> Labelled:
    labels = own["_label"][chosen]
    known = labels != "" if task == "multiclass" else ~np.isnan(labels)
    scores = found.score if found.probabilities is None or task == "binary" else found.probabilities
    return Labelled(labels[known], scores[chosen][known], found.decision[chosen][known], own["_weight"][chosen][known])


def _joined(parts: list[Labelled]) -> Labelled:
    names = ("labels", "scores", "decisions", "weights")
    return Labelled(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
