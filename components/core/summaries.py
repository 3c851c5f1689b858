"""Summaries of columns that merge: counts over bins which the baseline fixed once.

Any number of rows, shards or windows adds up to the same few numbers per column, in any order and to the bit.
A number's bins are the baseline's quantiles, a category's are its most frequent values; each column has one more
bin for missing, and a category one for every other value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.columns import Array
from components.core.errors import ArtifactError, DataError

BINS = 32
TOP = 50
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NumberBins:
    """(-inf, e1), [e1, e2), …, [ek, inf], then missing. Infinities stand in the outer bins, NaN is missing."""

    edges: tuple[float, ...]
    low: float
    high: float
    """The baseline's finite range, for drawing."""

    @classmethod
    def of(cls, values: Array) -> NumberBins:
        """One bin per value where there are few of them, else quantiles; each edge is a value of the baseline."""
        ordered = np.sort(values[np.isfinite(values)])
        if not len(ordered):
            return cls((), 0.0, 0.0)
        edges = ordered[1:][np.diff(ordered) > 0]
        if len(edges) >= BINS:
            edges = np.unique(ordered[np.arange(1, BINS) * len(ordered) // BINS])
            edges = edges[edges > ordered[0]]
        return cls(tuple(map(float, edges)), float(ordered[0]), float(ordered[-1]))

    @property
    def size(self) -> int:
        return len(self.edges) + 2

    def count(self, values: Array) -> Counts:
        """values (n,) float -> counts (size,)."""
        present = len(values) - np.count_nonzero(np.isnan(values))
        # One pass per edge is vectorized, and ten times as fast as a binary search per value.
        above = np.array([present, *(np.count_nonzero(values >= edge) for edge in self.edges), 0], dtype=np.int64)
        return np.append(above[:-1] - above[1:], len(values) - present)


@dataclass(frozen=True)
class CategoryBins:
    """The most frequent values, then every other value, then missing ('')."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, values: Array) -> CategoryBins:
        counts = Counter(values.tolist())
        del counts[""]
        ranked = sorted(counts, key=lambda value: (-counts[value], value))
        return cls(tuple(ranked[:TOP]))

    @property
    def size(self) -> int:
        return len(self.values) + 2

    def count(self, values: Array) -> Counts:
        """values (n,) of str -> counts (size,)."""
        counts = Counter(values.tolist())
        known = [counts[value] for value in self.values]
        missing = counts[""]
        return np.array([*known, len(values) - missing - sum(known), missing], dtype=np.int64)


@dataclass(frozen=True)
class Summary:
    """Counts (bins.size,) of one column over its bins."""

    bins: NumberBins | CategoryBins
    counts: Counts

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        return int(self.counts[-1])


Summaries = Mapping[str, Summary]


def first(columns: Mapping[str, Array]) -> dict[str, Summary]:
    """Chooses the bins by these columns, each (n,) float or object of str, and counts them."""
    result = {}
    for name, values in columns.items():
        bins = CategoryBins.of(values) if values.dtype == object else NumberBins.of(values)
        result[name] = Summary(bins, bins.count(values))
    return result


def count(like: Summaries, columns: Mapping[str, Array]) -> dict[str, Summary]:
    """The columns counted over the bins of `like`.

    Raises
    ------
    DataError
        A column of `like` is absent, or is a number where it was a category, or the other way round.
    """
    result = {}
    for name, summary in like.items():
        values = columns.get(name)
        wanted = "a category" if isinstance(summary.bins, CategoryBins) else "a number"
        if values is None or (values.dtype == object) != (wanted == "a category"):
            got = "absent" if values is None else str(values.dtype)
            remedy = "Compare with the baseline of the model that made these features."
            raise DataError(name, f"be {wanted} as in the baseline", got, remedy, where="drift")
        result[name] = Summary(summary.bins, summary.bins.count(values))
    return result


def merge(one: Summaries, other: Summaries) -> dict[str, Summary]:
    """Both together; exact, associative and commutative. Raises DataError where the bins differ."""
    if {n: s.bins for n, s in one.items()} != {n: s.bins for n, s in other.items()}:
        remedy = "Count both over the bins of one baseline."
        raise DataError("summaries", "have the same columns and bins", sorted(set(one) ^ set(other)), remedy)
    return {name: Summary(summary.bins, summary.counts + other[name].counts) for name, summary in one.items()}


def to_json(summaries: Summaries) -> dict[str, Any]:
    return {name: _described(s.bins) | {"counts": s.counts.tolist()} for name, s in summaries.items()}


def _described(bins: NumberBins | CategoryBins) -> dict[str, Any]:
    if isinstance(bins, CategoryBins):
        return {"values": list(bins.values)}
    return {"edges": list(bins.edges), "low": bins.low, "high": bins.high}


def from_json(data: Mapping[str, Any], *, where: str = "baseline.json") -> dict[str, Summary]:
    """The inverse of `to_json`. Raises ArtifactError where the data is no summary."""
    try:
        return {name: _summary(entry) for name, entry in data.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        remedy = "Train again: this file is altered or of another release."
        raise ArtifactError(
            "baseline", "hold the bins and counts of each column", error, remedy, where=where
        ) from error


def _summary(entry: Mapping[str, Any]) -> Summary:
    bins: NumberBins | CategoryBins
    if "values" in entry:
        bins = CategoryBins(tuple(str(value) for value in entry["values"]))
    else:
        bins = NumberBins(tuple(float(e) for e in entry["edges"]), float(entry["low"]), float(entry["high"]))
    counts = np.array(entry["counts"], dtype=np.int64)
    if counts.shape != (bins.size,) or counts.min() < 0:
        raise ValueError(f"{bins.size} bins with {counts.size} counts")
    return Summary(bins, counts)
