"""Bootstrap confidence intervals of metrics, and of the difference between two models on the same rows. numpy only.

Rows are drawn with replacement; the interval is the percentile interval. Two measures in one call see the same draws,
so that their difference is paired: what both models find hard does not widen it.

References
----------
Efron, B. and Tibshirani, R. J. (1993). An Introduction to the Bootstrap. Chapman & Hall, chapters 6 and 13.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.core.metrics import Measure
from components.core.ranking import Floats

_CHUNK = 2**20
"""Draws held at once, in numbers: 8 MiB."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where the rows do not define it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sampled:
    """A metric's value on the rows as they are, and on each of r resamples (r,)."""

    value: float
    draws: Floats

    def estimate(self, confidence: float) -> Estimate:
        """The percentile interval at `confidence` in (0, 1).

        Where more of the draws are undefined than one tail holds, they could hide the interval's end: it is NaN.
        """
        tail = (1 - confidence) / 2
        undefined = np.isnan(self.draws)
        if math.isnan(self.value) or not undefined.mean() <= tail:
            return Estimate(self.value, math.nan, math.nan)
        low, high = np.quantile(self.draws[~undefined], [tail, 1 - tail])
        return Estimate(self.value, float(low), float(high))

    def minus(self, other: Sampled) -> Sampled:
        """The paired difference; `other` must come from the same call of `resample`."""
        return Sampled(self.value - other.value, self.draws - other.draws)


def resample(measures: Sequence[Measure], rows: int, *, resamples: int, seed: int) -> list[dict[str, Sampled]]:
    """Each measure's metrics by name, on the same `resamples` draws of the `rows` rows."""
    as_they_are = [measure(np.ones((1, rows))) for measure in measures]
    drawn: list[list[Mapping[str, Floats]]] = [[] for _ in measures]
    for draws in _draws(rows, resamples, seed):
        for held, measure in zip(drawn, measures, strict=True):
            held.append(measure(draws))
    return [
        {name: Sampled(float(value[0]), np.concatenate([part[name] for part in held])) for name, value in whole.items()}
        for whole, held in zip(as_they_are, drawn, strict=True)
    ]


def _draws(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row was drawn, a few resamples at a time: (some, rows) float64."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // max(rows, 1))
    for start in range(0, resamples, chunk):
        some = np.empty((min(chunk, resamples - start), rows))
        for draw in some:
            draw[:] = np.bincount(generator.integers(0, rows, rows), minlength=rows) if rows else 0.0
        yield some
