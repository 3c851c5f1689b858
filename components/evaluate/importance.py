"""Permutation importance: how much worse the main metric gets when one feature's values are shuffled over the rows.

References
----------
Breiman, L. (2001). Random forests. Machine Learning 45, 5-32, section 10.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from components.core.columns import Columns
from components.core.metrics import LESS_IS_BETTER, measure
from components.core.scorer import Scorer
from components.evaluate.holdout import Rows, scored

MAX_ROWS = 20_000
MAX_SCORED = 320_000
"""Rows scored over all features: about three seconds of a gradient boosting of 150 trees."""


def sample(rows: int, features: int, seed: int) -> npt.NDArray[np.int64]:
    """At most 20,000 places out of `rows`, fewer for many features; sorted, the same for the same seed."""
    most = min(MAX_ROWS, max(MAX_SCORED // max(features, 1), 1))
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def importance(scorer: Scorer, rows: Rows, main: str, seed: int) -> dict[str, float]:
    """By feature, the largest first: by how much `main` falls (rises, where less is better) on the sampled rows.

    Empty where `main` is undefined on them.
    """
    labels, weights = rows.labels[rows.sampled], rows.weights[rows.sampled]
    ones = np.ones((1, len(labels)))

    def value(features: Columns) -> float:
        found = scored(scorer, features)
        prepared = measure(
            found.task, labels, found.scores, found.decisions, weights, classes=found.classes, only=[main]
        )
        return float(prepared(ones)[main][0])

    def shuffled(numbered: tuple[int, str]) -> float:
        order = np.random.default_rng([seed, numbered[0]]).permutation(len(labels))
        return value({**rows.sample, numbered[1]: rows.sample[numbered[1]][order]})

    whole = value(rows.sample)
    if math.isnan(whole):
        return {}
    sign = -1.0 if main in LESS_IS_BETTER else 1.0
    # onnxruntime lets go of the interpreter lock; the order of the results is that of the features.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        values = list(pool.map(shuffled, enumerate(rows.sample)))
    drops = {name: sign * (whole - value) for name, value in zip(rows.sample, values, strict=True)}
    return dict(sorted(drops.items(), key=lambda item: -item[1]))
