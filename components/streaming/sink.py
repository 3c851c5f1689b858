"""The tables that the stream writes: one window per 8,192 offsets, replaced whole as it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Tables
from components.core.errors import SetupError
from components.core.events import ARRIVAL

BUCKET = 8_192
_PREFIX = "stream-"


def window(offset: int) -> str:
    """The name of the window that holds the rows of this offset."""
    return f"{_PREFIX}{offset // BUCKET:08d}"


def check_new(tables: Tables, names: Sequence[str], log: str) -> None:
    """For a reader that has committed nothing: what it would take out must not have come from a log that was lost.

    Raises
    ------
    SetupError
        A table holds windows of offsets.
    """
    for name in names:
        there = [found for found in tables.windows(name) if found.startswith(_PREFIX)]
        if there:
            rule = f"be the log that {name} was written from: its reader has committed nothing"
            remedy = f"Restore the log with its groups, or move {', '.join(names)} away to begin anew."
            raise SetupError("log", rule, f"{len(there)} windows up to {there[-1]}", remedy, where=log)


class Sink:
    """Rows of the bucket that grows are held in memory, so that each write is the whole of its window.

    What stands in the tables from `committed` on was written by a reader that ended before it committed: it is taken
    out first, as the same offsets come again.
    """

    def __init__(self, tables: Tables, names: Sequence[str], committed: int) -> None:
        self._tables, self._window = tables, window(committed)
        self._held: dict[str, list[pa.Table]] = {name: [] for name in names}
        for name in names:
            for found in tables.windows(name):
                if found.startswith(_PREFIX) and found >= self._window:
                    self._trim(name, found, committed)

    def _trim(self, name: str, found: str, committed: int) -> None:
        rows = self._tables.read(name, window=found)
        kept = rows.filter(pc.less(rows.column(ARRIVAL), committed))
        if kept.num_rows < rows.num_rows:
            self._tables.replace(name, found, kept)
        if found == self._window:
            self._held[name] = [kept]

    def write(self, offset: int, rows: Mapping[str, pa.Table]) -> None:
        """The rows by table, of offsets from `offset` on in one bucket; durable once it has returned."""
        if window(offset) != self._window:
            self._window, self._held = window(offset), {name: [] for name in self._held}
        for name, more in rows.items():
            if more.num_rows:
                whole = pa.concat_tables([*self._held[name], more], promote_options="default").combine_chunks()
                self._tables.replace(name, self._window, whole)
                self._held[name] = [whole]
