"""Curves equal scikit-learn's where it has them, and are finite and bounded whatever the scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from components.core import curves


def rows(n: int, digits: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(float)
    return labels, np.round(np.clip(labels * 0.2 + rng.random(n) * 0.8, 0, 1), digits), rng.random(n)


def test_a_short_roc_curve_is_scikit_learns_without_its_infinite_threshold() -> None:
    labels, scores, weights = rows(400, digits=2)
    fpr, tpr, thresholds = sk.roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    found = curves.roc(labels, scores, weights)
    assert found is not None
    assert len(found.fpr) == len(fpr)
    np.testing.assert_allclose(found.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(found.tpr, tpr, atol=1e-12)
    np.testing.assert_allclose(found.thresholds[1:], thresholds[1:])
    assert found.thresholds[0] >= 1.0


def test_a_long_roc_curve_keeps_its_area_in_200_points() -> None:
    labels, scores, weights = rows(20_000, digits=16)
    found = curves.roc(labels, scores, weights)
    assert found is not None
    assert len(found.fpr) <= 200
    assert np.trapezoid(found.tpr, found.fpr) == pytest.approx(
        sk.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-3
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(-1e6, 1e6)), max_size=300))
def test_a_roc_curve_is_finite_rises_and_ends_in_the_corners(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs])
    found = curves.roc(labels, scores, np.ones(len(pairs)))
    if labels.sum() in (0, len(labels)):
        assert found is None
        return
    assert found is not None
    assert len(found.fpr) == len(found.tpr) == len(found.thresholds) <= 200
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(found.fpr) >= 0)
    assert np.all(np.diff(found.tpr) >= 0)
    assert np.all(np.diff(found.thresholds) < 0)
    assert np.all(np.isfinite(found.thresholds))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_not_finite_have_no_roc_curve(score: float) -> None:
    assert curves.roc(np.array([0.0, 1.0]), np.array([0.5, score]), np.ones(2)) is None


def test_reliability_equals_scikit_learns_calibration_curve() -> None:
    labels, scores, _ = rows(3000, digits=16)
    real, predicted = calibration_curve(labels, scores, n_bins=10)
    bins = curves.reliability(labels, scores, np.ones(3000))
    np.testing.assert_allclose([b.actual for b in bins], real)
    np.testing.assert_allclose([b.score for b in bins], predicted)
    assert sum(b.rows for b in bins) == 3000


def test_calibration_error_is_the_weighted_gap() -> None:
    bins = curves.reliability(np.array([0.0, 1, 1, 1]), np.array([0.25, 0.25, 0.75, 0.75]), np.array([1.0, 1, 1, 1]))
    assert curves.calibration_error(bins) == pytest.approx(0.25)
    assert math.isnan(curves.calibration_error([]))


def test_a_perfectly_calibrated_score_of_one_counts_in_the_last_bin() -> None:
    (only,) = curves.reliability(np.ones(3), np.ones(3), np.ones(3))
    assert (only.rows, only.score, only.actual) == (3, 1.0, 1.0)


def test_confusion_counts_rows_by_actual_and_decided() -> None:
    labels, decisions = ["a", "b", "b", "c"], ["a", "a", "b", "d"]
    names, matrix = curves.confusion(labels, decisions, ["b", "a"])
    assert names == ["b", "a", "c", "d"]
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(labels, decisions, labels=names))


def test_confusion_of_many_classes_is_bounded_and_loses_no_row() -> None:
    rng = np.random.default_rng(0)
    labels, decisions = ([str(x) for x in rng.zipf(1.5, 4000) % 60] for _ in range(2))
    names, matrix = curves.confusion(labels, decisions, [])
    assert len(names) == len(matrix) == 20
    assert names[-1] == "(other)"
    assert np.sum(matrix) == 4000
