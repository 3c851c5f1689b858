"""The inference log: lines gather in a bounded buffer, and a thread writes them as segments under Blobs.

What `core.inference` says of its format holds. A request waits for no disk: where the buffer is full, or a segment
cannot be written, lines are dropped and counted.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections import deque

import orjson

from components.adapters.ports import Blobs
from components.core.errors import EsteiraError
from components.core.inference import log_prefix
from components.serving.asked import Answers, Asked
from components.serving.body import Inputs, rows_of
from components.serving.say import say

BUFFER = 32 * 1024 * 1024
"""Bytes that wait for the writer at most."""
SEGMENT = 4 * 1024 * 1024
"""Bytes at which a segment is closed before its time."""
SECONDS = 1.0
"""After which what there is becomes a segment, so that others see it live."""


def server_name() -> str:
    """A new name for this run of a server: host, time and chance, as a Blobs name and a table's window take it."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:24] or "host"
    return f"{host}-{time.strftime('%Y%m%dt%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(2)}"


class InferenceLog:
    """`add` belongs to one thread, the server's loop; the rest runs beside it."""

    def __init__(self, blobs: Blobs, case: str, server: str, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._blobs, self._prefix = blobs, f"{log_prefix(case)}{server}/"
        self._lines: deque[bytes] = deque()
        self._added = self._taken = self._lines_in = 0
        self._full = self._lost = self._told = self._number = 0
        self.written = self.failures = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="inference log", daemon=True)

    @property
    def dropped(self) -> int:
        """Lines that will never be in a segment: the buffer was full, or the disk."""
        return self._full + self._lost

    def start(self) -> None:
        self._thread.start()

    def add(self, line: bytes) -> None:
        """A request's line with its line feed."""
        waiting = self._added - self._taken
        if waiting + len(line) > BUFFER:
            self._full += 1
            return
        self._lines.append(line)
        self._added += len(line)
        self._lines_in += 1
        if waiting < SEGMENT <= waiting + len(line):
            self._wake.set()

    def close(self, patience: float = 10.0) -> None:
        """Writes what waits and ends; what is not written within `patience` seconds is lost, counted and told."""
        self._closing = True
        self._wake.set()
        self._thread.join(patience)
        left = self._lines_in - self.written - self._lost
        if left and self._thread.is_alive():
            self._lost += left
            say("ERROR", "the inference log was not written to its end", seconds=patience, lines=left)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._seconds)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Writes what waits now, and whole segments that come meanwhile.

        The rest of what comes meanwhile is for the next time: under load small segments would follow each other without
        an end, and at each call to the system the requests wait for this thread.
        """
        now = self._added
        while self._taken < now or self._added - self._taken >= SEGMENT or self.dropped > self._told:
            lines: list[bytes] = []
            size = 0
            while self._lines and size < SEGMENT:
                lines.append(self._lines.popleft())
                size += len(lines[-1])
            if not self._write(lines):
                self._taken += size
                return
            self._taken += size

    def _write(self, lines: list[bytes]) -> bool:
        dropped = self.dropped
        last = orjson.dumps({"dropped": dropped}) + b"\n"
        self._number += 1  # also where it fails: what reports a failure may have been written
        try:
            self._blobs.write(f"{self._prefix}{self._number:08d}.jsonl", b"".join([*lines, last]), generation=0)
        except (OSError, EsteiraError) as error:
            self._lost += len(lines)
            self.failures += 1
            say("ERROR", "a segment of the inference log was not written", error=str(error), lines=len(lines))
            return False
        self._told = dropped
        self.written += len(lines)
        return True


def answered(asked: Asked, inputs: Inputs, answers: Answers) -> bytes:
    """The part of a line that does not depend on how long the request took: a JSON object."""
    given = rows_of(asked.columns) if asked.columns is not None else asked.given
    if type(given[0]) is list:
        given = [dict(zip(inputs.names, row, strict=True)) for row in given]
    return orjson.dumps({"inputs": given, "score": answers.score, "decision": answers.decision})


def line(head: dict[str, object], answer: bytes) -> bytes:
    """A line of `core.inference`: what is known of every request, and `answered` of one that was (else empty)."""
    if not answer:
        return orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE)
    return b"".join([orjson.dumps(head)[:-1], b",", answer[1:], b"\n"])
