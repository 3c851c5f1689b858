"""Live predictions as they come: the servers' segments into `live_CASE`."""

from __future__ import annotations

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters import taken
from components.adapters.ports import Blobs, Tables
from components.adapters.taken import Mark, Marks
from components.core import inference, live_rows
from components.core.case import Case
from components.core.columns import ColumnType
from components.core.errors import ArtifactError, SchemaError
from components.core.events import ARRIVAL
from components.core.model import Model

SERVERS = "server-"
"""How the windows of servers begin."""
SPAN = 16
"""So many segments share a window: few windows, and each small enough to be read again as it grows."""
MOST = 64
"""So many segments are brought in at once, each server's newest first: a backlog does not hold up who watches."""
_SEGMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/(\d{8})\.jsonl")
_MARK = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_.-]{{0,63}})/{re.escape(taken.FILE)}")
_ROWS = 24
"""Bits of a row's place in its segment, which holds a few megabytes."""
_AT_ONCE = 8
"""Segments that are read or deleted at the same time: in a cloud each takes longer to ask for than to send."""


@dataclass
class Collected:
    """What an `Intake` brought in, added up over its calls."""

    segments: int = 0
    requests: int = 0
    bad: int = 0
    """Lines that were torn or altered."""
    refused: int = 0
    """Requests that are among the dead letters: an input of theirs is of another type than the live models', or than
    the table has it."""
    dropped: dict[str, int] = field(default_factory=dict)
    """By server: requests that it has not logged since it started."""
    waiting: int = 0
    """Segments that are left for the next call."""


@dataclass(frozen=True)
class _Part:
    """A segment that was read."""

    server: str
    number: int
    found: live_rows.Segment


def types(case: Case, models: Iterable[Model]) -> dict[str, ColumnType]:
    """Of what the requests to these models hold besides the case's own columns; where they differ, the last's."""
    found = dict(case.event_types())
    for model in models:
        found |= cast(dict[str, ColumnType], dict(model.inputs))
    return found


