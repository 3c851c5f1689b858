"""Live predictions as they come: the servers' segments into `live_CASE`, and the rows added since the last look."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Blobs, Tables
from components.core import inference, live_rows
from components.core.arrow import ARROW
from components.core.columns import ColumnType
from components.core.errors import ConflictError, DataError

SERVERS = "server-"
"""How the windows of servers begin; each is written once."""
MOST = 64
"""So many segments are brought in at once, each server's newest first: a backlog does not hold up who watches."""
_SEGMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/(\d{8})\.jsonl")
_TICK = 1.0
"""Seconds by which the clocks of a file system and of a server may differ."""


@dataclass
class Collected:
    """What `collect` brought in, added up over its calls."""

    segments: int = 0
    requests: int = 0
    bad: int = 0
    """Lines that were torn or altered."""
    dropped: dict[str, int] = field(default_factory=dict)
    """By server: requests that it has not logged since it started."""
    waiting: int = 0
    """Segments that are left for the next call."""


def collect(
    blobs: Blobs, tables: Tables, case: str, types: Mapping[str, ColumnType], into: Collected, *, most: int = MOST
) -> None:
    """Brings the servers' segments that the table does not have yet into `live_CASE`, a window each.

    The window's write is whole or not there, and says that the segment is done. Of several who do it at once each would
    write the same rows, and one does.

    Parameters
    ----------
    types
        Of the inputs by name; others are left aside.
    into
        What is counted further.
    """
    table, prefix = inference.table(case), inference.log_prefix(case)
    done = set(tables.windows(table))
    found = [(match, name) for name in blobs.names(prefix) if (match := _SEGMENT.fullmatch(name, len(prefix)))]
    named = [(f"{SERVERS}{m[1]}-{m[2]}", m[1], name) for m, name in found]
    new = _in_turn([one for one in named if one[0] not in done])
    into.waiting = max(0, len(new) - most)
    for window, server, name in new[:most]:
        segment = live_rows.parse(blobs.read(name)[0], types)
        with suppress(ConflictError):  # somebody else brought it in meanwhile
            tables.replace(table, window, segment.rows, after="")
        into.segments += 1
        into.requests += segment.requests
        into.bad += segment.bad
        into.dropped[server] = max(segment.dropped, into.dropped.get(server, 0))


def _in_turn(new: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """(window, server, name): each server's newest, then each one's next. A number says nothing beside another's."""
    turns: Counter[str] = Counter()
    ranked = []
    for one in sorted(new, reverse=True):
        ranked.append((turns[one[1]], one))
        turns[one[1]] += 1
    return [one for _, one in sorted(ranked, key=lambda rank: rank[0])]


class Changes:
    """The windows of a table that were written since the last look, none that lay untouched since a moment."""

    def __init__(self, tables: Tables, table: str, since: float) -> None:
        self._tables, self._table, self._since = tables, table, since
        self._seen: dict[str, str] = {}

    def windows(self) -> list[str]:
        """Sorted. What is written while somebody reads comes again with the next look."""
        written = self._tables.written(self._table)
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
