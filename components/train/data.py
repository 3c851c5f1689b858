"""The rows to learn from: read from the features artifact, and refused where nothing can be learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.core import artifacts, shards
from components.core.arrow import to_numpy
from components.core.columns import Columns
from components.core.errors import DataError
from components.core.model import Task

MINIMUM_ROWS = 50
MINIMUM_PER_CLASS = 2
_KINDS = {"float": "float32", "string": "string"}
WHERE = "train"


@dataclass(frozen=True)
class Rows:
    """Rows in order of time. `labels` (n,) is int64 of 0 and 1 (binary), object of str (multiclass) or float64."""

    columns: Columns
    labels: npt.NDArray[Any]
    weights: npt.NDArray[np.float64]
    times: npt.NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: slice | npt.NDArray[np.int64]) -> Rows:
        columns = {name: values[places] for name, values in self.columns.items()}
        return Rows(columns, self.labels[places], self.weights[places], self.times[places])


@dataclass(frozen=True)
class Data:
    """What to learn from and what to choose by; `features` are (name, "float32" or "string") in order."""

    train: Rows
    validation: Rows
    features: tuple[tuple[str, str], ...]
    digest: str
    """Of the features artifact."""

    def classes(self) -> tuple[Any, ...]:
        """The classes of the training rows, sorted as scikit-learn sorts them; empty for numbers."""
        return () if self.train.labels.dtype == np.float64 else tuple(np.unique(self.train.labels).tolist())


def load(root: Path, task: Task) -> Data:
    """The rows in the features artifact at `root`.

    Raises
    ------
    DataError
        There are too few rows, a label or weight is not as it must be, or nothing can be learned: one class, a
        constant target.
    """
    manifest = artifacts.read_manifest(root, "features")
    features = tuple((name, _KINDS[kind]) for name, kind in manifest.schema if not name.startswith("_"))
    uses: dict[str, str] = manifest.info["uses"]
    parts = {}
    for use in ("train", "validation"):
        keys = [key for key, value in uses.items() if value == use]
        parts[use] = _rows(shards.read_all(root, manifest, partitions=keys), task, use)
    data = Data(parts["train"], parts["validation"], features, manifest.digest)
    _check_target(data, task)
    return data


def _rows(table: pa.Table, task: Task, use: str) -> Rows:
    least = MINIMUM_ROWS if use == "train" else 1
    if table.num_rows < least:
        remedy = "Give a longer history, or more or other periods in 'split'."
        raise DataError("features", f"have at least {least} rows for {use}", table.num_rows, remedy, where=WHERE)
    names = [name for name in table.column_names if not name.startswith("_")]
    columns = {}
    for name in names:
        column = table.column(name)
        columns[name] = to_numpy(column, "string") if pa.types.is_string(column.type) else _numbers(column)
    weights = to_numpy(table.column("_weight"), "number")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        remedy = "Mend the column that model.weights names."
        raise DataError("_weight", "be finite and not negative", float(weights[wrong][0]), remedy, where=WHERE)
    times = to_numpy(table.column("_event_time"), "timestamp")
    return Rows(columns, _labels(table.column("_label"), task, use), weights, times)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    return np.asarray(column.to_numpy(), dtype=np.float32)


def _labels(column: pa.ChunkedArray, task: Task, use: str) -> npt.NDArray[Any]:
    if task == "multiclass":
        labels = to_numpy(column, "string")
        missing = int((labels == "").sum())
    else:
        labels = to_numpy(column, "number")
        missing = int((~np.isfinite(labels)).sum())
    if missing:
        remedy = "Preprocess keeps labelled rows only: run it again."
        raise DataError("_label", f"be there in every row for {use}", f"{missing} missing", remedy, where=WHERE)
    if task == "binary":
        if not np.isin(labels, (0, 1)).all():
            odd = float(labels[~np.isin(labels, (0, 1))][0])
            remedy = "Set label.above or label.positive in the case, or another model.task."
            raise DataError("_label", "be 0 or 1", odd, remedy, where=WHERE)
        return labels.astype(np.int64)
    return labels


def _check_target(data: Data, task: Task) -> None:
    labels = data.train.labels
    values, counts = np.unique(labels, return_counts=True)
    if len(values) < 2:
        rule = (
            "vary over the training rows" if task == "regression" else "have two classes or more in the training rows"
        )
        remedy = "Look at the case's label, or give a longer history."
        raise DataError("label", rule, f"{values[0]} in all {len(labels)}", remedy, where=WHERE)
    if task == "regression":
        return
    if counts.min() < MINIMUM_PER_CLASS:
        rare = f"{values[counts.argmin()]}: {counts.min()}"
        remedy = "Give a longer history, or merge rare classes."
        rule = f"have at least {MINIMUM_PER_CLASS} training rows of each class"
        raise DataError("label", rule, rare, remedy, where=WHERE)
    if task == "binary" and len(np.unique(data.validation.labels)) < 2:
        only = f"{data.validation.labels[0]} in all {len(data.validation)}"
        remedy = "Give more periods to split.validation: the threshold is chosen there."
        raise DataError("label", "have both classes in the validation rows", only, remedy, where=WHERE)
