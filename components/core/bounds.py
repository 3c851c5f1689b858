"""One-sided confidence limits of shares, quantiles and what two versions differ by. numpy only.

A pair (low, high) holds two limits, each on one side at `confidence`: a value is above `low`, and one is below `high`,
in that share of samples. What is not finite gives NaN limits.

References
----------
Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.
Newcombe, R. G. (1998). Interval estimation for the difference between independent proportions: comparison of eleven
methods. Statistics in Medicine 17, 873-890. Method 10.
Zou, G. Y. and Donner, A. (2008). Construction of confidence limits about effect measures: a general approach.
Statistics in Medicine 27, 1693-1702.
David, H. A. and Nagaraja, H. N. (2003). Order Statistics. Wiley, section 7.1.
Efron, B. and Tibshirani, R. J. (1993). An Introduction to the Bootstrap. Chapman & Hall, chapters 12 and 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from components.core.ranking import Floats

_LATENCIES = (1e-3, 1e9)
"""Milliseconds; shorter and longer ones count as these: the logarithm of nothing is none."""
_FEWEST = 20
"""So many resamples must lie in a tail for it to be read off them."""


@dataclass(frozen=True)
class Bounds:
    """What both versions show (the champion's is NaN where it is not asked), and their effect with its limits."""

    champion: float
    challenger: float
    effect: float
    low: float
    high: float


def wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """Wilson's score limits of a share in [0, 1] seen in `count` trials.

    Of a mean of values within [0, 1], whose variance is at most that of a share, they are limits as well.
    """
    if not (count > 0 and 0 <= share <= 1):
        return math.nan, math.nan
    z = NormalDist().inv_cdf(confidence)
    centre, spread = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    total = 1 + z * z / count
    low, high = max(0.0, (centre - spread) / total), min(1.0, (centre + spread) / total)
    return low if share > 0 else 0.0, high if share < 1 else 1.0


def difference(challenger: Floats, champion: Floats, confidence: float) -> Bounds:
    """Newcombe's limits of the difference of two shares, each that of ones among zeros and ones (n,)."""
    shares = [float(values.mean()) if len(values) else math.nan for values in (challenger, champion)]
    limits = [wilson(s, len(v), confidence) for s, v in zip(shares, (challenger, champion), strict=True)]
    return Bounds(shares[1], shares[0], shares[0] - shares[1], *_added(shares[0], limits[0], shares[1], limits[1]))


def mean(values: Floats, confidence: float) -> Bounds:
    """Wilson's limits of the mean of the challenger's values (n,) in [0, 1]."""
    found = float(values.mean()) if len(values) else math.nan
    return Bounds(math.nan, found, found, *wilson(found, len(values), confidence))


def ratio(challenger: Floats, champion: Floats, quantile: float, confidence: float) -> Bounds:
    """Limits of the ratio of two latencies' quantiles, from samples (n,) in milliseconds.

    Each quantile's limits are order statistics, whatever the distribution; their logarithms are added as Newcombe adds
    those of shares.
    """
    found = np.array([_quantile(values, quantile, confidence) for values in (challenger, champion)])
    with np.errstate(divide="ignore", over="ignore"):
        (value, *ends), (other, *others) = np.log(found).tolist()
        low, high = np.exp(_added(value, (ends[0], ends[1]), other, (others[0], others[1]))).tolist()
    return Bounds(float(found[1, 0]), float(found[0, 0]), math.exp(value - other), low, high)


def resampled(challenger: Floats, champion: Floats, values: tuple[float, float], confidence: float) -> Bounds:
    """Limits of the difference of a metric between two independent samples, from its bootstrap draws (r,) of each.

    The percentiles of the draws, or, in a tail too thin for that, the normal limits of their standard deviation. Where
    more of the draws are undefined than the tail holds there are none.
    """
    effect, draws, tail = values[0] - values[1], challenger - champion, 1 - confidence
    known = draws[~np.isnan(draws)]
    if math.isnan(effect) or len(known) < 2 or 1 - len(known) / len(draws) > tail:
        return Bounds(values[1], values[0], effect, math.nan, math.nan)
    if tail * len(known) >= _FEWEST:
        low, high = (float(v) for v in np.quantile(known, [tail, confidence]))
    else:
        half = NormalDist().inv_cdf(confidence) * float(known.std(ddof=1))
        low, high = effect - half, effect + half
    return Bounds(values[1], values[0], effect, low, high)


def fewest(quantile: float, confidence: float) -> int:
    """The samples from which on the largest of them is an upper limit of the quantile."""
    return math.ceil(math.log(1 - confidence) / math.log(quantile))


def _added(value: float, limits: tuple[float, float], other: float, others: tuple[float, float]) -> tuple[float, float]:
    """Limits of value - other: the distances to the limits of each, squared and added."""
    effect = value - other
    low = effect - math.hypot(value - limits[0], others[1] - other)
    high = effect + math.hypot(limits[1] - value, other - others[0])
    return (low, high) if math.isfinite(effect) else (math.nan, math.nan)


def _quantile(values: Floats, quantile: float, confidence: float) -> tuple[float, float, float]:
    """The sample quantile of latencies and its limits; 0 or infinity where the samples are too few for one."""
    count = len(values)
    if not (count and np.isfinite(values).all()):
        return math.nan, math.nan, math.nan
    ordered, below = np.sort(np.clip(values, *_LATENCIES)), _binomial(count, quantile)
    value = float(ordered[max(0, math.ceil(quantile * count) - 1)])
    # below[r] is the chance that at most r samples lie under the quantile.
    above = int(np.searchsorted(below, confidence))  # ordered[above] is not under it unless more than `above` are
    under = int(np.searchsorted(below, 1 - confidence, side="right")) - 1
    high = float(ordered[above]) if above < count else math.inf
    return value, float(ordered[under]) if under >= 0 else 0.0, high


def _binomial(count: int, share: float) -> Floats:
    """The distribution function of the binomial at 0 .. count - 1."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    hits = np.arange(count)
    terms = logs[count] - logs[hits] - logs[count - hits] + hits * math.log(share) + (count - hits) * math.log1p(-share)
    reached: Floats = np.minimum(np.cumsum(np.exp(terms)), 1.0)
    return reached
