"""Where in the log a reader must begin to come to the state at an offset: sparse notes of the largest message time.

A message that later ones may see has a time of at least largest - keep. It was not late, so it lies behind every
offset before which all times are smaller. To judge those rightly, the ids that they may repeat must be known: these
have times of at least the largest at that offset, less the lateness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.streaming.judge import NEVER

_SPARSE = 16
Place = tuple[int, int]
"""An offset, and the largest message time (microseconds) before it."""


@dataclass(frozen=True)
class Checkpoints:
    """`places` ascend; the first is where the log begins, until it is no longer needed."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, stored: Iterable[Sequence[int]], first: int) -> Checkpoints:
        """Those that a note holds; `first` is the log's first offset, for a new reader."""
        return cls(tuple((int(offset), int(largest)) for offset, largest in stored) or ((first, NEVER),))

    def begin(self, largest: int, keep: int, lateness: int) -> Place | None:
        """From where on messages must be read again for the state after which the largest time is `largest`.

        `keep` is how far before that time a message counts, lateness included; microseconds. None: no place is
        early enough, and only the log's start is.
        """
        needed = self._before(largest - keep)
        return None if needed is None else self._before(max(needed[1], NEVER + lateness) - lateness) or self._start()

    def _before(self, time: int) -> Place | None:
        return next((place for place in reversed(self.places) if place[1] < time), None)

    def _start(self) -> Place | None:
        return self.places[0] if self.places[0][1] == NEVER else None

    def passed(self, offset: int, largest: int, keep: int, lateness: int) -> Checkpoints:
        """With this place, if it is far enough from the last one, and without those that are needed no more."""
        places = self.places
        if offset > places[-1][0] and largest >= places[-1][1] + max(keep // _SPARSE, 1):
            places = (*places, (offset, largest))
        begin = Checkpoints(places).begin(largest, keep, lateness)
        return Checkpoints(tuple(place for place in places if begin is None or place >= begin))
