"""Events over logs in a folder: nothing to start."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from components.adapters.local.log import Log
from components.adapters.messages import check, checked_name
from components.adapters.ports import Message, Received
from components.core.errors import ConflictError

_POLL = 0.01  # seconds between two looks at the end of the log


class LogEvents:
    """Implements `ports.Events`: one `Log` per topic, under `root`. A group begins with the log's start."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._logs: dict[str, Log] = {}
        self._publishing = threading.Lock()

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        check(messages)
        with self._publishing:
            # Kept, as it knows where its log ends.
            self._logs.setdefault(topic, self._log(topic)).append(messages)

    def subscribe(self, topic: str, group: str) -> LogSubscription:
        return LogSubscription(self._log(topic), group)

    def bury(self, messages: Sequence[Message]) -> None:
        """There is no such topic: the stream's table of dead letters has them."""

    def _log(self, topic: str) -> Log:
        return Log(self._root / checked_name("topic", topic))


class LogSubscription:
    """Implements `ports.Subscription`. A token is the message's offset.

    What is committed is the offset before which all is acknowledged.

    Raises
    ------
    ConflictError
        Somebody else reads as this group, and has not closed.
    """

    def __init__(self, log: Log, group: str) -> None:
        self._log, self._group = log, group
        self._held = hold(log.folder / "groups" / f".{checked_name('group', group)}.lock", group)
        self._done, note = log.committed(group)
        self._next = self._done
        self._beyond: set[int] = set()
        log.commit(group, self._done, note)  # from now on `trim` keeps what the group has not read

    def pull(self, most: int, wait: float) -> list[Received]:
        until = time.monotonic() + wait
        while True:
            messages = self._log.read(self._next, most)
            if messages or until - time.monotonic() <= 0:
                start, self._next = self._next, self._next + len(messages)
                return [Received(message, str(offset)) for offset, message in enumerate(messages, start)]
            time.sleep(min(_POLL, max(until - time.monotonic(), 0.0)))

    def ack(self, received: Sequence[Received]) -> None:
        self._beyond.update(int(one.token) for one in received)
        done = self._done
        while self._done in self._beyond:
            self._beyond.remove(self._done)
            self._done += 1
        if self._done > done:
            self._log.commit(self._group, self._done)

    def close(self) -> None:
        self._held.close()


def hold(path: Path, group: str) -> IO[bytes]:
    """A lock that this process keeps until it closes the file or ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = open(path, "ab")  # noqa: SIM115  # held until close
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        remedy = "End the other reader, or name another group."
        raise ConflictError("group", "be read by one at a time", group, remedy, where=str(path.parent)) from error
    return held
