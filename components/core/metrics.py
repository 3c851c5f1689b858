"""Metrics of scored rows, weighted, for many resamples at once. numpy only.

Each `Measure` sorts its rows once. It is then given draws (r, n): how often each of r resamples holds each of the n
rows; ones for the rows as they are. A metric that the rows do not define (one class, a constant target, a score that
is not finite) is NaN, and NaN passes no gate.

References
----------
Hyndman, R. J. and Fan, Y. (1996). Sample quantiles in statistical packages. American Statistician 50, 361-365.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from components.core.errors import DataError
from components.core.ranking import SLACK, Floats, Ranking

Task = Literal["binary", "multiclass", "regression"]
Values = dict[str, Floats]

_NAMES: dict[str, tuple[str, ...]] = {
    "binary": (
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
    ),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "macro_f1"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}
LESS_IS_BETTER = frozenset({"log_loss", "brier", "rmse", "mae", "median_absolute_error"})
_RANKED = frozenset({"roc_auc", "average_precision"})
_EPSILON = float(np.finfo(np.float64).eps)


def names(task: Task) -> tuple[str, ...]:
    """The metrics of a task, in the order in which they are shown."""
    return _NAMES[task]


def logged(task: Task) -> tuple[str, ...]:
    """Those that live predictions define: of several classes the log holds the winner's probability alone."""
    return tuple(name for name in names(task) if task != "multiclass" or name != "log_loss")


class Measure(Protocol):
    """Prepared rows: draws (r, n) float64, not negative -> each metric's values (r,)."""

    def __call__(self, draws: Floats) -> Values: ...


def compute(
    task: Task,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    decisions: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] = (),
) -> dict[str, float]:
    """Every metric of the task, by name; the parameters are those of `measure`."""
    prepared = measure(task, labels, scores, decisions, weights, classes=classes)
    ones = np.ones((1, len(np.asarray(labels))))
    return {name: float(values[0]) for name, values in prepared(ones).items()}


def measure(
    task: Task,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    decisions: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] = (),
    only: Collection[str] | None = None,
) -> Measure:
    """Prepares n scored rows.

    Parameters
    ----------
    labels
        (n,): 0 or 1 (binary), str (multiclass), numbers (regression).
    scores
        (n,): the positive class's probability or the predicted number; for multiclass (n, k), one column per class.
    decisions
        (n,) of str: '0' or '1' (binary), the class (multiclass); not looked at for regression.
    weights
        (n,), finite and not negative; None: all 1.
    classes
        The k classes of the columns of multiclass scores. A label that is none of them has probability 0.
    only
        The metrics that are wanted; None: all.

    Raises
    ------
    DataError
        Lengths differ, a weight is negative or not finite, or a label is not of the task.
    """
    rows = np.asarray(labels, dtype=object if task == "multiclass" else np.float64)
    held = np.asarray(scores, dtype=np.float64)
    weighed = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    chosen = np.asarray(decisions, dtype=object)
    if not len(rows) == len(held) == len(weighed) == (len(rows) if task == "regression" else len(chosen)):
        lengths = f"{len(rows)}, {len(held)}, {len(chosen)} and {len(weighed)}"
        remedy = "Score the rows that the labels belong to."
        raise DataError("scores", "be as many as labels, decisions and weights", lengths, remedy)
    if not np.all((weighed >= 0) & np.isfinite(weighed)):
        worst = weighed[~((weighed >= 0) & np.isfinite(weighed))][0]
        raise DataError("weights", "be finite and not negative", float(worst), "Mend the case's weights column.")
    wanted = frozenset(names(task) if only is None else only)
    if not np.all(np.isfinite(held)):
        return lambda draws: {name: np.full(len(draws), np.nan) for name in names(task) if name in wanted}
    if task == "binary":
        return _Binary(rows, held, chosen == "1", weighed, wanted)
    if task == "multiclass":
        return _Multiclass(rows, held, chosen, weighed, tuple(classes), wanted)
    return _Regression(rows, held, weighed, wanted)


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where whole is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


class _Binary:
    def __init__(
        self, labels: Floats, scores: Floats, chosen: npt.NDArray[np.bool_], weights: Floats, wanted: frozenset[str]
    ) -> None:
        if not np.all((labels == 0) | (labels == 1)):
            wrong = float(labels[(labels != 0) & (labels != 1)][0])
            raise DataError("labels", "be 0 or 1 for a binary task", wrong, "Score labelled rows only.")
        self._wanted = wanted
        real = labels == 1
        clipped = np.clip(scores, _EPSILON, 1 - _EPSILON)
        loss = -np.log(np.where(real, clipped, 1 - clipped))
        cells = [real & chosen, ~real & chosen, real & ~chosen, ~real & ~chosen]
        self._terms = weights[:, None] * np.column_stack([*cells, loss, (scores - labels) ** 2])
        if wanted & _RANKED:
            self._ranking = Ranking(scores, real, weights)

    def __call__(self, draws: Floats) -> Values:
        hit, false, missed, true_negative, loss, brier = (draws @ self._terms).T
        positive, negative = hit + missed, false + true_negative
        total = positive + negative
        recall = ratio(hit, positive)
        values = {
            "log_loss": ratio(loss, total),
            "brier": ratio(brier, total),  # Brier (1950): the mean squared error of the probability
            "accuracy": ratio(hit + true_negative, total),
            "balanced_accuracy": (recall + ratio(true_negative, negative)) / 2,
            "precision": ratio(hit, hit + false),
            "recall": recall,
            "f1": ratio(2 * hit, 2 * hit + false + missed),
        }
        if self._wanted & _RANKED:
            values |= self._ranking(draws)
        return {name: values[name] for name in names("binary") if name in self._wanted}


