"""What a binary model's order of rows is worth, for many resamples of one sort. numpy only.

References
----------
Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition Letters 27, 861-874.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SLACK = 1e-12
"""What rounding leaves of a sum that is zero, relative to what was added up."""


class Ranking:
    """The area under the ROC curve, by trapezoids over tied scores (Fawcett 2006, algorithm 3), and average precision:
    the sum over thresholds of precision times the gain in recall, not interpolated.

    Both NaN where a class has no weight. Only groups of tied scores that hold a positive row count, so a draw costs
    one cumulative sum over all rows.
    """

    def __init__(self, scores: Floats, real: npt.NDArray[np.bool_], weights: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._weights = weights[self._order]
        ranked, positive = scores[self._order], np.flatnonzero(real[self._order])
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else positive
        holding, self._group = np.unique(np.searchsorted(starts, positive, side="right") - 1, return_inverse=True)
        self._starts, self._ends = starts[holding], np.append(starts[1:], len(ranked))[holding]
        self._positive, self._positive_weights = self._order[positive], weights[self._order[positive]]

    def __call__(self, draws: Floats) -> dict[str, Floats]:
        found = np.array([self._one(draw) for draw in draws]).reshape(-1, 2)
        return {"roc_auc": found[:, 0], "average_precision": found[:, 1]}

    def _one(self, draw: Floats) -> tuple[float, float]:
        reached = np.concatenate([[0.0], np.cumsum(draw[self._order] * self._weights)])
        gain = np.bincount(self._group, draw[self._positive] * self._positive_weights, minlength=len(self._starts))
        above, seen = np.cumsum(gain), reached[self._ends]
        positive = above[-1] if len(above) else 0.0
        negative = reached[-1] - positive
        if not (positive > 0 and negative > SLACK * reached[-1]):
            return math.nan, math.nan
        # A positive outranks the negatives that are not above it, and half of those tied with it.
        tied = seen - reached[self._starts] - gain
        area = (gain * (negative - (seen - above) + tied / 2)).sum() / (positive * negative)
        precision = np.divide(above, seen, out=np.zeros_like(above), where=seen > 0)
        return float(area), float((gain * precision).sum() / positive)
