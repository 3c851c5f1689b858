"""From a request to its answer: read, routed to a version, scored together with its neighbours, written, logged.

Requests that arrive in the same turn of the event loop are scored in one call of the transform and the model: rows do
not see each other (`core.laws`), so the answers are those of each alone. Large requests go through a thread.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any

import numpy as np

from components.core.columns import Columns
from components.core.errors import EsteiraError, RowError
from components.core.inference import Role
from components.serving import log as logs
from components.serving import oip, refusal, vertex
from components.serving.asked import Answers, Asked, Limits, Reply, parse
from components.serving.exchange import Exchange
from components.serving.identifiers import Identifiers
from components.serving.log import InferenceLog
from components.serving.metrics import Metrics
from components.serving.refusal import Refused
from components.serving.say import say
from components.serving.versions import Served, Versions

LARGE = 16 * 1024
"""Bytes of a body from which on it is read and scored beside the loop."""
MANY = 64
"""Rows that one call of the model takes on the loop."""
_ASK = {"predict": vertex.ask, "infer": oip.ask}
_RETRY = b"retry-after: 1\r\n"
_TRY = "Try again in a second."
_ID = "at most 128 visible ASCII characters"


@dataclass(slots=True)
class Call:
    """One request for predictions on its way."""

    exchange: Exchange
    route: str
    """"predict" or "infer"."""
    version: int | None = None
    """The one that the path asks for."""
    identifier: str = ""
    served: Served | None = None
    role: Role = "champion"
    asked: Asked | None = None
    status: int = 200
    reply: Reply | None = None
    line: bytes = b""
    """What the log says of its rows and answers."""


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
            self._end(call)
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
            for start in range(0, len(group), MANY):
                _score(group[start : start + MANY])
        for call in calls:
            self._end(call)

    def _beside(self, call: Call) -> None:
        """The whole of a large call, in the thread."""
        try:
            if call.asked is not None or self._read(call):
                _score([call])
        except Exception as error:
            _fail(call, error)
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
        given = parsed.data.get("id") if parsed is not None and call.route == "infer" else None
        if not self._route(call, given, error) or parsed is None or call.served is None:
            return False
        try:
            call.asked = _ASK[call.route](parsed, call.served.inputs, self._limits)
        except Exception as error:  # nothing may leave a request without an answer
            _fail(call, error)
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
            _fail(call, error)
        return error is None

    def _end(self, call: Call) -> None:
        """Answers, counts and logs."""
        self.pending -= 1
        served = call.served
        seconds = perf_counter() - call.exchange.started
        version, named = (str(served.version), served.header) if served is not None else ("", b"")
        rows = call.asked.rows if call.asked is not None and call.status == 200 else 0
        self._metrics.observe((call.route, call.status, version, call.role if served else ""), seconds, rows)
        if served is not None and self._log is not None:
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


def _score(calls: list[Call]) -> None:
    """Predicts for calls of one version together; where that fails, for each alone, so that each fails for itself."""
    served = calls[0].served
    assert served is not None
    try:
        found = served.scorer.predict(_together(served, calls))
    except Exception as error:  # the model's and the user's code may raise anything
        if len(calls) == 1:
            _fail(calls[0], error)
        else:
            for call in calls:
                _score([call])
        return
    score, decision = found.score.tolist(), found.decision.tolist()
    each = found.probabilities.tolist() if found.probabilities is not None else None
    at = 0
    for call in calls:
        assert call.asked is not None
        end = at + call.asked.rows
        answers = Answers(score[at:end], decision[at:end], each[at:end] if each is not None else None)
        _write(call, served, call.asked, answers)
        at = end


def _together(served: Served, calls: list[Call]) -> Columns:
    """The columns of all rows, in the calls' order. Raises Refused where a value is not of its type."""
    asked = [call.asked for call in calls if call.asked is not None]
    if all(one.columns is None for one in asked):
        return served.inputs.columns(chain.from_iterable(one.values for one in asked))
    parts = [served.inputs.columns(one.values) if one.columns is None else one.columns for one in asked]
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _write(call: Call, served: Served, asked: Asked, answers: Answers) -> None:
    try:
        call.reply = asked.write(call.identifier, served.about, answers)
        call.line = logs.answered(asked, served.inputs, answers)
    except Exception as error:  # nor may one request's answer take its neighbours' away
        _fail(call, error)


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


def _fail(call: Call, error: Exception) -> None:
    if isinstance(error, Refused):
        call.status = error.status
    elif isinstance(error, RowError):
        call.status = 400
    else:
        call.status = 500
        say("ERROR", "a request failed", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    if not isinstance(error, EsteiraError):
        error = EsteiraError("model", "score without an error", type(error).__name__, "See the server's log.")
    call.reply = Reply(refusal.body(error))
    call.line = b""
