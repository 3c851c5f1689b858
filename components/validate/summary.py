"""What a person reads of one column's statistics: plain numbers, apart from the library that made them."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.columns import ColumnType


@dataclass(frozen=True)
class Bucket:
    """About `rows` values lie from `low` to `high`; equal, they are one value."""

    low: float
    high: float
    rows: float


@dataclass(frozen=True)
class Summary:
    """One column: values that are there and rows without one, then what its type has.

    Numbers, bools (0 and 1) and timestamps (microseconds since 1970) have moments and quantile buckets of equal mass;
    strings and ids have distinct values and the most frequent with their counts.
    """

    name: str
    type: ColumnType
    present: int
    missing: int
    mean: float | None = None
    deviation: float | None = None
    least: float | None = None
    median: float | None = None
    most: float | None = None
    zeros: int = 0
    buckets: tuple[Bucket, ...] = ()
    unique: int | None = None
    top: tuple[tuple[str, int], ...] = ()

    @property
    def rows(self) -> int:
        return self.present + self.missing
