"""Curves and tables of scored rows for people to look at: ROC, reliability, confusion. numpy only, bounded.

References
----------
Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition Letters 27, 861-874.
Guo, C., Pleiss, G., Sun, Y. and Weinberger, K. Q. (2017). On calibration of modern neural networks. ICML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.core.blocks import MAX_POINTS
from components.core.ranking import Floats

BINS = 10
MAX_CLASSES = 20
OTHER = "(other)"


@dataclass(frozen=True)
class Roc:
    """At most 200 points from (0, 0) to (1, 1), thresholds falling; every number is finite."""

    fpr: list[float]
    tpr: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class Bin:
    """Rows whose score lies in one bin: their mean score and mean actual value, weighted."""

    rows: int
    weight: float
    score: float
    actual: float


def roc(labels: Floats, scores: Floats, weights: Floats) -> Roc | None:
    """The ROC curve (Fawcett 2006, algorithm 1) of labels (n,) of 0 and 1; None where a class has no weight.

    The points kept are evenly spaced along the curve. The first threshold, above every score, is 1 or more.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, real = scores[order], labels[order] == 1
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], len(ranked) > 0))
    above, false = (np.cumsum(weights[order] * part)[ends] for part in (real, ~real))
    if not len(ends) or not (above[-1] > 0 and false[-1] > 0) or not np.all(np.isfinite(scores)):
        return None
    tpr, fpr = np.append(0.0, above / above[-1]), np.append(0.0, false / false[-1])
    thresholds = np.append(max(1.0, np.nextafter(ranked[0], np.inf)), ranked[ends])
    kept = np.arange(len(tpr))
    if len(kept) > MAX_POINTS:
        inner = np.searchsorted(tpr + fpr, np.linspace(0, 2, MAX_POINTS)[1:-1])
        kept = np.unique(np.concatenate([[0], inner, [len(tpr) - 1]]))
    return Roc(fpr[kept].tolist(), tpr[kept].tolist(), thresholds[kept].tolist())


def reliability(actual: Floats, scores: Floats, weights: Floats, edges: npt.ArrayLike | None = None) -> list[Bin]:
    """Mean score against mean actual value in each bin that holds weight.

    Parameters
    ----------
    actual
        (n,): 1 where what was scored came true, else 0; or a regression's labels.
    edges
        The inner edges; None: ten bins of equal width over [0, 1]. A score on an edge lies in the upper bin.
    """
    inner = np.linspace(0, 1, BINS + 1)[1:-1] if edges is None else np.asarray(edges, dtype=np.float64)
    place = np.searchsorted(inner, scores, side="right")
    size = len(inner) + 1
    rows, weight = np.bincount(place, minlength=size), np.bincount(place, weights, size)
    score, real = np.bincount(place, weights * scores, size), np.bincount(place, weights * actual, size)
    return [
        Bin(int(rows[i]), float(weight[i]), float(score[i] / weight[i]), float(real[i] / weight[i]))
        for i in range(size)
        if weight[i] > 0
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the weighted mean of |mean score - share that came true| (Guo et al. 2017)."""
    total = sum(b.weight for b in bins)
    return sum(b.weight * abs(b.score - b.actual) for b in bins) / total if total > 0 else float("nan")


def confusion(
    labels: Sequence[str], decisions: Sequence[str], classes: Sequence[str]
) -> tuple[list[str], list[list[int]]]:
    """Rows by actual and decided class: (names, matrix[actual][decided]), for at most 20 names.

    `classes` come first, in their order; the rarest beyond the bound, by their labels, are one class "(other)".
    """
    order = {name: i for i, name in enumerate(dict.fromkeys([*classes, *sorted({*labels, *decisions})]))}
    actual = np.array([order[x] for x in labels], dtype=np.int64)
    decided = np.array([order[x] for x in decisions], dtype=np.int64)
    names = list(order)
    if len(names) > MAX_CLASSES:
        common = np.argsort(-np.bincount(actual, minlength=len(names)), kind="stable")[: MAX_CLASSES - 1]
        kept = np.sort(common)
        into = np.full(len(names), len(kept))
        into[kept] = np.arange(len(kept))
        actual, decided, names = into[actual], into[decided], [*(names[i] for i in kept), OTHER]
    size = len(names)
    return names, np.bincount(actual * size + decided, minlength=size * size).reshape(size, size).tolist()
