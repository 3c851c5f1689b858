"""One value at a time, by its declared type, without Arrow: what batch, stream and server must read alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from components.core.columns import ColumnType

RULES: dict[ColumnType, str] = {
    "number": "be a finite number",
    "bool": "be true or false",
    "timestamp": "be an ISO 8601 time",
    "string": "be UTF-8 text",
    "id": "be UTF-8 text",
}
EXACT = 2**53
"""Beyond it float64 skips whole numbers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d(?::?[0-5]\d)?)?)?", re.ASCII)


def instant(text: str) -> int:
    """ISO 8601 as microseconds since 1970: a date, or date and time with Z, an offset or neither (then UTC).

    Digits of a fraction beyond the sixth are cut off. Raises ValueError.
    """
    if not _ISO.fullmatch(text):
        raise ValueError(f"no ISO 8601 time: {text!r}")
    time = datetime.fromisoformat(text)
    try:
        return micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    except OverflowError as error:
        raise ValueError(f"beyond the calendar: {text!r}") from error


def micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def iso(time: int) -> str:
    """Microseconds since 1970 as ISO 8601 with Z; a fraction only where there is one."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")


def as_text(value: object) -> str | None:
    """A typed value as the text that CSV would hold: whole numbers without a point. Raises ValueError for others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return None
        if not value.is_integer() or abs(value) > EXACT:
            raise ValueError(value)
        return str(int(value))
    return str(value)
