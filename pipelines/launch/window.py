"""The window that `--from` and `--to` name."""

from __future__ import annotations

from components.core.errors import CaseError
from components.core.values import instant


def parse(start: str, stop: str) -> tuple[int | None, int | None]:
    """Microseconds since 1970, None where open. Raises CaseError for what is no time, or ends before it starts."""
    first, end = _moment("--from", start), _moment("--to", stop)
    if first is not None and end is not None and first >= end:
        raise CaseError("--to", f"lie after --from, {start}", stop, "--to itself is outside the window.")
    return first, end


def _moment(option: str, text: str) -> int | None:
    try:
        return instant(text) if text else None
    except ValueError as error:
        remedy = "Such as 2013-12-01 or 2013-12-01T06:00:00Z."
        raise CaseError(option, "be an ISO 8601 time", text, remedy) from error
