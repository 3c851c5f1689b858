"""One at a time, over Blobs: for what a service would do twice when it is asked twice."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from components.adapters.ports import Blobs
from components.core.errors import ArtifactError, ConflictError, RunError

T = TypeVar("T")


class Lease:
    """A blob that names its holder and when it ends, changed by compare-and-set.

    A holder that was killed keeps others out until then; one that is slow must end before: whoever holds it asks
    `left`. Clocks of different machines may differ by a small part of `seconds`.
    """

    def __init__(self, blobs: Blobs, name: str, seconds: float) -> None:
        self._blobs, self._name, self._seconds = blobs, name, seconds
        self._generation, self._until, self._kept = 0, 0.0, False

    def take(self) -> bool:
        """Whether it is ours now: it was nobody's, or its holder's time was over."""
        generation = 0
        with suppress(ArtifactError):  # nobody has held it yet
            data, generation = self._blobs.read(self._name)
            if float(json.loads(data)["until"]) > time.time():
                return False
        until = time.time() + self._seconds
        try:
            self._generation = self._blobs.write(self._name, _held(until), generation=generation)
        except ConflictError:
            return False
        self._until = until
        return True

    @property
    def left(self) -> float:
        """Seconds."""
        return self._until - time.time()

    def keep(self) -> None:
        """Keeps everybody out until its time is over: what was begun under it may still come."""
        self._kept = True

    def release(self) -> None:
        """Lets the next one in, unless it is kept or somebody has taken it over."""
        if self._kept:
            return
        try:
            self._blobs.write(self._name, _held(0), generation=self._generation)
        except ConflictError:
            return

    def once(self, find: Callable[[], T | None], make: Callable[[Lease], T]) -> T:
        """What `find` finds, or what `make` makes: of callers at once one makes it, and the others find it.

        Raises
        ------
        RunError
            It stays held, and nothing is found.
        """
        deadline, pause = time.monotonic() + 3 * self._seconds, 0.02
        while (found := find()) is None:
            if self.take():
                try:
                    found = find()
                    return make(self) if found is None else found
                finally:
                    self.release()
            if time.monotonic() > deadline:
                remedy = "See who else registers this model; the lease ends by itself."
                raise RunError("lease", "become free", "somebody else's", remedy, where=self._blobs.address(self._name))
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  # jitter
            pause = min(2 * pause, 2.0)
        return found


def awaited(find: Callable[[], T | None], seconds: float) -> T | None:
    """What `find` gives, as soon as it does; None where it does not in time."""
    until, pause = time.monotonic() + seconds, 0.05
    while (found := find()) is None and time.monotonic() < until:
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  # jitter
        pause = min(2 * pause, 5.0)
    return found


def _held(until: float) -> bytes:
    return json.dumps({"holder": uuid.uuid4().hex, "until": until}).encode()
