"""Which segments of each server's log the live table has: a mark beside them, written after their rows.

It only saves work: the rows of a segment that is taken in again are told by their key, so a mark may be lost.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from components.adapters.ports import Blobs
from components.core.errors import ArtifactError, ConflictError

FILE = "taken.json"
KEPT = 3600.0
"""Seconds that a segment stays at least after it was taken in, at most twice that while somebody collects."""
Ranges = tuple[tuple[int, int], ...]
"""Numbers from each first to its last, sorted, none beside another."""


@dataclass(frozen=True)
class Mark:
    """Of one server. A failed write leaves a gap between its numbers, so that one number would not do."""

    taken: Ranges = ()
    """Segments whose rows are in the table."""
    noted: Ranges = ()
    """Those that were in `taken` at `at`."""
    at: float = 0.0
    """Seconds since 1970."""

    def has(self, number: int) -> bool:
        return _within(self.taken, number)

    def overdue(self, numbers: Iterable[int], now: float) -> list[int]:
        """Those that were taken in long enough ago to be deleted."""
        return [number for number in numbers if _within(self.noted, number)] if self.due(now) else []

    def due(self, now: float) -> bool:
        return now - self.at >= KEPT

    def grown(self, numbers: Iterable[int], now: float) -> Mark:
        taken = _united(self.taken, numbers)
        return Mark(taken, self.noted, self.at) if self.noted else Mark(taken, taken, now)

    def renewed(self, now: float) -> Mark:
        """What is taken by now is what is deleted next."""
        return Mark(self.taken, self.taken, now) if self.due(now) else self


class Marks:
    """The marks under `prefix`, by server; each is read once and whenever `fresh` asks for it."""

    def __init__(self, blobs: Blobs, prefix: str) -> None:
        self._blobs, self._prefix = blobs, prefix
        self._known: dict[str, tuple[Mark, int]] = {}

    def known(self, server: str) -> Mark:
        return self._known[server][0] if server in self._known else self.fresh(server)

    def fresh(self, server: str) -> Mark:
        """As it is stored; an empty one where none is."""
        name = self._name(server)
        try:
            data, generation = self._blobs.read(name)
        except ArtifactError:
            if self._blobs.exists(name):
                raise
            self._known[server] = Mark(), 0
        else:
            self._known[server] = parsed(data, name), generation
        return self._known[server][0]

    def change(self, server: str, change: Callable[[Mark], Mark]) -> None:
        """Stores what `change` makes of the mark, also of one that somebody else has written meanwhile."""
        self.known(server)
        while (made := change(self._known[server][0])) != self._known[server][0]:
            data = json.dumps(asdict(made)).encode() + b"\n"
            try:
                written = self._blobs.write(self._name(server), data, generation=self._known[server][1])
            except ConflictError:
                self.fresh(server)
            else:
                self._known[server] = made, written

    def forget(self, server: str) -> None:
        """It has no segments any more."""
        self._blobs.delete(self._name(server))
        self._known.pop(server, None)

    def _name(self, server: str) -> str:
        return f"{self._prefix}{server}/{FILE}"


def parsed(data: bytes, name: str) -> Mark:
    """Raises ArtifactError where it is no mark."""
    try:
        found = json.loads(data)
        taken, noted = (tuple((int(a), int(b)) for a, b in found[key]) for key in ("taken", "noted"))
        return Mark(taken, noted, float(found["at"]))
    except (ValueError, TypeError, KeyError) as error:
        remedy = "Delete it: what it names is taken in again, and counts once."
        raise ArtifactError("mark", "be as it was written", data[:100], remedy, where=name) from error


def _united(ranges: Ranges, numbers: Iterable[int]) -> Ranges:
    found: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, *((number, number) for number in numbers)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def _within(ranges: Ranges, number: int) -> bool:
    place = bisect_right(ranges, (number, math.inf)) - 1
    return place >= 0 and number <= ranges[place][1]
