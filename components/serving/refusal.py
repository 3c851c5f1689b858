"""What a request is told that gets no predictions."""

from __future__ import annotations

import orjson

from components.core.errors import EsteiraError, shown


class Refused(EsteiraError):
    """A request at fault, or one that comes at the wrong time. `status` is HTTP's."""

    def __init__(self, status: int, name: str, rule: str, value: object, remedy: str, *, where: str = "") -> None:
        super().__init__(name, rule, value, remedy, where=where)
        self.status = status


class Absent:
    """Stands in an error for a value that was not given."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()
_LONGEST = 120
"""Characters of a name: a client may call its keys as it likes."""


def body(error: EsteiraError) -> bytes:
    """{"error": the sentence} with its parts beside it; Open Inference clients show the sentence."""
    parts = {
        "error": str(error),
        "parameter": error.name[:_LONGEST],
        "rule": error.rule,
        "value": shown(error.value),
        "remedy": error.remedy,
    }
    return orjson.dumps(parts | ({"where": error.where} if error.where else {}))


def long_head(size: int, most: int) -> Refused:
    return Refused(431, "head", f"hold at most {most} bytes", size, "Send less.")


def long_body(size: object, most: int) -> Refused:
    return Refused(413, "body", f"hold at most {most} bytes", size, "Send several requests.")
