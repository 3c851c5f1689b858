"""Old messages go: those that no restart of the stream needs, and that are older than the case keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable

from components.adapters.local.log import Log
from components.core.errors import EsteiraError
from components.streaming.loop import Status

EVERY = 1_000
"""Reports between two looks."""


class Retention:
    """Trims the log now and then; `keep` in seconds, None for ever."""

    def __init__(self, log: Log, keep: int | None, say: Callable[[str], None]) -> None:
        self._log, self._keep, self._say = log, keep, say
        self._reports = 0

    def report(self, status: Status) -> None:
        self._reports += 1
        if self._keep is None or self._reports % EVERY:
            return
        before = self._log.first
        try:
            first = self._log.trim(status.needed, older=time.time() - self._keep)
        except (EsteiraError, OSError) as error:
            self._say(f"The log was not trimmed: {error}")
            return
        if first > before:
            self._say(f"Offsets {before:,} to {first - 1:,} are trimmed: older than the case keeps them.")
