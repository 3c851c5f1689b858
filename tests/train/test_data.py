"""Rows from which nothing can be learned are refused, each with its own reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.core.errors import DataError
from components.core.model import Task
from components.train import data
from tests.train.conftest import Publish

DAYS = np.arange("2013-01-01", "2013-04-11", dtype="datetime64[D]").astype("datetime64[us]")
N = len(DAYS)
X = {"x": np.linspace(0, 1, N, dtype=np.float32), "kind": np.array(["a", "", "b", "c"] * (N // 4), dtype=object)}
FAIR = np.arange(N) % 2 * 1.0
NAMES = np.array(["one", "two"], dtype=object)[np.arange(N) % 2]


def test_rows_come_by_use_in_order_of_time(publish: Publish) -> None:
    found = data.load(publish(X, FAIR, DAYS), "binary")
    assert (len(found.train), len(found.validation)) == (90, 10)
    assert found.features == (("x", "float32"), ("kind", "string"))
    assert found.train.columns["x"].dtype == np.float32
    assert found.train.columns["kind"][:3].tolist() == ["a", "", "b"]
    assert found.train.labels.dtype == np.int64
    assert (np.diff(found.train.times) > np.timedelta64(0)).all()
    assert found.classes() == (0, 1)


def test_classes_are_sorted_texts_and_numbers_have_none(publish: Publish) -> None:
    assert data.load(publish(X, NAMES, DAYS), "multiclass").classes() == ("one", "two")
    assert data.load(publish(X, X["x"].astype(float), DAYS, "numbers"), "regression").classes() == ()


def odd(value: float) -> Any:
    labels = FAIR.copy()
    labels[7] = value
    return labels


def rare() -> Any:
    labels = NAMES.copy()
    labels[7] = "three"
    return labels


def one_sided() -> Any:
    return np.where(np.datetime64("2013-04-01") <= DAYS, 1.0, FAIR)


CASES: dict[str, tuple[Task, Any, str]] = {
    "one class": (
        "binary",
        np.zeros(N),
        "'label' must have two classes or more in the training rows. Got '0 in all 90'.",
    ),
    "constant target": (
        "regression",
        np.full(N, 2.5),
        "'label' must vary over the training rows. Got '2.5 in all 90'.",
    ),
    "no 0 or 1": ("binary", odd(0.5), "'_label' must be 0 or 1. Got 0.5."),
    "missing label": (
        "binary",
        odd(np.nan),
        "'_label' must be there in every row for train. Got '1 missing'.",
    ),
    "infinite label": (
        "regression",
        odd(np.inf),
        "'_label' must be there in every row for train. Got '1 missing'.",
    ),
    "rare class": (
        "multiclass",
        rare(),
        "'label' must have at least 2 training rows of each class. Got 'three: 1'.",
    ),
    "one class to choose by": (
        "binary",
        one_sided(),
        "'label' must have both classes in the validation rows. Got '1 in all 10'.",
    ),
}


@pytest.mark.parametrize(("task", "labels", "message"), CASES.values(), ids=CASES)
def test_labels_that_teach_nothing_are_refused(task: Task, labels: Any, message: str, publish: Publish) -> None:
    with pytest.raises(DataError) as caught:
        data.load(publish(X, labels, DAYS), task)
    assert str(caught.value).startswith(f"train: {message}")


def test_too_few_rows_are_refused(publish: Publish) -> None:
    few = slice(60, N)
    with pytest.raises(DataError) as caught:
        data.load(publish({n: v[few] for n, v in X.items()}, FAIR[few], DAYS[few]), "binary")
    assert str(caught.value) == (
        "train: 'features' must have at least 50 rows for train. Got 30. "
        "Give a longer history, or more or other periods in 'split'."
    )


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(weight: float, publish: Publish) -> None:
    weights = np.ones(N)
    weights[3] = weight
    with pytest.raises(DataError, match=r"^train: '_weight' must be finite and not negative\. Got (-1\.0|nan|inf)\."):
        data.load(publish(X, FAIR, DAYS, weights=weights), "binary")
