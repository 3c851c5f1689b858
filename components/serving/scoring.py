"""Calls of one version scored together, and for each its answer, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from components.core.columns import Columns
from components.core.errors import EsteiraError, RowError
from components.core.inference import Role
from components.serving import log as logs
from components.serving import refusal
from components.serving.asked import Answers, Asked, Reply
from components.serving.exchange import Exchange
from components.serving.refusal import Refused
from components.serving.say import failed
from components.serving.versions import Served

MANY = 64
"""Rows that one call of the model takes on the loop."""


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


def batches(calls: list[Call]) -> Iterator[list[Call]]:
    """The calls in order, at most MANY rows together."""
    batch: list[Call] = []
    rows = 0
    for call in calls:
        more = call.asked.rows if call.asked is not None else 0
        if batch and rows + more > MANY:
            yield batch
            batch, rows = [], 0
        batch.append(call)
        rows += more
    yield batch


def score(calls: list[Call]) -> None:
    """Predicts for calls of one version together; where that fails, for each alone, so that each fails for itself."""
    served = calls[0].served
    assert served is not None
    try:
        found = served.scorer.predict(_together(served, calls))
    except Exception as error:  # the model's and the user's code may raise anything
        if len(calls) == 1:
            fail(calls[0], error)
        else:
            for call in calls:
                score([call])
        return
    scores, decisions = found.score.tolist(), found.decision.tolist()
    each = found.probabilities.tolist() if found.probabilities is not None else None
    at = 0
    for call in calls:
        assert call.asked is not None
        end = at + call.asked.rows
        answers = Answers(scores[at:end], decisions[at:end], each[at:end] if each is not None else None)
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
        fail(call, error)


def fail(call: Call, error: Exception) -> None:
    if isinstance(error, Refused):
        call.status = error.status
    elif isinstance(error, RowError):
        call.status = 400
    else:
        call.status = 500
        failed(error)
    if not isinstance(error, EsteiraError):
        error = EsteiraError("model", "score without an error", type(error).__name__, "See the server's log.")
    call.reply = Reply(refusal.body(error))
    call.line = b""
