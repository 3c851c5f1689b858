"""Axes: a range, round ticks within it, and where a value stands between its ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from components.core.shown import duration, ticks

_LIMIT = 1e300
_STEPS = 7
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400)


@dataclass(frozen=True)
class Axis:
    """From low to high (low < high), with ticks in that range and the text of each."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where the value stands, from 0 at the low end to 100 at the high one; beyond the ends it is clipped."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def percent(share: float) -> str:
    """A coordinate of 0 to 100 as SVG takes it."""
    return f"{share:.2f}".rstrip("0").rstrip(".") + "%"


def axis(values: Iterable[float | None], *, zero: bool = False) -> Axis:
    """An axis from one round number to another, the tightest of some that hold all values; `zero` makes it hold 0."""
    low, high = _ends([*_kept(values), *([0.0] if zero else [])])
    steps = [_round_step((high - low) / count) for count in (6, 5, 4, 3)]
    spans = [(math.floor(low / s + 1e-9), math.ceil(high / s - 1e-9), s) for s in steps]
    first, last, step = min((s for s in spans if s[1] - s[0] <= _STEPS), key=lambda s: (s[1] - s[0]) * s[2])
    marks = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    return Axis(marks[0], marks[-1], tuple(zip(marks, ticks(marks, step), strict=True)))


def bare(values: Iterable[float | None]) -> Axis:
    """An axis for bars: from the least value to the greatest and holding 0, without ticks."""
    kept = [0.0, *_kept(values)]
    return Axis(min(kept), max(kept) if max(kept) > min(kept) else 1.0, ())


def seconds(length: float, *, count: int = 4) -> Axis:
    """An axis of time from 0 to `length` seconds (above 0), with ticks where a clock has them."""
    rough = length / count
    step: float = next((s for s in _SECONDS if s >= rough), math.ceil(rough / 86400) * 86400)
    if rough < 0.5:
        step = _round_step(rough)
    marks = [float(f"{i * step:.6g}") for i in range(int(length / step + 1e-9) + 1)]
    return Axis(0.0, length, tuple((m, _clock(m, last=m == marks[-1])) for m in marks))


def _clock(mark: float, *, last: bool) -> str:
    """Seconds below a minute name their unit at the last tick alone."""
    return duration(mark) if mark >= 60 else f"{mark:g} s" if last else f"{mark:g}"


def _kept(values: Iterable[float | None]) -> list[float]:
    """The values that are known, within what arithmetic can hold."""
    known = (float(v) for v in values if v is not None and math.isfinite(v))
    return [min(max(v, -_LIMIT), _LIMIT) if abs(v) > 1 / _LIMIT else 0.0 for v in known]


def _ends(values: list[float]) -> tuple[float, float]:
    """The least and the greatest value, made to differ."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = abs(low) * 0.1 or 0.5
        low, high = low - room, high + room
    return low, high


def _round_step(rough: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * m for m in (1, 2, 5) if power * m >= rough * (1 - 1e-9)), power * 10)
