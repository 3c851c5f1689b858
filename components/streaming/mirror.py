"""From a topic elsewhere to the local log: pulled, appended durably, then acknowledged.

What is delivered again stands twice in the log, where it is judged a duplicate.
"""

from __future__ import annotations

import threading
from collections import deque
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
    ahead
        So many bytes of messages may wait in the log: the others wait where they are kept already.
    """

    def __init__(
        self,
        events: Events,
        log: Log,
        topic: str,
        group: str,
        say: Callable[[str], None],
        failed: Callable[[EsteiraError], None],
        *,
        ahead: int = 2**30,
    ) -> None:
        super().__init__(name="mirror", daemon=True)
        self._events, self._log, self._topic, self._group, self._say = events, log, topic, group, say
        self._failed, self._ahead = failed, ahead
        self._waiting: deque[tuple[int, int]] = deque()
        """Of each piece that this mirror appended: the offset behind it, and its bytes."""
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
                if self._full():
                    self._stopped.wait(_FULL)
                    continue
                received = subscription.pull(MOST, WAIT)
                if received:
                    first = self._log.append([one.message for one in received])
                    subscription.ack(received)
                    self._waiting.append((first + len(received), sum(len(one.message.data) for one in received)))

    def _full(self) -> bool:
        done = self._log.committed(self._group)[0]
        while self._waiting and self._waiting[0][0] <= done:
            self._waiting.popleft()
        return self._log.end - done >= AHEAD or sum(size for _, size in self._waiting) >= self._ahead

    def stop(self) -> None:
        """Returns once what it was writing is written."""
        self._stopped.set()
        self.join()
