"""Refuses a feature that is the label in disguise: with one, every metric looks fine and the model is of no use."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.columns import Array
from components.core.errors import DataError
from components.core.model import Task
from components.train.data import WHERE, Rows

AUC = 0.9999
CORRELATION = 0.99999
_ROWS = 50_000
_ROWS_PER_CATEGORY = 10
"""Fewer rows than this per category, on average, and each category tells its label by chance."""


def check(train: Rows, task: Task) -> None:
    """Looks at each feature alone, on at most 50,000 training rows spread over all of them.

    A leak is, for a binary label, a feature that ranks the classes with an area under the ROC curve of 0.9999 or more
    (either way round); for classes, one whose values fall into as many runs as there are classes, or categories of
    one class each; for a number, a feature with an absolute correlation of 0.99999 or more.

    Raises
    ------
    DataError
        It names the feature.
    """
    step = -(-len(train) // _ROWS)
    labels = train.labels[::step]
    for name, values in train.columns.items():
        found = _leak(values[::step], labels, task)
        if found:
            rule = "not give the label away"
            remedy = "Leave it out of features(), or declare its column 'known: label' if it comes with the label."
            raise DataError(name, rule, found, remedy, where=WHERE)


def _leak(values: Array, labels: npt.NDArray[Any], task: Task) -> str:
    """What gives it away; empty if nothing does."""
    if values.dtype == object:
        return "" if task == "regression" else _categories(values, labels)
    if task == "binary":
        auc = _auc(values, labels)
        return f"area under the ROC curve {auc:.6f} alone" if max(auc, 1 - auc) >= AUC else ""
    if task == "multiclass":
        runs = _runs(values, labels)
        return f"{runs} runs of one class each" if runs == len(np.unique(labels)) else ""
    correlation = _correlation(values, labels)
    return f"correlation {correlation:.6f}" if abs(correlation) >= CORRELATION else ""


def _auc(values: Array, labels: npt.NDArray[Any]) -> float:
    """Mann-Whitney's U over the number of pairs; a missing value ranks lowest."""
    filled = np.nan_to_num(values.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    distinct, at = np.unique(filled, return_inverse=True)
    positive = np.bincount(at, weights=labels, minlength=len(distinct))
    negative = np.bincount(at, weights=1 - labels, minlength=len(distinct))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else 0.5


def _runs(values: Array, labels: npt.NDArray[Any]) -> int:
    """Into how many runs of one class the rows fall when sorted by value; as many as there are rows if values tie."""
    codes = np.unique(labels, return_inverse=True)[1]
    order = np.lexsort((codes, values))
    ranked, classes = values[order], codes[order]
    changed = classes[1:] != classes[:-1]
    if (changed & ((ranked[1:] == ranked[:-1]) | np.isnan(ranked[1:]))).any():
        return len(labels)
    return int(changed.sum()) + 1


def _categories(values: Array, labels: npt.NDArray[Any]) -> str:
    pairs = {*zip(values.tolist(), labels.tolist(), strict=True)}
    categories = {category for category, _ in pairs}
    if len(pairs) == len(categories) > 1 and len(values) >= _ROWS_PER_CATEGORY * len(categories):
        return f"{len(categories)} categories of one class each"
    return ""


def _correlation(values: Array, labels: npt.NDArray[Any]) -> float:
    known = np.isfinite(values)
    if known.sum() < 3:
        return 0.0
    x, y = values[known].astype(np.float64), labels[known]
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0
