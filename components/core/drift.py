"""Drift: how far a window's columns lie from the baseline's, and whether that is more than chance.

The Jensen-Shannon distance decides. A column drifts when its distance is both larger than two samples of one
distribution would show (all columns together, in 99 of 100 windows) and larger than FLOOR, below which a difference is
of no practical matter however many rows prove it. A window that could not have shown a shift of one standard
deviation says "insufficient data", never "no drift".

References
----------
Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991): the divergence.
Endres and Schindelin, "A new metric for probability distributions", IEEE Trans. Inf. Theory 49 (2003): its root.
Siddiqi, "Credit Risk Scorecards" (2006): the population stability index.
Breck et al., "Data validation for machine learning", MLSys (2019): L-infinity for categories.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from components.core import summaries
from components.core.columns import Array
from components.core.errors import ArtifactError
from components.core.summaries import CategoryBins, Counts, Summaries, Summary

FORMAT = 1
SCORE = "_score"
"""The model's output among the columns."""
FLOOR = 0.1
"""About the distance of two normal distributions a quarter of a standard deviation apart."""
ONE_SIGMA = 0.4
"""The distance of two normal distributions one standard deviation apart (0.4009)."""
FALSE_ALARM = 0.01
"""The chance that a window of the baseline's own distribution raises any alarm."""
_SIMULATIONS = 400

Shares = npt.NDArray[np.float64]
Verdict = Literal["drift", "no drift", "insufficient data"]


@dataclass(frozen=True)
class ColumnDrift:
    """One column of a window against the baseline. Distances are None where there is nothing to compare."""

    name: str
    verdict: Verdict
    reason: str
    rows: int
    missing: float
    """Share of the window's rows."""
    distance: float | None = None
    """Jensen-Shannon, in [0, 1]."""
    threshold: float | None = None
    psi: float | None = None
    ks: float | None = None
    """Kolmogorov-Smirnov over the bins of a number; None for a category."""
    l_infinity: float | None = None


def baseline(columns: Mapping[str, Array], scores: Array) -> dict[str, Any]:
    """What drift is measured against, as JSON data: the content of a model's `baseline.json`.

    Parameters
    ----------
    columns
        The features of the rows that the model learned from, (n,) float32 or object of str each.
    scores
        (m,) float: what it predicts for rows that it did not learn from, where there are such.
    """
    return {"format": FORMAT, "columns": summaries.to_json(summaries.first({**columns, SCORE: scores}))}


def parse(data: Any, *, where: str = "baseline.json") -> dict[str, Summary]:
    """The summaries in a baseline. Raises ArtifactError where it is none."""
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("columns"), dict):
        remedy = "Train again: this file is altered or of another release."
        raise ArtifactError("baseline", f"be of format {FORMAT}", data, remedy, where=where)
    return summaries.from_json(data["columns"], where=where)


def count(base: Summaries, columns: Mapping[str, Array], scores: Array) -> dict[str, Summary]:
    """A piece of a window, counted over the baseline's bins; pieces add up with `summaries.merge`."""
    return summaries.count(base, {**columns, SCORE: scores})


def compare(
    base: Summaries,
    window: Summaries,
    *,
    minimum_rows: int = 200,
    threshold: float | None = None,
    ignore: Collection[str] = (),
) -> list[ColumnDrift]:
    """Each column of the window against the baseline, the largest distance first.

    Parameters
    ----------
    minimum_rows
        Fewer rows than this are "insufficient data".
    threshold
        The distance that counts as drift, in place of the calibrated one.
    ignore
        Columns that are left out.
    """
    names = [name for name in base if name not in ignore]
    level = 1 - FALSE_ALARM / max(1, len(names))  # Bonferroni: all columns together
    found = [_column(name, base[name], window[name], minimum_rows, threshold, level) for name in names]
    return sorted(found, key=lambda c: (-(c.distance or 0.0), c.name))


def overall(columns: Sequence[ColumnDrift]) -> Verdict:
    """Drift if any column drifts; "no drift" only if at least one could be judged."""
    verdicts = {column.verdict for column in columns}
    if "drift" in verdicts:
        return "drift"
    return "no drift" if "no drift" in verdicts else "insufficient data"


