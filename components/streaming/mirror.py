"""From a topic elsewhere to the local log: pulled, appended durably, then acknowledged.

What is delivered again stands twice in the log, where it is judged a duplicate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from components.adapters.local.log import Log
from components.adapters.ports import Events
from components.core.errors import EsteiraError

MOST = 1_000
WAIT = 1.0
"""Seconds of one pull."""
_AGAIN = 5.0


class Mirror(threading.Thread):
    """Copies until it is stopped; an error is told, and it begins anew."""

    def __init__(self, events: Events, log: Log, topic: str, group: str, say: Callable[[str], None]) -> None:
        super().__init__(name="mirror", daemon=True)
        self._events, self._log, self._topic, self._group, self._say = events, log, topic, group, say
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._copy()
            except EsteiraError as error:
                self._say(f"{error} It is tried again.")
                self._stopped.wait(_AGAIN)

    def _copy(self) -> None:
        with closing(self._events.subscribe(self._topic, self._group)) as subscription:
            while not self._stopped.is_set():
                received = subscription.pull(MOST, WAIT)
                if received:
                    self._log.append([one.message for one in received])
                    subscription.ack(received)

    def stop(self) -> None:
        """Returns once what it was writing is written."""
        self._stopped.set()
        self.join()
