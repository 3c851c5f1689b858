"""Labels that land while the canary lasts, joined to both versions' predictions by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.changes import Changes
from components.adapters.ports import Tables
from components.canary.requests import texts
from components.core import inference
from components.core.canary_rules import Labelled
from components.core.metrics import Measure, measure
from components.core.model import Model

_OWN = ("_id", "_label", "_label_time")
_TIME = "_label_time"


class Labels:
    """The labels that have been read so far."""

    def __init__(self, tables: Tables, case: str, metrics: Collection[str]) -> None:
        self._changes = Changes(tables, inference.labels_table(case), 0.0)
        self._metrics = metrics
        self._windows: dict[str, pa.Table] = {}
        self._history = True

    def poll(self, predicted: Sequence[pa.Table], *, whole: bool = True) -> bool:
        """Takes in what has landed; whether there was something.

        `predicted` holds the ids known so far; `whole` says whether no prediction of before is still to come.
        """
        found = {window: self._changes.read(window, _OWN) for window in self._changes.windows()}
        self._windows |= found
        if self._history and whole:  # it is long, and only what was predicted since matters of it
            self._history = False
            ids = [rows.column("_id").combine_chunks() for rows in predicted]
            seen = pa.concat_arrays(ids) if ids else pa.array([], pa.string())
            for window, rows in self._windows.items():
                self._windows[window] = rows.filter(pc.is_in(rows.column("_id"), value_set=seen))
        return bool(found)

    def labelled(self, predicted: Sequence[pa.Table], model: Model) -> Labelled | None:
        """One version's predictions (`PREDICTED`) whose labels have landed, in that order."""
        landed = [rows.filter(rows.column("_label").is_valid()) for rows in self._windows.values()]
        if not predicted or not landed:
            return None
        rows = _joined(pa.concat_tables(predicted), pa.concat_tables(landed))
        labels, scores = texts(rows, "_label"), np.array(rows.column("_score"), dtype=np.float64)
        decided, task = texts(rows, "_decision"), model.task
        if task == "multiclass":  # the log holds the winner's probability alone, and no metric of these reads it
            scores = np.zeros((len(labels), len(model.classes)))

        def first(count: int) -> Measure:
            of = slice(count)
            return measure(task, labels[of], scores[of], decided[of], classes=model.classes, only=self._metrics)

        at = np.asarray(rows.column(_TIME).cast(pa.int64()).fill_null(0), dtype=np.float64) / 1e6
        return Labelled(at, first)


def _joined(predicted: pa.Table, labels: pa.Table) -> pa.Table:
    """Each prediction with its label, by the label's landing; of an id that was predicted twice the first."""
    places = pc.index_in(predicted.column("_id"), value_set=labels.column("_id").combine_chunks())
    rows, taken = predicted.filter(places.is_valid()), labels.take(places.drop_null())
    for name in ("_label", _TIME):
        rows = rows.append_column(name, taken.column(name))
    rows = rows.sort_by("_at")
    _, once = np.unique(rows.column("_id").combine_chunks().dictionary_encode().indices, return_index=True)
    return rows.take(pa.array(np.sort(once))).sort_by([(_TIME, "ascending"), ("_at", "ascending")])
