"""The canary's rules over what both versions did: error rate, latency, agreement, and metrics on matured labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from components.core import bounds
from components.core.bounds import Bounds
from components.core.canary import Rule
from components.core.intervals import Sampled, resample
from components.core.metrics import LESS_IS_BETTER, Measure
from components.core.operations import Canary
from components.core.policy import number
from components.core.ranking import Floats

QUANTILE = 0.95
RESAMPLES = 400
"""Draws of each version for a metric's limits."""
_EMPTY = np.empty(0)


@dataclass(frozen=True)
class Series:
    """n numbers with their times in seconds, ascending."""

    at: Floats
    values: Floats


@dataclass(frozen=True)
class Labelled:
    """n predictions whose labels have landed, by the landing's time; `measure` prepares the first so many of them."""

    at: Floats
    measure: Callable[[int], Measure]


NOTHING = Series(_EMPTY, _EMPTY)


@dataclass(frozen=True)
class Observed:
    """What one version has done since the canary began."""

    failed: Series = NOTHING
    """Of every request that reached a model: 1 where it failed."""
    latency: Series = NOTHING
    """Milliseconds of those that were answered."""
    alike: Series = NOTHING
    """Of the challenger's answered requests: the share of its rows on which the champion decides alike."""
    labelled: Labelled | None = None


def rules(asked: Canary, champion: Observed, challenger: Observed) -> list[Rule]:
    """Those that the case asks for, in the order in which they are shown."""
    found = []
    if asked.error_rate is not None:
        found.append(_error_rate(asked.error_rate, asked.requests, champion.failed, challenger.failed))
    if asked.latency is not None:
        needed = max(asked.requests, bounds.fewest(QUANTILE, asked.confidence))
        found.append(_latency(asked.latency, needed, champion.latency, challenger.latency))
    if asked.agreement is not None:
        found.append(_agreement(asked.agreement, asked.requests, challenger.alike))
    both = (champion.labelled, challenger.labelled)
    return found + _quality(asked.quality, asked.requests, *both)


def _error_rate(limit: float, needed: int, champion: Series, challenger: Series) -> Rule:
    def told(b: Bounds) -> str:
        failed = f"{_percent(b.challenger)} of the challenger's requests failed and {_percent(b.champion)}"
        return f"{failed} of the champion's; the difference"

    return Rule(
        "error rate",
        limit,
        "above",
        needed,
        (champion.at, challenger.at),
        lambda m, n, c: bounds.difference(challenger.values[:n], champion.values[:m], c),
        told,
        lambda v: f"{100 * v:.3g} points",
    )


def _latency(limit: float, needed: int, champion: Series, challenger: Series) -> Rule:
    def told(b: Bounds) -> str:
        times = f"{b.challenger:.3g} ms for the challenger and {b.champion:.3g} ms for the champion"
        return f"The 95th percentile of the latency is {times}; the ratio"

    return Rule(
        "latency",
        limit,
        "above",
        needed,
        (champion.at, challenger.at),
        lambda m, n, c: bounds.ratio(challenger.values[:n], champion.values[:m], QUANTILE, c),
        told,
        lambda v: f"{v:.3g}",
    )


def _agreement(limit: float, needed: int, challenger: Series) -> Rule:
    return Rule(
        "agreement",
        limit,
        "below",
        needed,
        (_EMPTY, challenger.at),
        lambda _, n, c: bounds.mean(challenger.values[:n], c),
        lambda b: f"The champion decides alike on {_percent(b.challenger)} of the challenger's requests; the share",
        _percent,
        both=False,
    )


def _quality(
    tolerances: Mapping[str, float], needed: int, champion: Labelled | None, challenger: Labelled | None
) -> list[Rule]:
    times = tuple(_EMPTY if side is None else side.at for side in (champion, challenger))

    @lru_cache(maxsize=64)
    def drawn(which: int, count: int) -> Mapping[str, Sampled]:
        side = (champion, challenger)[which]
        assert side is not None, "a version without labels is asked for none"
        return resample([side.measure(count)], count, resamples=RESAMPLES, seed=which)[0]

    def rule(metric: str, tolerance: float) -> Rule:
        def effect(m: int, n: int, confidence: float) -> Bounds:
            new, old = drawn(1, n)[metric], drawn(0, m)[metric]
            return bounds.resampled(new.draws, old.draws, (new.value, old.value), confidence)

        def told(b: Bounds) -> str:
            both = f"{number(b.challenger)} for the challenger and {number(b.champion)} for the champion"
            return f"On matured labels {metric} is {both}; the difference"

        less = metric in LESS_IS_BETTER
        write = partial(number, signed=True)
        limit = tolerance if less else -tolerance
        return Rule(metric, limit, "above" if less else "below", needed, (times[0], times[1]), effect, told, write)

    return [rule(metric, tolerance) for metric, tolerance in tolerances.items()]


def _percent(share: float) -> str:
    return "undefined" if math.isnan(share) else f"{100 * share:.3g} %"
