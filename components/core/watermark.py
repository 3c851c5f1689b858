"""The watermark of a case: events before it have been predicted. It stands as a blob, and moves forward only."""

from __future__ import annotations

import json

from components.core.errors import ArtifactError
from components.core.values import instant


def path(case: str) -> str:
    """The blob's name."""
    return f"watermarks/{case}.json"


def content(to: str) -> bytes:
    """The blob of a watermark at `to`, ISO 8601."""
    return json.dumps({"to": to}).encode()


def moment(data: bytes) -> int:
    """The watermark in a blob, in microseconds since 1970. Raises ArtifactError where it holds none."""
    try:
        return instant(json.loads(data)["to"])
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Delete it; the score periods are then predicted again."
        value = data.decode(errors="replace")
        raise ArtifactError("watermark", 'be {"to": an ISO 8601 time}', value, remedy) from error
