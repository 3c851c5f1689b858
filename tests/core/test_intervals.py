"""Bootstrap intervals: reproducible, paired, of the width that theory gives, and NaN where the draws define none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.core import metrics
from components.core.intervals import Estimate, Sampled, resample


def scored(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(float)
    scores = 0.2 * labels + 0.8 * rng.random(rows)
    return labels, scores, np.where(scores > 0.5, "1", "0")


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    labels, scores, decisions = scored(4000)
    (sampled,) = resample([metrics.measure("binary", labels, scores, decisions)], 4000, resamples=2000, seed=1)
    found = sampled["accuracy"].estimate(0.95)
    half = 1.96 * math.sqrt(found.value * (1 - found.value) / 4000)
    assert found.low == pytest.approx(found.value - half, abs=half / 8)
    assert found.high == pytest.approx(found.value + half, abs=half / 8)


def test_every_interval_holds_its_value() -> None:
    (sampled,) = resample([metrics.measure("binary", *scored(1000))], 1000, resamples=200, seed=1)
    assert set(sampled) == set(metrics.names("binary"))
    for name, metric in sampled.items():
        found = metric.estimate(0.95)
        assert found.low < found.value < found.high, name


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    measure = metrics.measure("binary", *scored(500))
    first, again, other = (
        resample([measure], 500, resamples=60, seed=seed)[0]["roc_auc"].estimate(0.9) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_draws_are_the_same_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = metrics.measure("binary", *scored(300))
    whole = resample([measure], 300, resamples=50, seed=3)[0]["roc_auc"].draws
    monkeypatch.setattr("components.core.intervals._CHUNK", 1000)
    np.testing.assert_allclose(resample([measure], 300, resamples=50, seed=3)[0]["roc_auc"].draws, whole, rtol=1e-12)


def test_a_model_differs_from_itself_by_nothing() -> None:
    measure = metrics.measure("binary", *scored(400))
    one, two = resample([measure, measure], 400, resamples=80, seed=0)
    assert one["roc_auc"].minus(two["roc_auc"]).estimate(0.95) == Estimate(0.0, 0.0, 0.0)


def test_pairing_narrows_the_difference_of_two_like_models() -> None:
    labels, scores, decisions = scored(2000)
    nudged = np.clip(scores + np.random.default_rng(9).normal(0, 0.01, 2000), 0, 1)
    measures = [metrics.measure("binary", labels, s, decisions, only=["roc_auc"]) for s in (scores, nudged)]
    one, two = (m["roc_auc"] for m in resample(measures, 2000, resamples=200, seed=0))
    paired, alone = one.minus(two).estimate(0.95), one.estimate(0.95)
    assert paired.high - paired.low < (alone.high - alone.low) / 4


def test_draws_without_the_rare_class_leave_no_interval() -> None:
    labels = np.zeros(50)
    labels[0] = 1  # absent from 36 of 100 resamples
    (sampled,) = resample([metrics.measure("binary", labels, labels, ["0"] * 50)], 50, resamples=100, seed=0)
    found = sampled["roc_auc"].estimate(0.95)
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_few_undefined_draws_are_left_out() -> None:
    draws = np.append(np.linspace(0, 1, 99), math.nan)
    found = Sampled(0.5, draws).estimate(0.9)
    assert [found.low, found.high] == pytest.approx([0.05, 0.95])


def test_no_rows_give_nan() -> None:
    (sampled,) = resample([metrics.measure("binary", [], [], [])], 0, resamples=50, seed=0)
    found = sampled["roc_auc"].estimate(0.95)
    assert all(math.isnan(x) for x in (found.value, found.low, found.high))
