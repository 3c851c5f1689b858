"""The threshold is the best of all cuts, and rows of one score fall on one side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.case import Threshold
from components.train.threshold import choose

RULES = [
    Threshold(),
    Threshold(metric="f1"),
    Threshold(metric="accuracy"),
    Threshold(metric="balanced_accuracy"),
    Threshold(false_positive_cost=1, false_negative_cost=5),
]
ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.25 + 1e-16, 0.5, 0.9, 1.0]), st.booleans(), st.integers(1, 4)),
    min_size=1,
    max_size=30,
)


def value(decided: Any, labels: Any, weights: Any, rule: Threshold) -> float:
    """The rule's value as its definition has it; a cost counts negative."""
    hits, misses = (weights[labels & side].sum() for side in (decided, ~decided))
    alarms, rejects = (weights[~labels & side].sum() for side in (decided, ~decided))
    if rule.false_positive_cost is not None and rule.false_negative_cost is not None:
        return -float(alarms * rule.false_positive_cost + misses * rule.false_negative_cost) / float(weights.sum())
    if rule.metric == "accuracy":
        return float((hits + rejects) / weights.sum())
    if rule.metric == "balanced_accuracy":
        return float(hits / max(hits + misses, 1) + rejects / max(rejects + alarms, 1)) / 2
    return float(2 * hits / max(2 * hits + alarms + misses, 1))


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(rows=ROWS)
def test_no_other_cut_is_better_and_none_as_good_is_higher(rule: Threshold, rows: list[Any]) -> None:
    scores, labels, weights = (np.array(part) for part in zip(*rows, strict=True))
    chosen = choose(scores, labels.astype(np.int64), weights.astype(float), rule)
    reached = value(scores >= chosen.threshold, labels, weights, rule)
    assert chosen.value == pytest.approx(abs(reached))
    cuts = {cut: value(scores >= cut, labels, weights, rule) for cut in {*scores.tolist(), 2.0}}
    assert reached >= max(cuts.values()) - 1e-12
    for cut, other in cuts.items():
        fewer = (scores >= cut).sum() < (scores >= chosen.threshold).sum()
        assert not (fewer and other >= reached + 1e-12)


def test_the_threshold_lies_halfway_between_two_scores() -> None:
    chosen = choose(np.array([0.2, 0.4, 0.8]), np.array([0, 0, 1]), np.ones(3), Threshold())
    assert chosen.threshold == pytest.approx(0.6)
    assert (chosen.by, chosen.value) == ("f1", 1.0)


def test_scores_next_to_each_other_are_told_apart() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    chosen = choose(np.array([low, high]), np.array([0, 1]), np.ones(2), Threshold(metric="accuracy"))
    assert chosen.threshold == high


@pytest.mark.parametrize(("metric", "everything"), [("f1", True), ("accuracy", False)])
def test_a_constant_score_decides_all_rows_alike(metric: Any, everything: bool) -> None:
    scores = np.full(10, 0.3)
    labels = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    decided = scores >= choose(scores, labels, np.ones(10), Threshold(metric=metric)).threshold
    assert decided.tolist() == [everything] * 10


def test_dearer_misses_lower_the_threshold() -> None:
    scores, labels = np.array([0.1, 0.3, 0.5, 0.7, 0.9]), np.array([0, 1, 0, 0, 1])
    cheap, dear = (
        choose(scores, labels, np.ones(5), Threshold(false_positive_cost=1, false_negative_cost=cost)).threshold
        for cost in (0.5, 10)
    )
    assert cheap == pytest.approx(0.8)
    assert dear == pytest.approx(0.2)


def test_rows_without_weight_do_not_count() -> None:
    scores, labels = np.array([0.2, 0.6, 0.9]), np.array([0, 1, 0])
    chosen = choose(scores, labels, np.array([1.0, 1.0, 0.0]), Threshold())
    assert chosen.value == 1.0
