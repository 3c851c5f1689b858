"""A feature that is the label in disguise is refused by name; an honest one passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.errors import DataError
from components.core.model import Task
from components.train import leaks
from components.train.data import Rows

RNG = np.random.default_rng(5)
N = 2000
LATE = RNG.integers(0, 2, N)
DELAY = RNG.normal(size=N) * 30
CLASSES = np.array(["early", "late", "on time"], dtype=object)[RNG.integers(0, 3, N)]
ORDER = {"early": 0.0, "on time": 1.0, "late": 2.0}
NOISE = RNG.normal(size=N)


def rows(labels: Any, **columns: Any) -> Rows:
    kept = {n: v if v.dtype == object else v.astype(np.float32) for n, v in columns.items()}
    times = np.arange(len(labels)).astype("datetime64[us]")
    return Rows(kept, labels, np.ones(len(labels)), times)


LEAKS: dict[str, tuple[Task, Any, Any, str]] = {
    "the label itself": ("binary", LATE, LATE, "area under the ROC curve 1.000000 alone"),
    "the label the other way round": ("binary", LATE, -LATE, "area under the ROC curve 0.000000 alone"),
    "a number that separates it": ("binary", LATE, LATE + NOISE / 100, "area under the ROC curve 1.000000 alone"),
    "missing where it is 0": (
        "binary",
        LATE,
        np.where(LATE == 1, NOISE, np.nan),
        "area under the ROC curve 1.000000 alone",
    ),
    "a text that says it": (
        "binary",
        LATE,
        np.array(["no", "yes"], dtype=object)[LATE],
        "2 categories of one class each",
    ),
    "a class's own name": ("multiclass", CLASSES, CLASSES, "3 categories of one class each"),
    "a class's number": ("multiclass", CLASSES, np.vectorize(ORDER.get)(CLASSES), "3 runs of one class each"),
    "the target in other units": ("regression", DELAY, DELAY * 60 + 5, "correlation 1.000000"),
    "the target turned": ("regression", DELAY, -DELAY, "correlation -1.000000"),
}


@pytest.mark.parametrize(("task", "labels", "values", "found"), LEAKS.values(), ids=LEAKS)
def test_a_leak_is_refused_by_name(task: Task, labels: Any, values: Any, found: str) -> None:
    with pytest.raises(DataError) as caught:
        leaks.check(rows(labels, honest=NOISE, culprit=values), task)
    assert str(caught.value) == (
        f"train: 'culprit' must not give the label away. Got '{found}'. "
        "Leave it out of features(), or declare its column 'known: label' if it comes with the label."
    )


HONEST: dict[str, tuple[Task, Any, Any]] = {
    "a strong feature": ("binary", LATE, LATE + NOISE / 3),
    "a constant": ("binary", LATE, np.ones(N)),
    "all missing": ("binary", LATE, np.full(N, np.nan)),
    "texts of one row each": ("binary", LATE, np.array([f"flight {i}" for i in range(N)], dtype=object)),
    "a text that helps": ("binary", LATE, np.array(["a", "b", "c"], dtype=object)[LATE + RNG.integers(0, 2, N)]),
    "one class told apart": ("multiclass", CLASSES, np.where(CLASSES == "late", 5, NOISE)),
    "all missing among classes": ("multiclass", CLASSES, np.full(N, np.nan)),
    "a constant among classes": ("multiclass", CLASSES, np.ones(N)),
    "a close estimate": ("regression", DELAY, DELAY + NOISE),
    "mostly missing": ("regression", DELAY, np.where(np.arange(N) < 2, DELAY, np.nan)),
    "a constant beside a number": ("regression", DELAY, np.ones(N)),
    "a text beside a number": ("regression", DELAY, np.array(["x"] * N, dtype=object)),
}


@pytest.mark.parametrize(("task", "labels", "values"), HONEST.values(), ids=HONEST)
def test_an_honest_feature_passes(task: Task, labels: Any, values: Any) -> None:
    leaks.check(rows(labels, feature=values), task)


def test_the_area_is_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    values = np.round(LATE + NOISE, 1).astype(np.float32)
    assert leaks._auc(values, LATE) == pytest.approx(roc_auc_score(LATE, values), abs=1e-12)
