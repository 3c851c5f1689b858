"""Values as people read them, and text as HTML takes it. Every text of a report passes `escape`."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

UNKNOWN = "–"
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What is no text in HTML and XML, and what turns the direction of the text that follows."""
_UNITS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def escape(value: object) -> str:
    """Text that is inert in HTML and in XML, in an element and in a quoted attribute."""
    return html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def number(value: object, *, padded: bool = False) -> str:
    """Integers in full, other numbers with three significant digits or up to the unit; thousands by commas.

    `padded` keeps the zeros at the end, so that a column of numbers can be compared: 0.140 under 0.239.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return UNKNOWN if value is None else str(value)
    if isinstance(value, int):
        return _minus(f"{value:,}")
    if not math.isfinite(value):
        return UNKNOWN
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e15 or 0 < size < 1e-4:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return _minus(f"{digits.rstrip('0').rstrip('.')} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}")
    if size >= 100 or (value == int(value) and not padded):
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:#.3g}" if padded else f"{value:.3g}")


def row_count(count: int) -> str:
    return "1 row" if count == 1 else f"{number(count)} rows"


def ticks(values: Sequence[float], step: float) -> list[str]:
    """Texts for an axis whose ticks are `step` apart, all in one unit: 0, 0.5M, 1M; 0 to 9,999 as they are."""
    greatest = max(abs(v) for v in values)
    unit, letter = next(((u, c) for limit, u, c in _UNITS if greatest >= limit), (1.0, ""))
    scaled = step / unit
    decimals = next((d for d in range(7) if abs(round(scaled, d) - scaled) <= 1e-6 * scaled), None)
    if greatest >= 1e15 or decimals is None:
        return [number(float(v)) for v in values]
    texts = [f"{v / unit:,.{decimals}f}" for v in values]
    if all("." in t for t in texts):
        texts = [t.rstrip("0").rstrip(".") for t in texts]
    return ["0" if t in ("0", "-0") else _minus(t + letter) for t in texts]


def duration(seconds: float | None) -> str:
    """A length of time: 0.21 s, 12.3 s, 3 min 5 s, 2 h 4 min."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if abs(seconds) < 59.95:
        return _minus(f"{seconds:.2f} s" if abs(seconds) < 0.995 else f"{seconds:.1f} s")
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def size(count: float | None) -> str:
    """Bytes in powers of 1000: 312 MB, 1.4 GB."""
    if count is None or not math.isfinite(count):
        return UNKNOWN
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(count) >= 0.9995 * limit:
            return f"{number(round(count / limit, 2))} {unit}"
    return f"{count:,.0f} B"


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as a date and time in UTC."""
    if seconds is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def _minus(text: str) -> str:
    return "−" + text[1:] if text.startswith("-") else text
