"""The server's own log: one JSON object a line on standard error, as cloud log agents read it."""

from __future__ import annotations

import sys
import time
import traceback
from typing import Literal

import orjson

Severity = Literal["INFO", "WARNING", "ERROR"]


def say(severity: Severity, message: str, **facts: object) -> None:
    """Never a secret, never a request's values."""
    line = orjson.dumps({"severity": severity, "message": message, "at": time.time(), **facts}, default=str)
    print(line.decode(), file=sys.stderr, flush=True)


def failed(error: BaseException) -> None:
    """A request's unexpected error: type and places of it and its causes. Its text may hold the request's values."""
    found = []
    cause: BaseException | None = error
    while cause is not None:
        places = traceback.extract_tb(cause.__traceback__)
        frames = [f"{place.filename}:{place.lineno} {place.name}" for place in places]
        found.append({"type": type(cause).__name__, "frames": frames})
        cause = cause.__cause__ or cause.__context__
    say("ERROR", "a request failed", error=found[0]["type"], trace=found)