class Intake:
    """Brings the servers' segments into `live_CASE`, and deletes them some time after (`taken`).

    A server's row is named by its segment's number and its place there, in a window that follows from the number. So a
    segment that is taken in again, after a kill or by several at once, counts once; a server's name is that of one run.

    Parameters
    ----------
    types
        Of the inputs by name; others are left aside.
    """

    def __init__(self, blobs: Blobs, tables: Tables, case: str, types: Mapping[str, ColumnType]) -> None:
        self.collected = Collected()
        self._blobs, self._tables, self._types = blobs, tables, types
        self._table, self._letters = inference.table(case), inference.dead_letter_table(case)
        self._prefix = inference.log_prefix(case)
        self._marks = Marks(blobs, self._prefix)
        self._windows: set[str] | None = None
        self._overdue = 0

    def work_off(self, within: float, *, most: int = MOST, clears: bool = False) -> None:
        """Collects until nothing is left to take in, nothing gets less, or so many seconds are over.

        `clears`: nor to delete.
        """
        left, until = math.inf, monotonic() + within
        while True:
            self.collect(most=most)
            now = self.collected.waiting + (self._overdue if clears else 0)
            if not 0 < now < left or monotonic() >= until:
                return
            left = now

    def collect(self, *, most: int = MOST) -> None:
        """Takes in at most so many of the segments that the table does not have yet."""
        logs = self._listed()
        new = _in_turn([(server, number) for server, log in logs.items() for number in self._new(server, log)])
        self.collected.waiting = max(0, len(new) - most)
        done = defaultdict[str, list[int]](list)
        for window, segments in _by_window(new[:most]):
            for server, number in self._append(window, segments):
                done[server].append(number)
        for server, numbers in done.items():
            self._marks.change(server, partial(Mark.grown, numbers=numbers, now=time.time()))
        self._clear(logs, most)

    def _listed(self) -> dict[str, list[int]]:
        """The numbers of each server's segments; none of one that has but a mark."""
        logs: dict[str, list[int]] = {}
        for name in self._blobs.names(self._prefix):
            if match := _SEGMENT.fullmatch(name, len(self._prefix)):
                logs.setdefault(match[1], []).append(int(match[2]))
            elif match := _MARK.fullmatch(name, len(self._prefix)):
                logs.setdefault(match[1], [])
        return logs

    def _new(self, server: str, log: Sequence[int]) -> list[int]:
        """Those that are not taken in by now, as the stored mark has it."""
        if all(map(self._marks.known(server).has, log)):
            return []
        if self._marks.fresh(server) == Mark() and (old := self._old(server, log)):
            self._marks.change(server, partial(Mark.grown, numbers=old, now=time.time()))
        return [number for number in log if not self._marks.known(server).has(number)]

    def _old(self, server: str, log: Sequence[int]) -> list[int]:
        """Those that were taken in before there were marks, each as a window of its own."""
        if self._windows is None:
            self._windows = set(self._tables.windows(self._table))
        return [number for number in log if f"{SERVERS}{server}-{number:08d}" in self._windows]

    def _append(self, window: str, segments: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those that are done with once it has returned."""
        parts = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for (server, number), data in zip(segments, pool.map(self._read, segments), strict=True):
                if data is not None:
                    parts.append(_Part(server, number, live_rows.parse(data, self._types)))
                    self._count(server, parts[-1].found)
        if parts:
            self._put(window, parts)
        for part in parts:
            self._lay_aside(window, part, part.found.unfit, "an input is of another type than the live models'")
        return [(part.server, part.number) for part in parts]

    def _put(self, window: str, parts: Sequence[_Part]) -> None:
        """Their rows into the table; the requests of a segment that it does not take among the dead letters."""
        rows = [_placed(part.found.rows, part.number) for part in parts]
        try:
            self._tables.append(self._table, window, pa.concat_tables(rows, promote_options="default"), key=ARRIVAL)
        except SchemaError as error:
            for part in parts if len(parts) > 1 else ():
                self._put(window, [part])
            if len(parts) == 1:
                self._lay_aside(window, parts[0], parts[0].found.lines, str(error))

    def _lay_aside(self, window: str, part: _Part, lines: Sequence[live_rows.Line], reason: str) -> None:
        if lines:
            letters = live_rows.letters(lines, part.number << _ROWS, reason, time.time())
            self._tables.append(self._letters, window, letters, key=ARRIVAL)
            self.collected.refused += len(lines)

    def _read(self, segment: tuple[str, int]) -> bytes | None:
        """None where somebody else has taken it in, and deleted it since."""
        name = self._name(*segment)
        try:
            return self._blobs.read(name)[0]
        except ArtifactError:
            if self._blobs.exists(name):
                raise
            return None

    def _count(self, server: str, segment: live_rows.Segment) -> None:
        into = self.collected
        into.segments += 1
        into.requests += len(segment.lines) + len(segment.unfit)
        into.bad += segment.bad
        into.dropped[server] = max(segment.dropped, into.dropped.get(server, 0))

    def _clear(self, logs: Mapping[str, Sequence[int]], most: int) -> None:
        """Deletes at most so many segments that were taken in long ago, and the marks of servers that have none."""
        now, gone = time.time(), list[str]()
        for server, log in logs.items():
            mark = self._marks.known(server)
            overdue = mark.overdue(log, now)
            gone += [self._name(server, number) for number in overdue]
            # Noted at once, also where nobody comes again soon; not while some of those before are left.
            if mark.due(now) and len(gone) <= most and any(map(mark.has, set(log).difference(overdue))):
                self._marks.change(server, partial(Mark.renewed, now=now))
            elif mark.due(now) and not log:
                self._marks.forget(server)
        self._overdue = max(0, len(gone) - most)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._blobs.delete, gone[:most]))

    def _name(self, server: str, number: int) -> str:
        return f"{self._prefix}{server}/{number:08d}.jsonl"


def complete(arrivals: pa.ChunkedArray) -> bool:
    """Whether these rows of a server's window are of every segment that belongs there."""
    return len(pc.unique(pc.shift_right(arrivals, _ROWS))) == SPAN


def _in_turn(new: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """(server, number): each server's newest, then each one's next. A number says nothing beside another's."""
    turns: Counter[str] = Counter()
    ranked = []
    for one in sorted(new, reverse=True):
        ranked.append((turns[one[0]], one))
        turns[one[0]] += 1
    return [one for _, one in sorted(ranked, key=lambda rank: rank[0])]


def _by_window(segments: Sequence[tuple[str, int]]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The segments of each window, oldest first."""
    found = defaultdict[str, list[tuple[str, int]]](list)
    for server, number in segments:
        first = (number - 1) // SPAN * SPAN + 1
        found[f"{SERVERS}{server}-{first:08d}+{SPAN}"].append((server, number))
    yield from ((window, sorted(those)) for window, those in found.items())


def _placed(rows: pa.Table, number: int) -> pa.Table:
    """The rows with what tells each from all others of its server."""
    places = pc.add(rows.column(ARRIVAL), number << _ROWS)
    return rows.set_column(rows.schema.get_field_index(ARRIVAL), ARRIVAL, places)
