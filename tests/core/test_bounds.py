"""Confidence limits: the published values, the promised coverage, and nothing certain of what is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import bounds

ZEROS_AND_ONES = st.lists(st.sampled_from([0.0, 1.0]), max_size=40).map(np.array)
LATENCIES = st.lists(st.floats(0, 1e6), min_size=1, max_size=120).map(np.array)


def ones(hits: int, count: int) -> np.ndarray:
    return np.repeat([1.0, 0.0], [hits, count - hits])


def chances(count: int, share: float) -> list[float]:
    return [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)]


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_limits_are_those_of_newcombes_table(hits: int, count: int, low: float, high: float) -> None:
    """Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3."""
    assert bounds.wilson(hits / count, count, 0.975) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("hits", "low", "high"),
    [(((56, 70), (48, 80)), 0.0524, 0.3339), (((9, 10), (3, 10)), 0.1705, 0.8090), (((6, 7), (2, 7)), 0.0582, 0.8062)],
)
def test_limits_of_a_difference_are_those_of_newcombes_table(
    hits: tuple[tuple[int, int], tuple[int, int]], low: float, high: float
) -> None:
    """Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10."""
    found = bounds.difference(ones(*hits[0]), ones(*hits[1]), 0.975)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("limit", [0.02, 0.05])
def test_a_share_that_is_worse_by_the_limit_seldom_passes(share: float, limit: float) -> None:
    """Exact: every outcome of 100 and 200 requests with its chance."""
    new, old = chances(100, share + limit), chances(200, share)
    pairs = [(i, j) for i in range(101) for j in range(201) if new[i] * old[j] > 1e-9]
    passes = sum(new[i] * old[j] for i, j in pairs if bounds.difference(ones(i, 100), ones(j, 200), 0.95).high <= limit)
    assert passes <= 0.052


def test_order_statistics_bound_a_quantile_as_often_as_promised() -> None:
    """The limits are ranks, whose coverage is a sum of binomials, the same for every distribution."""
    ranks = np.arange(1.0, 501.0)
    value, low, high = bounds._quantile(ranks, 0.95, 0.95)
    assert value == 475
    below = np.cumsum(chances(500, 0.95))
    assert below[int(high) - 1] >= 0.95 > below[int(high) - 2]
    assert 1 - below[int(low) - 1] >= 0.95 > 1 - below[int(low)]


def test_59_samples_are_the_fewest_that_bound_a_95th_percentile() -> None:
    assert bounds.fewest(0.95, 0.95) == 59
    many, few = (bounds.ratio(np.ones(n), np.ones(500), 0.95, 0.95).high for n in (59, 58))
    assert (many, few) == (1.0, math.inf)


@pytest.mark.slow
def test_a_latency_that_is_worse_by_the_limit_seldom_passes() -> None:
    random = np.random.default_rng(11)
    passed = sum(
        bounds.ratio(1.5 * random.lognormal(0, 0.5, 200), random.lognormal(0, 0.5, 800), 0.95, 0.95).high <= 1.5
        for _ in range(600)
    )
    assert passed <= 0.05 * 600


@given(ZEROS_AND_ONES, ZEROS_AND_ONES, st.floats(0.6, 0.9999))
def test_a_difference_lies_within_its_limits(new: np.ndarray, old: np.ndarray, confidence: float) -> None:
    found = bounds.difference(new, old, confidence)
    if len(new) and len(old):
        assert -1 <= found.low <= found.effect <= found.high <= 1
    else:
        assert math.isnan(found.low)
        assert math.isnan(found.high)


@given(LATENCIES, LATENCIES, st.floats(0.6, 0.9999))
def test_a_ratio_lies_within_its_limits(new: np.ndarray, old: np.ndarray, confidence: float) -> None:
    found = bounds.ratio(new, old, 0.95, confidence)
    assert 0 <= found.low <= found.effect * (1 + 1e-9)
    assert found.effect <= found.high * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_has_no_limits(wrong: float) -> None:
    good, bad = np.ones(100), np.r_[np.ones(99), wrong]
    for found in (bounds.ratio(bad, good, 0.95, 0.95), bounds.ratio(good, bad, 0.95, 0.95)):
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert np.isnan(bounds.mean(bad, 0.95).low)
    assert np.isnan(bounds.difference(bad, good, 0.95).high)


def test_the_limits_of_a_metric_are_its_percentiles_or_in_a_thin_tail_those_of_its_spread() -> None:
    random = np.random.default_rng(3)
    new, old = random.normal(0.8, 0.02, 1000), random.normal(0.8, 0.02, 1000)
    found = bounds.resampled(new, old, (0.8, 0.8), 0.95)
    assert (found.low, found.high) == tuple(np.quantile(new - old, [0.05, 0.95]))
    thin = bounds.resampled(new, old, (0.8, 0.8), 0.9999)
    assert thin.high == pytest.approx(3.719 * 0.0283, rel=0.05)
    assert thin.low == pytest.approx(-thin.high)


@pytest.mark.parametrize(("undefined", "certain"), [(40, True), (60, False)])
def test_a_metric_that_more_draws_leave_undefined_than_the_tail_holds_has_no_limits(
    undefined: int, certain: bool
) -> None:
    draws = np.linspace(0, 1, 1000)
    draws[:undefined] = math.nan
    found = bounds.resampled(draws, np.zeros(1000), (0.5, 0.0), 0.95)
    assert math.isfinite(found.low) == certain
