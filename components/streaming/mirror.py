"""From a topic elsewhere to the local log: pulled, appended durably, then acknowledged.

What is delivered again stands twice in the log, where it is judged a duplicate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from components.adapters.local.log import Log
from components.adapters.ports import Events
from components.core.errors import EsteiraError, RunError

MOST = 1_000
WAIT = 1.0
"""Seconds of one pull."""
AHEAD = 100_000
"""Messages that the log may hold beyond what its group has committed: the others wait where they are kept already."""
_AGAIN = 5.0
_FULL = 0.1


class Mirror(threading.Thread):
    """Copies until it is stopped; an error that may pass is told, and it begins anew.

    Parameters
    ----------
    log
        Its own, as it runs in a thread of its own.
    failed
        Called once with any other error, which ends it.
    """

    def __init__(
        self,
        events: Events,
        log: Log,
        topic: str,
        group: str,
        say: Callable[[str], None],
        failed: Callable[[EsteiraError], None],
    ) -> None:
        super().__init__(name="mirror", daemon=True)
        self._events, self._log, self._topic, self._group, self._say = events, log, topic, group, say
        self._failed = failed
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._copy()
            except EsteiraError as error:
                self._say(f"{error} It is tried again.")
                self._stopped.wait(_AGAIN)
            except Exception as error:  # nobody else would see it, and the stream would idle as if nothing came
                remedy = "Mend it, and start the stream again: nothing is lost."
                told = RunError("mirror", "copy the topic", f"{type(error).__name__}: {error}", remedy, where="stream")
                told.__cause__ = error
                self._failed(told)
                return

    def _copy(self) -> None:
        with closing(self._events.subscribe(self._topic, self._group)) as subscription:
            while not self._stopped.is_set():
                if self._log.end - self._log.committed(self._group)[0] >= AHEAD:
                    self._stopped.wait(_FULL)
                    continue
                received = subscription.pull(MOST, WAIT)
                if received:
                    self._log.append([one.message for one in received])
                    subscription.ack(received)

    def stop(self) -> None:
        """Returns once what it was writing is written."""
        self._stopped.set()
        self.join()
