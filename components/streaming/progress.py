"""What a person sees of the stream: one live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque

from components.streaming.loop import Status

_EVERY = {True: 0.5, False: 10.0}
"""Seconds between two lines, on a terminal and elsewhere."""
_RATE = 5.0
"""Seconds over which the rate is taken."""


class Progress:
    """Writes to standard error."""

    def __init__(self, case: str) -> None:
        self._case, self._terminal = case, sys.stderr.isatty()
        self._next = 0.0
        self._past: deque[tuple[float, int]] = deque()

    def say(self, text: str) -> None:
        self._write(f"[stream] {text}\n")

    def report(self, status: Status) -> None:
        now = time.monotonic()
        self._past.append((now, status.read))
        while now - self._past[0][0] > _RATE:
            self._past.popleft()
        if now < self._next:
            return
        self._next = now + _EVERY[self._terminal]
        began, before = self._past[0]
        rate = (status.read - before) / max(now - began, 1e-9)
        text = f"{self._case}: {rate:,.0f} events/s, {status.behind:,} behind ({status.lag:.1f} s), {told(status)}"
        self._write(f"{text}, {status.versions}" + ("" if self._terminal else "\n"))

    def end(self) -> None:
        if self._terminal:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else text)
        sys.stderr.flush()


def told(status: Status) -> str:
    """The counts of all time."""
    counts = status.counts
    return (
        f"{counts.good:,} good ({counts.labels:,} labels), {counts.late:,} late, {counts.duplicate:,} duplicate, "
        f"{counts.dead_letter:,} dead"
    )


def summary(status: Status) -> str:
    """The last line."""
    scored = ", ".join(f"{rows:,} by version {version}" for version, rows in status.by_version.items()) or "none"
    return (
        f"{status.read:,} messages in {status.seconds:.1f} s, up to offset {status.offset:,}; predictions: {scored}. "
        f"In all: {told(status)}."
    )
