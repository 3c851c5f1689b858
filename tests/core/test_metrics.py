"""The metrics equal scikit-learn's, are weighted as repeated rows are, and are NaN where nothing defines them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from components.core import metrics
from components.core.errors import DataError

CLASSES = ("a", "b", "c")


def close(found: dict[str, float], expected: dict[str, float]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name


def binary(labels: np.ndarray, scores: np.ndarray, chosen: np.ndarray, weights: np.ndarray | None) -> dict[str, float]:
    """What scikit-learn says."""
    w = {"sample_weight": weights}
    return {
        "roc_auc": sk.roc_auc_score(labels, scores, **w),
        "average_precision": sk.average_precision_score(labels, scores, **w),
        "log_loss": sk.log_loss(labels, scores, **w),
        "brier": sk.brier_score_loss(labels, scores, **w),
        "accuracy": sk.accuracy_score(labels, chosen, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, chosen, **w),
        "precision": sk.precision_score(labels, chosen, **w),
        "recall": sk.recall_score(labels, chosen, **w),
        "f1": sk.f1_score(labels, chosen, **w),
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 2, 16], ids=["many ties", "some ties", "no ties"])
def test_binary_metrics_equal_scikit_learn(digits: int, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random(3000) < 0.3).astype(float)
    scores = np.round(np.clip(rng.random(3000) * 0.7 + labels * 0.3, 0, 1), digits)
    weights = rng.random(3000) if weighted else None
    chosen = scores > 0.5
    found = metrics.compute("binary", labels, scores, np.where(chosen, "1", "0"), weights)
    close(found, binary(labels, scores, chosen.astype(float), weights))


def test_constant_scores_rank_nothing() -> None:
    labels = np.array([0.0, 1, 1, 0, 1])
    found = metrics.compute("binary", labels, np.full(5, 0.4), np.full(5, "0"))
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == pytest.approx(0.6)
    assert found["accuracy"] == pytest.approx(0.4)
    assert math.isnan(found["precision"])
    assert found["f1"] == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_multiclass_metrics_equal_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(4)
    labels = rng.choice(CLASSES, 2000, p=[0.6, 0.3, 0.1])
    probabilities = rng.dirichlet(np.ones(3), 2000)
    decisions = np.array(CLASSES)[probabilities.argmax(axis=1)]
    weights = rng.random(2000) if weighted else None
    w = {"sample_weight": weights}
    expected = {
        "log_loss": sk.log_loss(labels, probabilities, labels=CLASSES, **w),
        "accuracy": sk.accuracy_score(labels, decisions, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, decisions, **w),
        "macro_f1": sk.f1_score(labels, decisions, average="macro", **w),
    }
    close(metrics.compute("multiclass", labels, probabilities, decisions, weights, classes=CLASSES), expected)


def test_a_label_that_the_model_does_not_know_counts_against_it() -> None:
    found = metrics.compute("multiclass", ["a", "z"], [[1.0, 0.0, 0.0]] * 2, ["a", "a"], classes=CLASSES)
    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    assert found["balanced_accuracy"] == 0.5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_regression_metrics_equal_scikit_learn(shift: float, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    labels = rng.normal(size=1501) + shift
    scores = labels + rng.normal(size=1501) / 2
    weights = rng.random(1501) if weighted else None
    w = {"sample_weight": weights}
    expected = {
        "rmse": sk.root_mean_squared_error(labels, scores, **w),
        "mae": sk.mean_absolute_error(labels, scores, **w),
        "r2": sk.r2_score(labels, scores, **w),
        "median_absolute_error": sk.median_absolute_error(labels, scores, **w),
    }
    close(metrics.compute("regression", labels, scores, [], weights), expected)


def test_the_median_of_an_even_number_of_rows_lies_between_the_middle_two() -> None:
    found = metrics.compute("regression", [0.0, 0, 0, 0], [1.0, 2, 4, 9], [], [0.1, 0.1, 0.1, 0.1])
    assert found["median_absolute_error"] == 3.0


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["binary", "multiclass", "regression"]))
def test_a_draw_is_a_repeated_row(seed: int, task: metrics.Task) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    draws = rng.integers(0, 4, n)
    weights = rng.integers(1, 4, n).astype(float)
    labels, scores, decisions = rows_of(task, n, rng)
    drawn = metrics.measure(task, labels, scores, decisions, weights, classes=CLASSES)(draws[None, :].astype(float))
    again = np.repeat(np.arange(n), draws)
    expected = metrics.compute(task, labels[again], scores[again], decisions[again], weights[again], classes=CLASSES)
    for name, value in expected.items():
        assert drawn[name][0] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name


def rows_of(task: metrics.Task, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if task == "multiclass":
        probabilities = rng.dirichlet(np.ones(3), n)
        return rng.choice(CLASSES, n), probabilities, np.array(CLASSES)[probabilities.argmax(axis=1)]
    scores = rng.integers(0, 8, n) / 8
    if task == "binary":
        return rng.integers(0, 2, n).astype(float), scores, np.where(scores > 0.4, "1", "0")
    return rng.integers(0, 8, n) / 2, scores, np.full(n, "")


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_defines_no_ranking(label: float) -> None:
    found = metrics.compute("binary", np.full(4, label), [0.1, 0.2, 0.7, 0.9], ["0", "0", "1", "1"])
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined >= {"roc_auc", "average_precision", "balanced_accuracy"}
    assert not undefined & {"log_loss", "brier", "accuracy"}


def test_one_class_of_several_defines_no_balance() -> None:
    found = metrics.compute("multiclass", ["a", "a"], [[0.8, 0.1, 0.1]] * 2, ["a", "a"], classes=CLASSES)
    assert math.isnan(found["balanced_accuracy"])
    assert found["accuracy"] == 1.0


@pytest.mark.parametrize("value", [0.1, 5.0, -1e9])
def test_a_constant_target_has_no_r2(value: float) -> None:
    found = metrics.compute("regression", np.full(7, value), np.arange(7.0), [])
    assert math.isnan(found["r2"])
    assert found["mae"] > 0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("fault", ["no rows", "no weight", "a NaN score", "an infinite score"])
def test_what_rows_do_not_define_is_nan_without_a_warning(task: metrics.Task, fault: str) -> None:
    n = 0 if fault == "no rows" else 6
    labels, scores, decisions = rows_of(task, n, np.random.default_rng(1))
    if n:
        scores[2] = {"a NaN score": math.nan, "an infinite score": math.inf}.get(fault, scores[2])
    weights = np.zeros(n) if fault == "no weight" else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.compute(task, labels, scores, decisions, weights, classes=CLASSES)
    assert list(found) == list(metrics.names(task))
    assert all(math.isnan(value) for value in found.values())


def test_only_the_wanted_metrics_are_computed() -> None:
    prepared = metrics.measure("binary", [0, 1], [0.2, 0.7], ["0", "1"], only=["f1"])
    assert list(prepared(np.ones((3, 2)))) == ["f1"]


def test_every_metric_that_falls_as_a_model_improves_is_named() -> None:
    every = {name for task in ("binary", "multiclass", "regression") for name in metrics.names(task)}
    assert every > metrics.LESS_IS_BETTER
    assert every - metrics.LESS_IS_BETTER == {
        *("roc_auc", "average_precision", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "macro_f1"),
        "r2",
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.compute("binary", [0, 1], [0.5], ["0", "1"]),
            "'scores' must be as many as labels, decisions and weights. Got '2, 1, 2 and 2'. "
            "Score the rows that the labels belong to.",
        ),
        (
            lambda: metrics.compute("binary", [0, 2], [0.5, 0.5], ["0", "1"]),
            "'labels' must be 0 or 1 for a binary task. Got 2.0. Score labelled rows only.",
        ),
        (
            lambda: metrics.compute("regression", [0, math.nan], [0.5, 0.5], []),
            "'labels' must be finite for a regression task. Got nan. Score labelled rows only.",
        ),
        (
            lambda: metrics.compute("regression", [0, 1], [0.5, 0.5], [], [1, -1]),
            "'weights' must be finite and not negative. Got -1.0. Mend the case's weights column.",
        ),
        (
            lambda: metrics.compute("multiclass", ["a", "b"], [0.5, 0.5], ["a", "b"], classes=CLASSES),
            "'scores' must have 3 columns, one per class. Got (2,). Pass classes.",
        ),
    ],
)
def test_rows_that_cannot_be_measured_are_refused(call: object, message: str) -> None:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]  # a lambda of the table above
    assert str(caught.value) == message
