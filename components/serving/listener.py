"""What a server's connections share: who answers, the limits, the time, and heads of answers made once a second."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from components.serving.exchange import Exchange

_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Client(Protocol):
    """One connection."""

    def look(self, tick: int) -> None: ...

    def close_idle(self) -> None: ...


class Listener:
    """What all connections share."""

    def __init__(self, handle: Callable[[Exchange], None], body: int, refused: Callable[[int], None]) -> None:
        self.handle, self.body, self.refused = handle, body, refused
        self.connections: set[Client] = set()
        self.draining = False
        """Whether each connection closes after its answer."""
        self.tick = 0
        """Seconds since the start; what counts is how many pass, not when."""
        self.heads: dict[tuple[int, bytes], bytes] = {}
        self._date = b""
        self.beat()

    def beat(self) -> None:
        """Once a second: a new date, and an end for what takes too long."""
        self.tick += 1
        self._date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        self.heads.clear()
        for connection in list(self.connections):
            connection.look(self.tick)

    def head(self, status: int, kind: bytes) -> bytes:
        """The head of an answer up to the value of content-length."""
        made = self.heads.get((status, kind))
        if made is None:
            made = b"".join([_STATUS[status], self._date, b"content-type: ", kind, b"\r\ncontent-length: "])
            self.heads[status, kind] = made
        return made

    def close_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_idle()
