"""From a request to its answer: read, routed to a version, scored together with its neighbours, written, logged.

Requests that arrive in the same turn of the event loop are scored in one call of the transform and the model: rows do
not see each other (`core.laws`), so the answers are those of each alone. Large requests go through a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

from components.serving import log as logs
from components.serving import oip, vertex
from components.serving.asked import Limits, parse
from components.serving.identifiers import Identifiers
from components.serving.log import InferenceLog
from components.serving.metrics import Metrics
from components.serving.refusal import Refused
from components.serving.scoring import MANY, Call, batches, fail, score
from components.serving.versions import Served, Versions

LARGE = 16 * 1024
"""Bytes of a body from which on it is read and scored beside the loop."""
_ASK = {"predict": vertex.ask, "infer": oip.ask}
_ID_OF: dict[str, Callable[[dict[str, Any]], Any]] = {
    "predict": vertex.identifier,
    "infer": lambda data: data.get("id"),
}
_RETRY = b"retry-after: 1\r\n"
_TRY = "Try again in a second."
_ID = "at most 128 visible ASCII characters"


class Calls:
    """Takes requests on the loop. At most `limits.queue` are accepted and not yet answered."""

    def __init__(self, versions: Versions, limits: Limits, metrics: Metrics, log: InferenceLog | None) -> None:
        self._versions, self._limits, self._metrics, self._log = versions, limits, metrics, log
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(1, "large")
        self._waiting: list[Call] = []
        self._identifiers = Identifiers()
        self.pending = 0

    def close(self) -> None:
        self._threads.shutdown()

    def take(self, call: Call) -> None:
        """Answers the call, now or in a moment."""
        self.pending += 1
        if self.pending > self._limits.queue:
            full = Refused(503, "queue", f"hold at most {self._limits.queue} requests", self.pending - 1, _TRY)
            self._route(call, None, full)
            self._end(call, logged=False)  # overload is no version's fault
        elif len(call.exchange.body) > LARGE:
            self._threads.submit(self._beside, call)
        elif not self._read(call):
            self._end(call)
        elif call.asked is not None and call.asked.rows > MANY:
            self._threads.submit(self._beside, call)
        else:
            if not self._waiting:
                self._loop.call_soon(self._turn)
            self._waiting.append(call)

    def _turn(self) -> None:
        """Scores what this turn of the loop brought, at most MANY rows in a call."""
        calls, self._waiting = self._waiting, []
        groups: dict[int, list[Call]] = {}
        for call in calls:
            groups.setdefault(id(call.served), []).append(call)
        for group in groups.values():
            for batch in batches(group):
                score(batch)
        for call in calls:
            self._end(call)

    def _beside(self, call: Call) -> None:
        """The whole of a large call, in the thread."""
        try:
            if call.asked is not None or self._read(call):
                score([call])
        except Exception as error:
            fail(call, error)
        self._loop.call_soon_threadsafe(self._end, call)

    def _read(self, call: Call) -> bool:
        """Whether the call is good to be scored; else it has its answer."""
        exchange = call.exchange
        parsed = None
        error: Exception | None = None
        try:
            length = exchange.headers.get(b"inference-header-content-length")
            parsed = parse(exchange.body, None if length is None else _whole(length))
        except Refused as refused:
            error = refused
        given = _ID_OF[call.route](parsed.data) if parsed is not None else None
        if not self._route(call, given, error) or parsed is None or call.served is None:
            return False
        try:
            call.asked = _ASK[call.route](parsed, call.served.inputs, self._limits)
        except Exception as error:  # nothing may leave a request without an answer
            fail(call, error)
            return False
        return True

    def _route(self, call: Call, given: Any, error: Exception | None) -> bool:
        """Names the call and finds its version, so that a refusal is logged and counted with it."""
        try:
            if given is None:
                header = call.exchange.headers.get(b"x-request-id")
                given = header.decode("latin-1") if header is not None else None
            if given is None:
                call.identifier = self._identifiers.next()
            elif type(given) is str and 0 < len(given) <= 128 and given.isascii() and given.isprintable():
                call.identifier = given
            else:
                call.identifier = self._identifiers.next()
                error = error or Refused(400, "id", f"be {_ID}", given, "Leave it out for a new one.")
            call.served, call.role = self._versions.state.route(call.identifier, call.version)
        except Refused as refused:
            error = refused
        if error is not None:
            fail(call, error)
        return error is None

    def _end(self, call: Call, *, logged: bool = True) -> None:
        """Answers, counts and logs."""
        self.pending -= 1
        served = call.served
        seconds = perf_counter() - call.exchange.started
        version, named = (served.name, served.header) if served is not None else ("", b"")
        rows = call.asked.rows if call.asked is not None and call.status == 200 else 0
        self._metrics.observe((call.route, call.status, version, call.role if served else ""), seconds, rows)
        if logged and served is not None and self._log is not None:
            self._log.add(logs.line(_head(call, served, seconds), call.line))
        retry = _RETRY if call.status == 503 else b""
        headers = b"".join([b"x-request-id: ", call.identifier.encode(), b"\r\n", named, retry])
        assert call.reply is not None
        call.exchange.reply(call.status, call.reply, headers)


def _whole(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        rule = "be a whole number of bytes"
        raise Refused(400, "Inference-Header-Content-Length", rule, text.decode("latin-1"), "Send the JSON's length.")
    return int(text)


def _head(call: Call, served: Served, seconds: float) -> dict[str, object]:
    """What the log says of every request."""
    return {
        "id": call.identifier,
        "at": time.time(),
        "version": served.version,
        "role": call.role,
        "status": call.status,
        "ms": round(seconds * 1000, 3),
    }
