"""What changed in a table since the last look."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Bounds, Tables
from components.core.arrow import ARROW
from components.core.errors import DataError

_TICK = 1.0
"""Seconds by which the clocks of a file system and of a server may differ."""


class Changes:
    """The windows of a table that were written since the last look, none that lay untouched since a moment.

    Parameters
    ----------
    by
        The column of times of whose rows none from before that moment matters.
    """

    def __init__(self, tables: Tables, table: str, since: float, *, by: str | None = None) -> None:
        self._tables, self._table, self._since = tables, table, since
        self._bounds = Bounds(by, math.floor(since * 1e6)) if by is not None else None
        self._seen: dict[str, str] = {}

    def windows(self) -> list[str]:
        """Sorted. What is written while somebody reads comes again with the next look."""
        written = self._tables.written(self._table, self._bounds)
        changed = [w for w, state in written.items() if self._seen.get(w) != state.token]
        self._seen = {w: state.token for w, state in written.items()}
        return [w for w in changed if written[w].at >= self._since - _TICK]

    def read(self, window: str, columns: Sequence[str], since: float | None = None) -> pa.Table:
        """Those of the columns that the window has; of `_at` from `since` (seconds since 1970) on."""
        try:
            rows = self._tables.read(self._table, window=window, columns=columns)
        except DataError:
            rows = self._tables.read(self._table, window=window)
            rows = rows.select([name for name in columns if name in rows.column_names])
        if since is None:
            return rows
        start = pa.scalar(round(since * 1e6), pa.int64()).cast(ARROW["timestamp"])
        return rows.filter(pc.greater_equal(rows.column("_at"), start))
