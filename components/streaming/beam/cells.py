"""What the stateful transform keeps between two bundles, in the cells of its one key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from components.adapters.ports import Message
from components.streaming.beam import chunks
from components.streaming.beam.following import Terms
from components.streaming.state import State


@dataclass(frozen=True)
class Place:
    """Where the stream stands, between two bundles."""

    next: int
    waiting: int = 0
    """Messages that wait for others."""
    since: float = 0.0
    """When the first of them came."""
    terms: Terms = field(default_factory=Terms)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Place:
        body = json.loads(data)
        return cls(**{**body, "terms": Terms(**body["terms"])})


class Cells:
    """The stateful transform's cells, of its one key."""

    def __init__(self, first: int, place: Any, state: Any, waiting: Any, pace: Any) -> None:
        self._first, self._place, self._state, self._waiting, self._pace = first, place, state, waiting, pace

    def place(self) -> Place:
        stored = self._place.read()
        return Place.from_bytes(stored) if stored else Place(self._first)

    def state(self) -> State:
        stored = self._state.read()
        return State.from_bytes(stored) if stored else State.nothing()

    def wait(self, place: Place, until: float) -> None:
        """Until seconds since 1970."""
        self._place.write(place.to_bytes())
        self._pace.set(until)

    def waiting(self, next: int) -> tuple[list[Message], list[bytes]]:
        """The messages from the number `next` on, and the chunks of a log that must wait for those before them."""
        found, later = list[Message](), list[bytes]()
        for chunk in sorted(self._waiting.read(), key=lambda chunk: chunks.first(chunk) or 0):
            first = chunks.first(chunk)
            if first is None or first == next + len(found):
                found += chunks.messages(chunk)
            elif first > next + len(found):
                later.append(chunk)
        return found, later

    def took(self, place: Place, state: State, later: Sequence[bytes]) -> None:
        """All that waited, but for these chunks."""
        self._place.write(place.to_bytes())
        self._state.write(state.to_bytes())
        self._waiting.clear()
        self._pace.clear()
        for chunk in later:
            self._waiting.add(chunk)
