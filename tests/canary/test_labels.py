"""Labels join the predictions that they belong to: once each, as they land, and none of the history before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.adapters.local.tables import ParquetTables
from components.canary.labels import Labels
from components.core.arrow import ARROW

CLASSES: Any = SimpleNamespace(task="multiclass", classes=("a", "b", "c"))
BINARY: Any = SimpleNamespace(task="binary", classes=("0", "1"))


def times(*seconds: float) -> pa.Array:
    return pa.array([round(s * 1e6) for s in seconds], pa.int64()).cast(ARROW["timestamp"])


def predicted(*rows: tuple[str, float, float, str]) -> pa.Table:
    """(id, at, score, decision)"""
    ids, at, scores, decisions = zip(*rows, strict=True)
    return pa.table(
        {"_id": pa.array(ids), "_at": times(*at), "_score": pa.array(scores), "_decision": pa.array(decisions)}
    )


@pytest.fixture
def tables(tmp_path: Path) -> ParquetTables:
    return ParquetTables(tmp_path)


def land(tables: ParquetTables, window: str, *rows: tuple[str, Any, float]) -> None:
    """(id, label, landing)"""
    ids, labels, at = zip(*rows, strict=True)
    tables.replace(
        "labels_toy", window, pa.table({"_id": pa.array(ids), "_label": pa.array(labels), "_label_time": times(*at)})
    )


def test_predictions_stand_in_the_order_in_which_their_labels_landed(tables: ParquetTables) -> None:
    rows = predicted(("p", 1, 0.9, "1"), ("q", 2, 0.8, "1"), ("r", 3, 0.1, "0"), ("s", 4, 0.2, "0"))
    land(tables, "w1", ("q", 0.0, 30.0), ("r", 0.0, 10.0), ("p", 1.0, 20.0), ("s", None, 5.0), ("t", 1.0, 1.0))
    labels = Labels(tables, "toy", ["accuracy"])
    assert labels.poll([rows])
    found = labels.labelled([rows], BINARY)
    assert found is not None
    assert found.at.tolist() == [10.0, 20.0, 30.0]
    accuracy = [found.measure(n)(np.ones((1, n)))["accuracy"][0] for n in (1, 2, 3)]
    assert accuracy == pytest.approx([1.0, 1.0, 2 / 3])


def test_of_an_id_that_was_predicted_twice_the_first_counts(tables: ParquetTables) -> None:
    pieces = [predicted(("p", 9, 0.9, "1")), predicted(("p", 3, 0.1, "0"), ("q", 4, 0.9, "1"))]
    land(tables, "w1", ("p", 0.0, 10.0), ("q", 1.0, 11.0))
    labels = Labels(tables, "toy", ["accuracy"])
    labels.poll(pieces)
    found = labels.labelled(pieces, BINARY)
    assert found is not None
    assert found.measure(2)(np.ones((1, 2)))["accuracy"].tolist() == [1.0]


def test_of_a_history_only_what_was_predicted_is_held_and_later_labels_may_come_first(tables: ParquetTables) -> None:
    land(tables, "w1", *((f"old-{i}", 1.0, float(i)) for i in range(100)))
    labels = Labels(tables, "toy", ["accuracy"])
    assert labels.poll([])
    assert labels.labelled([predicted(("old-7", 1, 0.9, "1"))], BINARY).at.tolist() == []  # type: ignore[union-attr]
    assert not labels.poll([])
    land(tables, "w2", ("new", 1.0, 200.0))
    assert labels.poll([])
    found = labels.labelled([predicted(("new", 1, 0.9, "1"))], BINARY)
    assert found is not None
    assert found.at.tolist() == [200.0]


def test_labels_wait_for_the_predictions_of_a_backlog(tables: ParquetTables) -> None:
    land(tables, "w1", ("late", 1.0, 10.0), ("never", 1.0, 11.0))
    rows = [predicted(("late", 1, 0.9, "1"))]
    labels = Labels(tables, "toy", ["accuracy"])
    assert labels.poll([], whole=False)
    labels.poll(rows)
    assert labels.labelled(rows, BINARY).at.tolist() == [10.0]  # type: ignore[union-attr]
    more = [*rows, predicted(("never", 2, 0.9, "1"))]
    assert labels.labelled(more, BINARY).at.tolist() == [10.0]  # type: ignore[union-attr]


def test_a_window_that_grows_is_read_anew(tables: ParquetTables) -> None:
    rows = predicted(("p", 1, 0.9, "1"), ("q", 2, 0.8, "1"))
    land(tables, "w1", ("p", 1.0, 10.0))
    labels = Labels(tables, "toy", ["accuracy"])
    labels.poll([rows])
    land(tables, "w1", ("p", 1.0, 10.0), ("q", 1.0, 11.0))
    assert labels.poll([rows])
    found = labels.labelled([rows], BINARY)
    assert found is not None
    assert found.at.tolist() == [10.0, 11.0]


def test_classes_are_judged_by_their_decisions(tables: ParquetTables) -> None:
    rows = predicted(("p", 1, 0.9, "a"), ("q", 2, 0.8, "b"), ("r", 3, 0.5, "c"), ("s", 4, 0.5, "c"))
    land(tables, "w1", ("p", "a", 10.0), ("q", "c", 11.0), ("r", "c", 12.0), ("s", "", 13.0))
    labels = Labels(tables, "toy", ["accuracy", "macro_f1"])
    labels.poll([rows])
    found = labels.labelled([rows], CLASSES)
    assert found is not None
    values = found.measure(3)(np.ones((1, 3)))
    assert values["accuracy"][0] == pytest.approx(2 / 3)
    assert values["macro_f1"][0] == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_without_labels_or_predictions_there_is_nothing(tables: ParquetTables) -> None:
    labels = Labels(tables, "toy", ["accuracy"])
    assert not labels.poll([])
    assert labels.labelled([predicted(("p", 1, 0.9, "1"))], BINARY) is None
    land(tables, "w1", ("p", 1.0, 10.0))
    labels.poll([])
    assert labels.labelled([], BINARY) is None
