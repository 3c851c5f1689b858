"""Threads that work beside a run: what ends one before its time is told at the run's end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from components.core.errors import RunError


class Beside(threading.Thread):
    """Does `work` once; `check` after its end raises what went wrong."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # nobody hears a thread: `check` tells it
            self._error = error

    def check(self) -> None:
        """Raises RunError where the work ended in an error."""
        if self._error is not None:
            found = f"{type(self._error).__name__}: {self._error}"
            raise RunError(self.name, "work until the run ends", found, "Mend it, and run again.") from self._error
