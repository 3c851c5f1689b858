"""How long a service that does not answer is asked again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Seconds: the first pause at most, the longest, and when to give up. Each is drawn anew (full jitter)."""

    first: float = 1.0
    longest: float = 20.0
    deadline: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def retry(self, call: Callable[[], T], transient: Callable[[Exception], bool]) -> T:
        """What the call gives. Its last error is raised when it is not transient or the deadline has passed."""
        until, pause = time.monotonic() + self.deadline, self.first
        while True:
            try:
                return call()
            except Exception as error:
                if not transient(error) or time.monotonic() + pause > until:
                    raise
            self.sleep(random.uniform(0, pause))  # noqa: S311  # jitter
            pause = min(2 * pause, self.longest)
