"""A step's time limit. No portable pipeline can say it, so the task ends itself: its own work is interrupted as by
SIGTERM, and if that does not return, the process ends all the same.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from components.core.errors import RunError

VARIABLE = "ESTEIRA_TIME_LIMIT"
"""Seconds; the compiled pipeline sets it by step."""
GRACE = 60.0
"""Seconds that an interrupted step has to end by itself."""


class TimeLimit:
    """Of the step called `name`: `length` in seconds, None for none."""

    def __init__(self, name: str, length: float | None) -> None:
        self._name, self._length = name, length
        self.reached = False

    def error(self) -> RunError:
        remedy = "Raise it in the case, or find out in the log what the step was waiting for."
        return RunError(f"resources.{self._name}.time_limit", "be enough for the step", f"{self._length:g}s", remedy)

    @contextmanager
    def watched(self, stuck: Callable[[RunError], None]) -> Iterator[None]:
        """Interrupts the block when its time is over. `stuck` is told before the process ends for want of a return."""
        if self._length is None:
            yield
            return

        def end() -> None:
            try:
                stuck(self.error())
            finally:
                sys.stderr.flush()
                os._exit(RunError.exit_code)

        last = threading.Timer(self._length + GRACE, end)
        last.daemon = True
        before = signal.signal(signal.SIGALRM, self._interrupt)
        last.start()
        signal.setitimer(signal.ITIMER_REAL, self._length)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if not self.reached:  # else a thread that the work left behind could keep the process
                last.cancel()

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        self.reached = True
        raise KeyboardInterrupt(f"signal {number}")


def of(name: str, environment: Mapping[str, str] = os.environ) -> TimeLimit:
    """What the environment says of this task."""
    text = environment.get(VARIABLE)
    return TimeLimit(name, float(text) if text else None)
