"""The server's own log: one JSON object a line on standard error, as cloud log agents read it."""

from __future__ import annotations

import sys
import time
from typing import Literal

import orjson

Severity = Literal["INFO", "WARNING", "ERROR"]


def say(severity: Severity, message: str, **facts: object) -> None:
    """Never a secret, never a request's values."""
    line = orjson.dumps({"severity": severity, "message": message, "at": time.time(), **facts}, default=str)
    print(line.decode(), file=sys.stderr, flush=True)