class _Multiclass:
    def __init__(
        self,
        labels: npt.NDArray[Any],
        scores: Floats,
        decisions: npt.NDArray[Any],
        weights: Floats,
        classes: tuple[str, ...],
        wanted: frozenset[str],
    ) -> None:
        if scores.ndim != 2 or scores.shape[1] != len(classes):
            raise DataError("scores", f"have {len(classes)} columns, one per class", scores.shape, "Pass classes.")
        unknown = sorted((set(labels) | set(decisions)) - set(classes))
        number = {name: i for i, name in enumerate([*classes, *unknown])}
        self._count, self._wanted = len(number), wanted
        self._label = np.array([number[x] for x in labels], dtype=np.int64)
        self._decision = np.array([number[x] for x in decisions], dtype=np.int64)
        self._weights = weights
        column = np.minimum(self._label, len(classes) - 1)
        told = np.where(self._label < len(classes), scores[np.arange(len(scores)), column], 0.0)
        self._loss = -np.log(np.clip(told, _EPSILON, 1 - _EPSILON))

    def __call__(self, draws: Floats) -> Values:
        total = draws @ self._weights
        real, chosen, hit = (np.empty((len(draws), self._count)) for _ in range(3))
        right = self._label == self._decision
        for i, draw in enumerate(draws):
            weights = draw * self._weights
            real[i] = np.bincount(self._label, weights, self._count)
            chosen[i] = np.bincount(self._decision, weights, self._count)
            hit[i] = np.bincount(self._label[right], weights[right], self._count)
        several = (real > 0).sum(axis=1) > 1
        values = {
            "log_loss": ratio(draws @ (self._weights * self._loss), total),
            "accuracy": ratio(hit.sum(axis=1), total),
            # The mean recall of the classes that occur; with a single one there is nothing to balance.
            "balanced_accuracy": np.where(several, _mean(ratio(hit, real)), np.nan),
            "macro_f1": _mean(ratio(2 * hit, real + chosen)),
        }
        return {name: values[name] for name in names("multiclass") if name in self._wanted}


def _mean(values: Floats) -> Floats:
    """The mean of each row's defined values; NaN where it has none."""
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(np.float64))


class _Regression:
    def __init__(self, labels: Floats, scores: Floats, weights: Floats, wanted: frozenset[str]) -> None:
        if not np.all(np.isfinite(labels)):
            wrong = float(labels[~np.isfinite(labels)][0])
            raise DataError("labels", "be finite for a regression task", wrong, "Score labelled rows only.")
        self._wanted = wanted
        error = np.abs(scores - labels)
        # Centred, so that the total sum of squares loses no digits; a constant target gives exact zeros.
        constant = len(labels) == 0 or labels.min() == labels.max()
        centred = labels - (labels[0] if constant and len(labels) else np.mean(labels) if len(labels) else 0.0)
        self._terms = weights[:, None] * np.column_stack([np.ones(len(labels)), error**2, error, centred, centred**2])
        self._order = np.argsort(error, kind="stable")
        self._sorted, self._weights = error[self._order], weights[self._order]

    def __call__(self, draws: Floats) -> Values:
        total, square, absolute, first, second = (draws @ self._terms).T
        spread = second - ratio(first**2, total)
        spread = np.where(spread > SLACK * second, spread, 0.0)
        values = {
            "rmse": np.sqrt(ratio(square, total)),
            "mae": ratio(absolute, total),
            "r2": 1 - ratio(square, spread),
        }
        if "median_absolute_error" in self._wanted:
            values["median_absolute_error"] = self._median(draws, total)
        return {name: values[name] for name in names("regression") if name in self._wanted}

    def _median(self, draws: Floats, total: Floats) -> Floats:
        """The weighted median error, the mean of both middle ones where the half falls between two rows (type 2)."""
        if not len(self._sorted):
            return np.full(len(draws), np.nan)
        reached = np.cumsum(draws[:, self._order] * self._weights, axis=1)
        half = reached[:, -1:] / 2
        slack = 4 * _EPSILON * reached[:, -1:]
        lower = np.argmax(reached >= half - slack, axis=1)
        upper = np.argmax(reached > half + slack, axis=1)
        middle = (self._sorted[lower] + self._sorted[upper]) / 2
        return np.where(total > 0, middle, np.nan)
