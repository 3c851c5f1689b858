"""The decision threshold of a binary model: the best of all cut points of the validation scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.core.case import Threshold

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """The threshold, what it was chosen by and reaches there, and every cut point's value, thresholds falling."""

    threshold: float
    by: str
    value: float
    thresholds: Floats
    values: Floats
    precision: Floats
    recall: Floats


def choose(scores: Floats, labels: npt.NDArray[np.int64], weights: Floats, rule: Threshold) -> Chosen:
    """The threshold with the best value of the rule; of equally good ones the highest.

    Rows of one score fall on one side together. A threshold lies halfway between two scores that follow each other,
    so that a last bit more or less in a score changes no decision.

    Parameters
    ----------
    scores, labels, weights
        (n,) each, n >= 1, of the validation rows: probabilities in [0, 1], 0 or 1, and finite weights >= 0.
    rule
        A metric to maximize (f1 if nothing is said), or the costs whose weighted sum per row is to be least.
    """
    distinct, at = np.unique(scores, return_inverse=True)
    positive = np.bincount(at, weights=weights * labels, minlength=len(distinct))[::-1]
    negative = np.bincount(at, weights=weights * (1 - labels), minlength=len(distinct))[::-1]
    hits, alarms = (np.concatenate([[0.0], np.cumsum(part)]) for part in (positive, negative))
    thresholds = _between(distinct[::-1])
    by, values = _values(hits, alarms, rule)
    best = int(np.argmin(values) if by == "cost" else np.argmax(values))
    return Chosen(
        float(thresholds[best]),
        by,
        float(values[best]),
        thresholds,
        values,
        _ratio(hits, hits + alarms),
        _ratio(hits, np.full_like(hits, hits[-1])),
    )


def _between(falling: Floats) -> Floats:
    """The k + 1 thresholds around k falling scores: above all of them, between each two, and 0, below all."""
    low = np.concatenate([falling[1:], [min(0.0, falling[-1])]])
    middle = (falling + low) / 2
    between = np.where(middle > low, middle, falling)
    between[-1] = low[-1]
    return np.concatenate([[np.nextafter(max(1.0, falling[0]), 2.0)], between])


def _values(hits: Floats, alarms: Floats, rule: Threshold) -> tuple[str, Floats]:
    """The rule's value after each cut; hits and alarms are the weights of the true and false positives."""
    misses, rejects = hits[-1] - hits, alarms[-1] - alarms
    if rule.false_positive_cost is not None and rule.false_negative_cost is not None:
        costs = alarms * rule.false_positive_cost + misses * rule.false_negative_cost
        return "cost", _ratio(costs, np.full_like(costs, hits[-1] + alarms[-1]))
    if rule.metric == "accuracy":
        return "accuracy", _ratio(hits + rejects, np.full_like(hits, hits[-1] + alarms[-1]))
    if rule.metric == "balanced_accuracy":
        sensitivity, specificity = (_ratio(part, part + rest) for part, rest in ((hits, misses), (rejects, alarms)))
        return "balanced_accuracy", (sensitivity + specificity) / 2
    return "f1", _ratio(2 * hits, 2 * hits + alarms + misses)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
