"""One request and the way back."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from components.serving.asked import Reply


class Exchange:
    """A whole request. `headers` are by lower-case name, the last of a name; `keep` is whether the client goes on."""

    __slots__ = ("_answer", "body", "headers", "keep", "method", "started", "target")

    def __init__(
        self,
        answer: Callable[[Exchange, int, Reply, bytes], None],
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep: bool,
    ) -> None:
        self._answer, self.method, self.target, self.headers, self.body = answer, method, target, headers, body
        self.keep = keep
        self.started = perf_counter()

    def reply(self, status: int, reply: Reply, headers: bytes = b"") -> None:
        """Answers, once. `headers` are lines that each end in CR LF."""
        self._answer(self, status, reply, headers)
