"""The parts of evaluate that a whole run shows only at sizes too large for a test."""

from __future__ import annotations

import numpy as np
import pytest

from components.core import curves
from components.evaluate.importance import MAX_ROWS, MAX_SCORED, sample


@pytest.mark.parametrize(("rows", "features", "size"), [(500, 3, 500), (10**6, 3, MAX_ROWS), (10**6, 64, 5000)])
def test_importance_looks_at_a_bounded_sample(rows: int, features: int, size: int) -> None:
    places = sample(rows, features, seed=1)
    assert len(places) == size
    assert size * features <= MAX_SCORED
    assert np.all(np.diff(places) > 0)
    assert places[-1] < rows
    np.testing.assert_array_equal(places, sample(rows, features, seed=1))


def test_a_sample_covers_the_whole_holdout() -> None:
    places = sample(10**6, 3, seed=1)
    counts = np.bincount(places // 100_000, minlength=10)
    assert counts.min() > 0.9 * MAX_ROWS / 10


def test_importance_of_a_thousand_features_still_looks_at_rows() -> None:
    assert len(sample(10**6, 10**6, seed=1)) == 1


def test_reliability_of_a_constant_prediction_is_one_bin() -> None:
    edges = np.unique(np.quantile(np.full(50, 3.0), np.linspace(0, 1, 11)[1:-1]))
    (only,) = curves.reliability(np.arange(50.0), np.full(50, 3.0), np.ones(50), edges)
    assert (only.rows, only.score, only.actual) == (50, 3.0, 24.5)
