"""What monitor found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.core.drift import ColumnDrift, Verdict
from components.core.intervals import Estimate
from components.core.summaries import Summary


@dataclass(frozen=True)
class Performance:
    """The main metric on the rows whose label has matured."""

    metric: str
    rows: int
    estimate: Estimate | None
    """None where the rows are too few."""
    validation: float | None
    """What the model reached on its validation periods."""


@dataclass(frozen=True)
class Compared:
    """A version's window beside its baseline."""

    version: int
    first: str
    """Event time of the first and the last row: ISO 8601, UTC."""
    last: str
    columns: Sequence[ColumnDrift]
    """The largest distance first."""
    base: Mapping[str, Summary]
    now: Mapping[str, Summary]
    ignored: tuple[str, ...]
    performance: Performance

    @property
    def drifting(self) -> list[str]:
        return [column.name for column in self.columns if column.verdict == "drift"]


@dataclass(frozen=True)
class Findings:
    verdict: Verdict
    reason: str
    rows: int
    compared: Compared | None = None