def _column(
    name: str, base: Summary, window: Summary, minimum_rows: int, threshold: float | None, level: float
) -> ColumnDrift:
    rows, missing = window.rows, window.missing / window.rows if window.rows else 0.0
    if not rows or not base.rows or rows < minimum_rows:
        few = f"{rows} rows in the window, {base.rows} in the baseline; it takes {max(1, minimum_rows)}"
        return ColumnDrift(name, "insufficient data", few, rows, missing)
    p, q = base.counts / base.rows, window.counts / rows
    distance = jensen_shannon(p, q)
    limit = threshold if threshold is not None else max(FLOOR, calibrated(base.counts, rows, level))
    verdict, reason = _judged(distance, limit, constant=int(np.count_nonzero(base.counts)) < 2)
    numbers = {"distance": distance, "threshold": limit, "psi": psi(p, q), "l_infinity": l_infinity(p, q)}
    ks = None if isinstance(base.bins, CategoryBins) else kolmogorov_smirnov(p[:-1], q[:-1])
    return ColumnDrift(name, verdict, reason, rows, missing, ks=ks, **numbers)


def _judged(distance: float, limit: float, *, constant: bool) -> tuple[Verdict, str]:
    if distance > limit:
        return "drift", f"distance {distance:.3f} is above {limit:.3f}"
    if constant:
        return "insufficient data", "the baseline knows one value only"
    if limit > ONE_SIGMA:
        return "insufficient data", "too few rows to see a shift of one standard deviation"
    return "no drift", f"distance {distance:.3f} is not above {limit:.3f}"


def calibrated(counts: Counts, rows: int, level: float) -> float:
    """The Jensen-Shannon distance that a window of the baseline's distribution stays under with chance `level`.

    Both samples are drawn again from the baseline's shares; the divergence under chance is a scaled chi-square
    (Lin 1991: to second order 8 JS / (1/n + 1/m) nats have k - 1 degrees of freedom), whose scale and degrees are
    taken from the draws' mean and variance (Satterthwaite 1946) and whose quantile is Wilson and Hilferty's (1931).

    Parameters
    ----------
    counts
        (k,) of the baseline.
    rows
        Of the window.
    """
    total = int(counts.sum())
    shares = (counts + 0.5) / (total + 0.5 * len(counts))  # a bin that the baseline never saw is rare, not impossible
    random = np.random.default_rng(0)
    one = random.multinomial(total, shares, size=_SIMULATIONS) / total
    other = random.multinomial(rows, shares, size=_SIMULATIONS) / rows
    draws = _divergence(one, other)
    mean, variance = float(draws.mean()), float(draws.var())
    if variance == 0:
        return float(np.sqrt(mean))
    spread = variance / (9 * mean**2)  # 2 / (9 degrees), with degrees = 2 mean² / variance
    quantile = mean * max(0.0, 1 - spread + NormalDist().inv_cdf(level) * np.sqrt(spread)) ** 3
    return float(min(1.0, np.sqrt(quantile)))


def jensen_shannon(p: Shares, q: Shares) -> float:
    """sqrt(½ Σ p log2(p/m) + ½ Σ q log2(q/m)), m = (p + q) / 2; in [0, 1]. p, q (k,) sum to 1."""
    return float(np.sqrt(_divergence(p, q)))


def _divergence(p: Shares, q: Shares) -> Any:
    middle = (p + q) / 2
    total = (_information(p, middle) + _information(q, middle)) / 2
    return np.clip(total, 0.0, 1.0)


def _information(p: Shares, middle: Shares) -> Any:
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    return (p * np.log2(ratio)).sum(axis=-1)


def psi(p: Shares, q: Shares) -> float:
    """Σ (q - p) ln(q / p), each share at least 0.0001; 0.1 is read as a small change, 0.25 as a large one."""
    low_p, low_q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    return float(((low_q - low_p) * np.log(low_q / low_p)).sum())


def kolmogorov_smirnov(p: Shares, q: Shares) -> float | None:
    """max |P - Q| of the cumulated shares over the bins' edges, missing left out; None where one side is empty."""
    if not p.sum() or not q.sum():
        return None
    return float(np.abs(np.cumsum(p) / p.sum() - np.cumsum(q) / q.sum()).max())


def l_infinity(p: Shares, q: Shares) -> float:
    """max |p - q|, the largest change of one share."""
    return float(np.abs(p - q).max())
