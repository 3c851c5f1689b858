"""The holdout, read once and scored by each model through its own bundle; memory holds scores, not rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core import arrow, shards
from components.core.arrow import columns_of, to_numpy
from components.core.artifacts import Manifest
from components.core.columns import Columns, ColumnType
from components.core.errors import DataError
from components.core.metrics import Measure, Task, measure
from components.core.ranking import Floats
from components.core.scorer import Scorer

BATCH = 65_536
Mask = npt.NDArray[np.bool_]
_OWN: dict[str, ColumnType] = {"_event_time": "timestamp", "_label": "number", "_weight": "number"}


@dataclass(frozen=True)
class Texts:
    """A column of few values: `codes` (n,) are places in `values`."""

    codes: npt.NDArray[np.int32]
    values: list[str]


@dataclass(frozen=True)
class Rows:
    """What metrics need of the n rows beside scores. `sample` holds the features of `sampled` rows (their places)."""

    labels: npt.NDArray[Any]
    weights: Floats
    times: npt.NDArray[np.datetime64]
    texts: Mapping[str, Texts]
    sample: Columns
    sampled: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scores:
    """One model's answers: `scores` (n,), or probabilities (n, k) of `classes` for multiclass; `decisions` (n,)."""

    task: Task
    scores: Floats
    decisions: npt.NDArray[np.object_]
    classes: tuple[str, ...] = ()

    def measure(self, rows: Rows, where: Mask | None = None, only: Collection[str] | None = None) -> Measure:
        """The metrics of the rows `where` says, or of all."""
        chosen = slice(None) if where is None else where
        return measure(
            self.task,
            rows.labels[chosen],
            self.scores[chosen],
            self.decisions[chosen],
            rows.weights[chosen],
            classes=self.classes,
            only=only,
        )


def check(manifest: Manifest, scorer: Scorer, who: str) -> None:
    """Refuses a holdout that lacks what a model takes.

    Raises
    ------
    DataError
        It has no rows, or an input column is absent or of another type.
    """
    if not manifest.rows:
        raise DataError("holdout", "have rows", 0, "Give a longer history, or other periods in 'split'.")
    lacking = arrow.lacking(scorer.model.inputs, dict(manifest.schema))
    if lacking:
        remedy = "Keep these columns in the case until a model without them is champion."
        raise DataError("holdout", f"have the input columns of the {who}", f"without {', '.join(lacking)}", remedy)


def score(
    root: Path, manifest: Manifest, scorers: Sequence[Scorer], texts: Collection[str], sample: npt.NDArray[np.int64]
) -> tuple[Rows, list[Scores]]:
    """Scores every row by each scorer; the first one's features are kept of the rows at `sample` (sorted places)."""
    task = scorers[0].model.task
    own = _OWN | ({"_label": "string"} if task == "multiclass" else {})
    inputs = [{n: cast(ColumnType, k) for n, k in s.model.inputs} for s in scorers]
    wanted = list(dict.fromkeys([*own, *texts, *(name for types in inputs for name in types)]))
    basic: list[Columns] = []
    kept: list[Columns] = []
    made: list[list[Scores]] = [[] for _ in scorers]
    held: dict[str, list[pa.Array]] = {name: [] for name in texts}
    start = 0
    for table in shards.read_tables(root, manifest, columns=wanted):
        for batch in table.to_batches(max_chunksize=BATCH):
            basic.append(columns_of(batch, own))
            for name in texts:
                held[name].append(batch.column(name).cast(pa.string()))
            for i, (scorer, types) in enumerate(zip(scorers, inputs, strict=True)):
                features = scorer.features(columns_of(batch, types))
                made[i].append(scored(scorer, features))
                if i == 0:
                    here = sample[(sample >= start) & (sample < start + batch.num_rows)] - start
                    kept.append({name: values[here] for name, values in features.items()})
            start += batch.num_rows
    rows = Rows(
        _labels(np.concatenate([part["_label"] for part in basic]), task),
        _weights(np.concatenate([part["_weight"] for part in basic])),
        np.concatenate([part["_event_time"] for part in basic]),
        {name: _texts(parts) for name, parts in held.items()},
        {name: np.concatenate([part[name] for part in kept]) for name in kept[0]},
        sample,
    )
    return rows, [_joined(parts) for parts in made]


def scored(scorer: Scorer, features: Columns) -> Scores:
    """The model's answers to the transform's columns."""
    found = scorer.predict_features(features)
    task, classes = scorer.model.task, scorer.model.classes
    if task == "multiclass":
        assert found.probabilities is not None
        return Scores(task, found.probabilities, found.decision, classes)
    return Scores(task, found.score, found.decision)


def _joined(parts: Sequence[Scores]) -> Scores:
    scores, decisions = np.concatenate([p.scores for p in parts]), np.concatenate([p.decisions for p in parts])
    return Scores(parts[0].task, scores, decisions, parts[0].classes)


def _labels(labels: npt.NDArray[Any], task: Task) -> npt.NDArray[Any]:
    missing = int(np.sum(labels == "") if task == "multiclass" else np.sum(np.isnan(labels)))
    if missing:
        rule = "be known for every row of the holdout"
        raise DataError("_label", rule, f"{missing} of {len(labels)} missing", "Run preprocess again.")
    return labels


def _weights(weights: Floats) -> Floats:
    if not weights.sum() > 0:
        raise DataError("_weight", "add up to more than 0", float(weights.sum()), "Mend the case's weights column.")
    return weights


def _texts(parts: Sequence[pa.Array]) -> Texts:
    encoded = pa.chunked_array(parts, type=pa.string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    codes = to_numpy(encoded.indices.fill_null(len(values)), "number").astype(np.int32)
    return Texts(codes, [*values, ""] if encoded.null_count else values)
