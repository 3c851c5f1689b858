"""One cron notation for every target: five fields (minute, hour, day of month, month, weekday) and a time zone.

Only what every target reads alike is taken: numbers, ranges, lists, steps, and the three-letter names of months and
weekdays. A day of month and a weekday at once are refused: whether both or either must hold differs between crons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:/([0-9]+))?")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """Every value that the field's text means. Raises ValueError with the rule."""
        found: set[int] = set()
        for part in text.lower().split(","):
            match = _PART.fullmatch(part)
            if match is None:
                raise ValueError(f"have its {self.name} of numbers, ranges, lists and steps: {text!r} is none")
            ends, step = match[1], int(match[2] or 1)
            if step == 0 or (match[2] and ends != "*" and "-" not in ends):
                raise ValueError(f"have steps of 1 or more, over * or a range, in the {self.name}: {part!r}")
            first, _, last = ("*", "", "") if ends == "*" else ends.partition("-")
            low = self.low if first == "*" else self._number(first)
            high = self.high if first == "*" else self._number(last) if last else low
            if low > high:
                raise ValueError(f"have the {self.name}'s range in order: {part!r}")
            found.update(range(low, high + 1, step))
        return frozenset(found)

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isdigit() or not self.low <= int(text) <= self.high:
            raise ValueError(f"have its {self.name} from {self.low} to {self.high}: {text!r} is not")
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _WEEKDAYS),
)


def canonical(text: str) -> str:
    """The five fields as plain numbers, lists and `*`, with Sunday as 0: every cron reads them alike.

    Raises
    ------
    ValueError
        With the rule that is broken, to follow the word "must".

    Examples
    --------
    >>> canonical("*/20 4 * * MON-fri")
    '0,20,40 4 * * 1,2,3,4,5'
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"have five fields (minute, hour, day of month, month, weekday): {text!r} has {len(parts)}")
    sets = [field.values(part) for field, part in zip(_FIELDS, parts, strict=True)]
    sets[4] = frozenset(day % 7 for day in sets[4])
    full = [frozenset(range(field.low, field.high + 1)) for field in _FIELDS[:4]] + [frozenset(range(7))]
    if sets[2] != full[2] and sets[4] != full[4]:
        raise ValueError(f"name a day of month or a weekday, not both: {text!r}")
    if not any(day <= _LONGEST_MONTH[month - 1] for day in sets[2] for month in sets[3]):
        raise ValueError(f"name a day that its month has: {text!r}")
    return " ".join("*" if s == all_ else ",".join(map(str, sorted(s))) for s, all_ in zip(sets, full, strict=True))


def zone(name: str) -> str:
    """The name, if it is a time zone of the IANA database. Raises ValueError with the rule."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"be a time zone of the IANA database, such as UTC or Europe/Lisbon: {name!r}") from None
    return name


def six_fields(text: str) -> str:
    """As Kubeflow's scheduler reads it: seconds first."""
    return f"0 {canonical(text)}"


def with_zone(text: str, time_zone: str) -> str:
    """As Vertex reads it: the time zone in front."""
    return f"TZ={time_zone} {canonical(text)}"
